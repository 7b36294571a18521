"""The double-double tier's sums of exponentials, in blocks of rows, and the enclosures made of them.

The mathematics is that of `fast_sums`, the arithmetic that of `double_double`: about 90 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import WIDEN, Mask, U, enclosed
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Array
from lossconform.reference.double_double import EXP, FLOOR, LOG1P, ROUND, Pair
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.fast_sums import FEW
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import halvings

BLOCK = 8192
"""Logits in a block: some twenty of its copies fit into a second-level cache."""

SMALLEST = 2.0**-1074
VANISHED = -746.0
"""exp of less is below half the smallest number of float64."""


@dataclass(eq=False)
class Sums:
    """Rows: m, R and S = 1 + R as pairs, the error of S over S, and which rows have a log S below SMALLEST.

    Where one class takes part R is exactly 0, and so is its error.
    """

    top: Float64
    rest: Pair
    whole: Pair
    relative: Float64
    vanished: Mask

    def tail(self) -> tuple[Pair, Float64]:
        """Return log S and its error."""
        high, low = dd.log1p(*self.rest)
        error = (self.relative + LOG1P * high) * WIDEN + np.where(self.rest[0] == 0, 0.0, FLOOR)
        gone = self.vanished
        if gone.any():
            high, low, error = np.where(gone, 0.0, high), np.where(gone, 0.0, low), np.where(gone, SMALLEST, error)
        return (high, low), error


@dataclass(eq=False)
class Block:
    """Some rows with the logits that take part, -inf elsewhere, and the exponentials of x - m, (B, C)."""

    rows: slice
    x: Float64
    e: Pair


Use = Callable[[Block, Sums], None]


def sweep(problem: Canonical, use: Use | None) -> Sums:
    """Return the sums of all rows, having used each block."""
    n, c = problem.shape
    size = max(1, BLOCK // c)
    top, high, low = np.empty(n), np.empty(n), np.empty(n)
    parts = []
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        x, e, top[rows], (high[rows], low[rows]) = _block(problem, rows, use is not None)
        if use is not None and e is not None:
            parts.append(_summed(problem, rows, top[rows], (high[rows], low[rows])))
            use(Block(rows, x, e), parts[-1])
    if use is None:
        return _summed(problem, slice(0, n), top, (high, low))
    return _joined(parts)


def _joined(parts: list[Sums]) -> Sums:
    def pair(name: str) -> Pair:
        pairs = [getattr(p, name) for p in parts]
        return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])

    return Sums(
        np.concatenate([p.top for p in parts]),
        pair("rest"),
        pair("whole"),
        np.concatenate([p.relative for p in parts]),
        np.concatenate([p.vanished for p in parts]),
    )


def _block(problem: Canonical, rows: slice, keep: bool) -> tuple[Float64, Pair | None, Float64, Pair]:
    """Return the logits that take part, their exponentials if kept, the largest, and R."""
    x = problem.prediction[rows].astype(np.float64)
    if problem.case.where is not None:
        x = np.where(problem.where[rows], x, -np.inf)
    lines = np.arange(len(x))
    which = x.argmax(axis=1)
    x = np.asfortranarray(x) if x.shape[1] <= FEW else x
    top = x[lines, which]
    high, low = two_sum(x, -top[:, None])
    np.copyto(low, 0.0, where=high < dd.LEAST)
    high, low = dd.exp(high, low)
    e = (high.copy(order="K"), low.copy(order="K")) if keep else None
    high[lines, which] = low[lines, which] = 0.0
    return x, e, top, dd.fold(high, low)


def _summed(problem: Canonical, rows: slice, top: Float64, rest: Pair) -> Sums:
    n = problem.shape[1]
    error = rest[0] * (EXP + (halvings(n) + 3) ** 2 * 2.0**-106) * WIDEN + n * FLOOR
    alone, vanished = _little(problem, rows, top, rest[0] < n * FLOOR)
    high, low = rest
    if alone.any():
        high, low, error = (np.where(alone, 0.0, v) for v in (high, low, error))
    whole = dd.plus((np.ones_like(top), np.zeros_like(top)), (high, low))
    return Sums(top, (high, low), whole, error / whole[0] * WIDEN, vanished)


def _little(problem: Canonical, rows: slice, top: Float64, some: Mask) -> tuple[Mask, Mask]:
    """Return of some rows which have one class that takes part, and in which R is below SMALLEST but not 0."""
    alone, vanished = np.zeros(len(top), bool), np.zeros(len(top), bool)
    which = np.flatnonzero(some)
    if which.size:
        x = np.where(problem.where[rows][which], problem.prediction[rows][which].astype(np.float64), -np.inf)
        x[np.arange(len(x)), x.argmax(axis=1)] = -np.inf
        second = x.max(axis=1)
        alone[which] = np.isneginf(second)
        vanished[which] = (second - top[which] < VANISHED - np.log(x.shape[1])) & ~np.isneginf(second)
    return alone, vanished


@dataclass(eq=False)
class Table:
    """Enclosures in the making, (N, C)."""

    h: Float64
    lo: Float64
    hi: Float64

    @classmethod
    def like(cls, x: Array) -> Table:
        """Return room for them."""
        return cls(np.empty(x.shape), np.empty(x.shape), np.empty(x.shape))

    def put(self, rows: Any, pair: Pair, error: Float64) -> None:
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


def at(pair: Pair, rows: Any) -> Pair:
    """Return some rows of a pair."""
    return pair[0][rows], pair[1][rows]


def column(pair: Pair) -> Pair:
    """Return a pair of shape (N,) as (N, 1)."""
    return pair[0][:, None], pair[1][:, None]


def small(factor: Float64) -> Float64:
    """Return what exponentials below FLOOR may cost a slope, given its factor."""
    return np.where(factor == 0, 0.0, 8 * FLOOR * np.maximum(np.abs(factor), 1.0))


def share(block: Block, sums: Sums, factor: Pair, out: Table, added: Float64 | float = 0.0) -> None:
    """Put factor · p into the rows of a block, for a factor right within 8 ROUND and what is said to come on top."""
    over = column(dd.over(factor, sums.whole))
    p = dd.times(block.e, over)
    relative = (sums.relative + (EXP + 16 * ROUND) + added) * WIDEN
    out.put(block.rows, p, np.abs(p[0]) * relative[:, None] + small(factor[0])[:, None])


def settle(block: Block, sums: Sums, factor: Float64, out: Table) -> None:
    """Make exact what `share` put where a class takes no part, and tight where its exponential has vanished."""
    d = block.x - sums.top[:, None]
    gone = d < VANISHED
    if not gone.any():
        return
    plain = gone & (np.abs(factor) <= 1)[:, None]
    sign = np.sign(factor)[:, None]
    none = np.isneginf(block.x) | (sign == 0)
    rows = block.rows
    out.h[rows] = np.where(plain, 0.0, out.h[rows])
    out.lo[rows] = np.where(plain, np.where(none | (sign > 0), 0.0, -SMALLEST), out.lo[rows])
    out.hi[rows] = np.where(plain, np.where(none | (sign < 0), 0.0, SMALLEST), out.hi[rows])
