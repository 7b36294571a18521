"""The fast tier's sums of exponentials, in blocks of rows, and the softmax made of them.

A row is reduced to m, the largest logit, and R, the sum of exp(x_i - m) over all classes but one of the largest. Both
parts of a loss, m - x_y and log1p(R), are nonnegative, so nothing cancels. Bounds: docs/numerics-tiers.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lossconform.reference.bounds import EF, TINY, WIDEN, Mask, U, enclosed
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Array
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Float64
from lossconform.reference.pairs import depth, fold

BLOCK = 32_768
"""Logits in a block that is kept, of which there are five copies; twice as many in one that is not, which has two."""

FEW = 128
"""Up to so many classes a block is held class by class, so that every operation runs along its rows."""

LOWEST = -746.0
"""Below this exp is less than half the smallest subnormal, whatever the difference."""


@dataclass(eq=False)
class Block:
    """The softmax of a block of rows: d = x - m, e = exp d, (B, C), where they are kept, and the sums of its rows."""

    rows: slice
    x: Float64
    d: Float64
    e: Float64
    spare: Float64
    top: Float64
    rest: Float64


def blocks(problem: Canonical, keep: bool) -> Iterator[Block]:
    """Yield the problem block by block; x, d and e survive the summation only if kept. The arrays are used again."""
    n, c = problem.shape
    size = max(1, (BLOCK if keep else 2 * BLOCK) // c)
    few = c <= FEW
    space = [np.empty((min(size, n), c), order="F" if few else "C") for _ in range((4 if keep else 1) + few)]
    given = problem.prediction
    lines = np.arange(size)
    masked = problem.case.where is not None
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        arrays = [a[: rows.stop - start] for a in space]
        # Only the sums are wanted if nothing is kept: each array is then made in the place of the one before.
        x, d, e, s = arrays[:4] if keep else arrays[:1] * 4
        np.copyto(x, given[rows])
        if masked:
            np.copyto(x, -np.inf, where=~problem.where[rows])
        if few:
            top = x.max(axis=1)
            np.subtract(x, top[:, None], out=d)
            np.exp(d, out=e)
            # One of the ones that exp(0) is, is taken out: the rest is summed without it.
            ones = np.floor(e, out=arrays[-1])
            np.subtract(e, ones, out=s)
            rest = fold(s) + (fold(ones) - 1)
        else:
            which = x.argmax(axis=1)
            top = x[lines[: len(x)], which]
            np.subtract(x, top[:, None], out=d)
            np.exp(d, out=e)
            s = _copy(e, s) if keep else e
            s[lines[: len(x)], which] = 0.0
            rest = fold(s)
        yield Block(rows, x, d, e, s, top, rest)


def _copy(a: Float64, out: Float64) -> Float64:
    np.copyto(out, a)
    return out


@dataclass(eq=False)
class Sums:
    """m, R and log1p(R) of rows, the errors of R, of S relative to S, and of log1p(R); 0 where R is exactly 0."""

    top: Float64
    rest: Float64
    error: Float64
    relative: Float64
    tail: Float64
    tail_error: Float64

    def part(self, rows: slice) -> Sums:
        """Return some rows."""
        return Sums(*(getattr(self, name)[rows] for name in SUMS))


SUMS = tuple(f.name for f in dataclasses.fields(Sums))


def summed(problem: Canonical, rows: slice, top: Float64, rest: Float64) -> Sums:
    """Return the sums of rows with proven errors."""
    n = problem.shape[1]
    # Terms of R are right within EF + |d| u; sum e |d| <= R (log(n - 1) - log R), as entropy is at most log(n - 1).
    spread = np.maximum(math.log(max(n - 1, 1)) - np.log(np.maximum(rest, TINY)), 0.0)
    error = rest * ((EF + (depth(n) + 2) * U) + spread * U) * WIDEN + 8 * n * TINY
    tail = np.log1p(rest)
    relative = error / (1 + rest) * WIDEN
    tail_error = (relative + EF * tail) * WIDEN + 8 * TINY
    alone = _alone(problem, rows, rest)
    if alone.any():
        error, relative, tail_error = (np.where(alone, 0.0, v) for v in (error, relative, tail_error))
    return Sums(top, rest, error, relative, tail, tail_error)


def _alone(problem: Canonical, rows: slice, rest: Float64) -> Mask:
    """Return which rows have one class that takes part: their R is exactly 0, others' only underflows."""
    alone: Mask = rest == 0
    some = np.flatnonzero(alone)
    if some.size:
        takes_part = (problem.prediction[rows][some].astype(np.float64) != -np.inf) & problem.where[rows][some]
        alone[some] = takes_part.sum(axis=1) == 1
    return alone


@dataclass(eq=False)
class Slopes:
    """A gradient, or another array of a problem's shape, in the making: h and its bound, (N, C)."""

    h: Float64
    bound: Float64

    @classmethod
    def like(cls, x: Array) -> Slopes:
        """Return room for one of the same shape."""
        return cls(np.empty(x.shape), np.empty(x.shape))

    def enclosure(self) -> Enclosure:
        """Return h within its bound."""
        return enclosed(self.h, None, self.bound)


Use = Callable[[Block, Sums], None]
"""What is done with each block and its sums; it may overwrite d and e."""


def sweep(problem: Canonical, use: Use | None) -> Sums:
    """Return the sums of all rows, having used each block."""
    n = problem.shape[0]
    if use is None:
        top, rest = np.empty(n), np.empty(n)
        for block in blocks(problem, keep=False):
            top[block.rows], rest[block.rows] = block.top, block.rest
        return summed(problem, slice(0, n), top, rest)
    parts = []
    for block in blocks(problem, keep=True):
        parts.append(summed(problem, block.rows, block.top, block.rest))
        use(block, parts[-1])
    return Sums(*(np.concatenate([np.empty(0)] + [getattr(p, name) for p in parts]) for name in SUMS))


def probabilities(block: Block, sums: Sums, factor: Float64, out: Slopes, extra: Float64 | float = 0.0) -> None:
    """Put factor · p and its bound into the rows of a block; d and e are overwritten.

    The factor is right within 6u and what comes on top. Relative error of p: EF + |d| u for e, that of S, and u for
    each operation.
    """
    straight = block.e.flags.c_contiguous
    h = out.h[block.rows] if straight else block.e
    bound = out.bound[block.rows] if straight else block.d
    np.multiply(block.e, (factor / (1 + sums.rest))[:, None], out=h)
    if not np.isfinite(block.d.min()):
        np.maximum(block.d, LOWEST, out=block.d)  # so that 0 · inf does not arise
    np.multiply(block.d, -U, out=bound)
    np.add(bound, (sums.relative + (EF + 12 * U + extra))[:, None] * WIDEN, out=bound)
    np.multiply(bound, h, out=bound)
    if (factor < 0).any():
        np.abs(bound, out=bound)
    np.add(bound, tiny(factor)[:, None], out=bound)
    if not straight:
        np.copyto(out.h[block.rows], h)
        np.copyto(out.bound[block.rows], bound)


def tiny(factor: Float64) -> Float64:
    """Return what subnormals on the way to a slope may cost."""
    return np.where(factor == 0, 0.0, 8 * TINY * np.maximum(np.abs(factor), 1.0))
