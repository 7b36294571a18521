"""The double-double tier: losses of the softmax of logits, for answers in float64.

The mathematics is that of the fast tier, the arithmetic that of `double_double`: about 90 bits. It is slower by an
order of magnitude, and it covers what the fast tier does, but for the gradient of a softmax whose factors differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import WIDEN, Bounds, Mask, U, collected, enclosed, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.double_double import EXP, FLOOR, LOG1P, ROUND, Pair
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.fast_sums import FEW
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import depth, fold_pairs, pair_plus_tail

BLOCK = 8192
"""Logits in a block: some twenty of its copies fit into a second-level cache."""


@dataclass(eq=False)
class Sums:
    """A block of rows: m, R, S = 1 + R, log S and, where kept, e, as pairs; the errors of S over S, and of log S."""

    rows: slice
    x: Float64
    which: NDArray[np.intp]
    top: Float64
    rest: Pair
    whole: Pair
    tail: Pair
    relative: Float64
    tail_error: Float64
    e: Pair | None


def sweep(problem: Canonical, keep: bool) -> Iterator[Sums]:
    """Yield the sums of the rows, block by block, with exp(x - m) if kept."""
    n, c = problem.x.shape
    size = max(1, BLOCK // c)
    order = "F" if c <= FEW else "C"
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        x = problem.x[rows]
        if problem.case.where is not None:
            x = np.where(problem.where[rows], x, -np.inf)
        lines = np.arange(len(x))
        which = x.argmax(axis=1)
        x = np.asarray(x, order=order)  # type: ignore[call-overload]
        top = x[lines, which]
        high, low = two_sum(x, -top[:, None])
        np.copyto(low, 0.0, where=~(high >= dd.LEAST) & ~np.isnan(high))
        high, low = dd.exp(high, low)
        e = (high.copy(order="K"), low.copy(order="K")) if keep else None
        high[lines, which] = low[lines, which] = 0.0
        rest = dd.fold(high, low)
        yield _summed(rows, x, which, top, rest, e)


def _summed(rows: slice, x: Float64, which: NDArray[np.intp], top: Float64, rest: Pair, e: Pair | None) -> Sums:
    n = x.shape[1]
    # Rows of one class that takes part: R is exactly 0.
    alone: Mask = rest[0] < n * FLOOR
    some = np.flatnonzero(alone)
    if some.size:
        alone[some] = (x[some] != -np.inf).sum(axis=1) == 1
    error = rest[0] * (EXP + (depth(n) + 3) ** 2 * 2.0**-106) * WIDEN + n * FLOOR
    rest = np.where(alone, 0.0, rest[0]), np.where(alone, 0.0, rest[1])
    one = np.ones_like(top), np.zeros_like(top)
    whole = dd.plus(one, rest)
    relative = np.where(alone, 0.0, error / whole[0] * WIDEN)
    tail = dd.log1p(*rest)
    tail_error = np.where(alone, 0.0, (relative + LOG1P * tail[0]) * WIDEN + FLOOR)
    return Sums(rows, x, which, top, rest, whole, tail, relative, tail_error, e)


@dataclass(eq=False)
class Table:
    """Enclosures in the making, (N, C)."""

    h: Float64
    lo: Float64
    hi: Float64

    @classmethod
    def like(cls, x: Float64) -> Table:
        """Return room for them."""
        return cls(np.empty(x.shape), np.empty(x.shape), np.empty(x.shape))

    def put(self, rows: slice, pair: Pair, error: Float64) -> None:
        """Put a pair, right within an error, into some rows."""
        margin = (error + np.abs(pair[1]) * (4 * U)) * WIDEN
        self.h[rows] = pair[0]
        self.lo[rows] = pair[1] - margin
        self.hi[rows] = pair[1] + margin

    def enclosure(self) -> Enclosure:
        """Return them."""
        return enclosed(self.h, self.lo, self.hi)


def given(problem: Canonical) -> Pair:
    """Return what each value is multiplied by on its way to the gradient, (N, entries), within ROUND."""
    high, low = dd.pair_of(1 / problem.denominator) if problem.denominator else (1.0, 0.0)
    shape = problem.cotangent.shape
    return dd.times((problem.cotangent, np.zeros(shape)), (np.full(shape, high), np.full(shape, low)))


def at(pair: Pair, rows: slice) -> Pair:
    """Return some rows of a pair."""
    return pair[0][rows], pair[1][rows]


def column(pair: Pair) -> Pair:
    """Return a pair of shape (N,) as (N, 1)."""
    return pair[0][:, None], pair[1][:, None]


def small(factor: Float64) -> Float64:
    """Return what exponentials below FLOOR may cost a slope, given its factor."""
    return np.where(factor == 0, 0.0, 8 * FLOOR * np.maximum(np.abs(factor), 1.0))


def share(sums: Sums, factor: Pair) -> tuple[Pair, Float64]:
    """Return factor · p, (B, C), and its error, for a factor right within 8 ROUND."""
    assert sums.e is not None  # noqa: S101 - kept
    over = column(dd.over(factor, sums.whole))
    p = dd.times(sums.e, over)
    error = np.abs(p[0]) * (sums.relative + (EXP + 16 * ROUND))[:, None] * WIDEN
    return p, error + small(factor[0])[:, None]


def log_sum_exp(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose m + log S; its gradient is p."""
    n = problem.x.shape[0]
    value, slopes = Table.like(np.empty((n, 1))), Table.like(problem.x)
    factor = at(given(problem), np.s_[:, 0])  # type: ignore[arg-type]
    top = np.empty(n)
    for s in sweep(problem, gradient):
        top[s.rows] = s.top
        parts = pair_plus_tail(s.top, np.zeros_like(s.top), 0.0, s.tail[0], s.tail_error, s.tail[1])
        value.h[s.rows, 0], value.lo[s.rows, 0], value.hi[s.rows, 0] = parts
        if gradient:
            slopes.put(s.rows, *share(s, at(factor, s.rows)))
    covered = sane(factor[0]) & np.isfinite(top)
    return collected(value.enclosure(), slopes.enclosure() if gradient else None, covered)


def softmax(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose p; its gradient only where the factors of a row are equal, and it is 0."""
    value, zero = Table.like(problem.x), Table(*(np.zeros(problem.x.shape) for _ in range(3)))
    covered = np.ones(problem.x.shape[0], bool)
    for s in sweep(problem, keep=True):
        one = np.ones_like(s.top), np.zeros_like(s.top)
        value.put(s.rows, *share(s, one))
        covered[s.rows] = np.isfinite(s.top)
    if gradient:
        covered &= (problem.cotangent == problem.cotangent[:, :1]).all(axis=1)
    return collected(value.enclosure(), zero.enclosure() if gradient else None, covered)


def log_softmax(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose (x_j - m) - log S; the gradient is c_j - p_j sum c_i, over the classes that take part."""
    value, slopes = Table.like(problem.x), Table.like(problem.x)
    covered = np.ones(problem.x.shape[0], bool)
    factor = given(problem) if gradient else None
    for s in sweep(problem, gradient):
        out = np.isneginf(s.x)
        gap, low = two_sum(s.top[:, None], -np.where(out, 0.0, s.x))
        tail, tail_low = column(s.tail)
        h, lo, hi = pair_plus_tail(gap, low, 0.0, tail, s.tail_error[:, None], tail_low)
        value.h[s.rows] = np.where(out, -np.inf, -h)
        value.lo[s.rows], value.hi[s.rows] = np.where(out, 0.0, -hi), np.where(out, 0.0, -lo)
        covered[s.rows] = np.isfinite(s.top)
        if factor is not None:
            f = tuple(np.where(problem.where[s.rows], part[s.rows], 0.0) for part in factor)
            high, low, lost = fold_pairs(np.concatenate(f, axis=1))
            mass = dd.quick_two_sum(high, low)
            # The sum's error relative to what is left of it, or absolute where nothing is: p <= 1.
            size = np.abs(f[0]).sum(axis=1) * (4 * ROUND) + lost * WIDEN
            none = mass[0] == 0
            p, error = share(s, mass)
            error += np.abs(p[0]) * (size / np.where(none, 1.0, np.abs(mass[0])))[:, None]
            error += np.where(none, size, 0.0)[:, None] + (np.abs(f[0]) + np.abs(p[0])) * (4 * ROUND)
            slopes.put(s.rows, dd.plus((f[0], f[1]), (-p[0], -p[1])), error)
    if factor is not None:
        covered &= sane_rows(factor[0])
    return collected(value.enclosure(), slopes.enclosure() if gradient else None, covered, np.isneginf(value.h))
