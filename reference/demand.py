"""Demands: what is asked of an enclosure, and which rows of one say enough to answer it.

A tier proves bounds. Whether they are narrow enough depends on the question: whether an answer is within a few ULP, or
has a grade, is mostly plain from bounds that cannot tell what the exact loss rounds to. A question about an answer is
settled where the answer to it is the same at both ends of the enclosure and nowhere between them another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from lossconform.reference.bounds import Mask
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Array, Case, Reduction, rows
from lossconform.reference.condition import conditions
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Float64, Format, format_of, ulp
from lossconform.reference.grades import USUAL, Condition, Grade, grade

Part = Literal["value", "gradient"]

SIGHT = 16_384
"""Numbers that are looked at in one go: six copies of them fit into a second-level cache."""


@dataclass(frozen=True, eq=False)
class Within:
    """Whether an answer is within so many ULP of the exact one.

    Attributes:
        ulps: how many, of the case's format at the exact answer.
        value: the answer's value, in the shape that the reduction gives; not asked about if None.
        gradient: its gradient, in the prediction's shape; not asked about if None.
    """

    ulps: float
    value: Array | None = None
    gradient: Array | None = None

    def holds(self, answer: Float64, bounds: Enclosure, condition: Condition, fmt: Format) -> Mask:  # noqa: ARG002
        """Return the entries that are within so many ULP of the middle of their enclosure."""
        near: Mask = np.abs(bounds.ulps(answer, fmt)) <= self.ulps
        return near

    def settled(self, answer: Float64, bounds: Enclosure, condition: Condition, fmt: Format) -> Mask:
        """Return the entries for which any number between the bounds gives the same."""
        low, high = (self.holds(answer, end, condition, fmt) for end in ends(answer, bounds))
        return steady(bounds, fmt) & ((low & high) | (~low & ~high & beside(answer, bounds, fmt)))


@dataclass(frozen=True, eq=False)
class Grading:
    """Which grade an answer has, or whether it has a bar's or better.

    Attributes:
        worst: the bar; None for the grade itself.
        value: the answer's value, in the shape that the reduction gives; not asked about if None.
        gradient: its gradient, in the prediction's shape; not asked about if None.
        accumulator: see `grades.Tolerances`.
        any_order: see `grades.Tolerances`.
    """

    worst: Grade | None = None
    value: Array | None = None
    gradient: Array | None = None
    accumulator: str = USUAL
    any_order: bool = False

    def grades(self, answer: Float64, bounds: Enclosure, condition: Condition, fmt: Format) -> NDArray[np.int64]:
        """Return the grade of each entry."""
        return grade(answer, bounds, condition, fmt, accumulator=self.accumulator, any_order=self.any_order)

    def settled(self, answer: Float64, bounds: Enclosure, condition: Condition, fmt: Format) -> Mask:
        """Return the entries for which any number between the bounds gives the same."""
        low, high = (self.grades(answer, end, condition, fmt) for end in ends(answer, bounds))
        # An error is largest at an end, so that no number between them gives a worse grade, but it may a better one.
        good = Grade.CORRECTLY_ROUNDED if self.worst is None else self.worst
        same = (low == high) if self.worst is None else (low > good) & (high > good)
        return steady(bounds, fmt) & (((low <= good) & (high <= good)) | (same & beside(answer, bounds, fmt)))


Decide = str | Within | Grading
"""What is asked: one of `WORDS`, or a question about an answer."""


SLACK = 2.0**-48
"""More than the rounding of an error, relative to it."""


def ends(answer: Float64, bounds: Enclosure) -> tuple[Enclosure, Enclosure]:
    """Return the lower and the upper bound as exact numbers, further apart by more than their errors are rounded."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(answer - bounds.h)
        slack = np.where((bounds.lo < bounds.hi) & np.isfinite(error), SLACK * error, 0.0)
    low, high = bounds.lo - slack, bounds.hi + slack
    return Enclosure(bounds.h, low, low), Enclosure(bounds.h, high, high)


def steady(bounds: Enclosure, fmt: Format) -> Mask:
    """Return where the format has one spacing between the bounds: no power of two is among them."""
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = (
            ulp(np.where(np.isfinite(v), v, fmt.finite_max), fmt) for v in (bounds.h + bounds.lo, bounds.h + bounds.hi)
        )
    return np.asarray(low == high)


def beside(answer: Float64, bounds: Enclosure, fmt: Format) -> Mask:
    """Return where an answer certainly lies on one side of its enclosure, or the exact answer is known."""
    low, high = (end.ulps(answer, fmt) for end in ends(answer, bounds))
    known = (bounds.lo == bounds.hi) | ~np.isfinite(bounds.h)
    aside: Mask = known | (np.sign(low) * np.sign(high) > 0)
    return aside


class Demand(ABC):
    """What is asked of the enclosures of one problem.

    Attributes:
        finer: whether bounds of the fast tier, which are of float64's width, seldom decide it for answers in float64.
    """

    finer = False

    @abstractmethod
    def rows(self, part: Part, bounds: Enclosure, at: NDArray[np.intp]) -> Mask:
        """Return which of some rows, given by their numbers, need nothing better."""

    @abstractmethod
    def whole(self, bounds: Enclosure) -> bool:
        """Return whether a sum or a mean needs nothing better."""


class _Nothing(Demand):
    def rows(self, part: Part, bounds: Enclosure, at: NDArray[np.intp]) -> Mask:  # noqa: ARG002
        return np.ones(len(at), bool)

    def whole(self, bounds: Enclosure) -> bool:  # noqa: ARG002
        return True


class Rounding(Demand):
    """That both bounds round to one number."""

    finer = True

    def __init__(self, fmt: Format) -> None:
        self.fmt = fmt

    def rows(self, part: Part, bounds: Enclosure, at: NDArray[np.intp]) -> Mask:  # noqa: ARG002
        """Return the rows that are sure to round to one number."""
        return one_number(bounds, self.fmt)

    def whole(self, bounds: Enclosure) -> bool:
        """Return whether a sum or a mean rounds to one number, or is NaN."""
        low, high = bounds.rounded(self.fmt)
        return bool(np.isnan(bounds.h) or low == high)


class _Settling(Demand):
    """A question about an answer, in rows as the tiers have them."""

    def __init__(self, asked: Within | Grading, problem: Canonical) -> None:
        self.asked, self.problem, self.fmt = asked, problem, problem.case.format
        # A sum over rows that is left open is for the exact tier, so its rows are better narrow.
        self.finer = problem.case.reduction is not Reduction.NONE

    @cached_property
    def parts(self) -> dict[Part, tuple[Float64, Condition]]:
        """The parts of the answer that are asked about, each with its condition."""
        asked, problem, found = self.asked, self.problem, {}
        case = problem.case
        value, gradient = conditions(problem)
        if asked.value is not None:
            answer = answered("value", asked.value, problem.value_shape)
            whole = case.reduction is not Reduction.NONE
            found["value"] = (answer, value) if whole else _in_rows(case, answer, value, problem.wide)
        if asked.gradient is not None:
            answer = answered("gradient", asked.gradient, case.prediction.shape)
            found["gradient"] = _in_rows(case, answer, gradient, True)
        return cast(dict[Part, tuple[Float64, Condition]], found)

    def rows(self, part: Part, bounds: Enclosure, at: NDArray[np.intp]) -> Mask:
        if part not in self.parts:
            return np.ones(len(at), bool)
        answer, condition = self.parts[part]
        some = replace(condition, **{name: getattr(condition, name)[at] for name in ARRAYS})
        return np.asarray(self.asked.settled(answer[at], bounds, some, self.fmt).all(axis=1))

    def whole(self, bounds: Enclosure) -> bool:
        if "value" not in self.parts:
            return True
        answer, condition = self.parts["value"]
        return bool(self.asked.settled(answer, bounds, condition, self.fmt))


ARRAYS = ("base", "shift", "terms", "batch", "floor")
"""The attributes of a condition that are arrays."""


def _in_rows(case: Case, answer: Float64, condition: Condition, wide: bool) -> tuple[Float64, Condition]:
    """Return an answer and its condition as (N, C), or as (N, 1) where a row has one value."""

    def brought(array: Array) -> Array:
        return rows(case, array) if wide else array.reshape(-1, 1)

    parts: dict[str, Any] = {name: brought(getattr(condition, name)) for name in ARRAYS}
    return brought(answer), replace(condition, **parts)


def answered(part: Part, answer: Array, shape: tuple[int, ...]) -> Float64:
    """Return an answer as float64. Raises TypeError for a dtype that no loss has, ValueError for a wrong shape."""
    array = np.asarray(answer)
    try:
        format_of(array.dtype)
    except TypeError:
        raise TypeError(f"{part}: dtype {array.dtype}; expected a floating-point format") from None
    if array.shape != shape:
        raise ValueError(f"{part}: shape {array.shape}; expected {shape}")
    return array.astype(np.float64)


WORDS = ("correct rounding", "nothing")
"""What may be asked without an answer: that enclosures round to one number, or only that they are proven."""


def demand(decide: Decide, problem: Canonical) -> Demand:
    """Return what is asked of a problem's enclosures.

    Raises:
        ValueError: for an unknown word, and for an answer of the wrong shape.
        TypeError: for an answer of a dtype that no loss has.
    """
    if isinstance(decide, Within | Grading):
        return _Settling(decide, problem)
    if decide not in WORDS:
        raise ValueError(f"decide: {decide!r}; expected one of {', '.join(WORDS)}, or a question about an answer")
    return _Nothing() if decide == "nothing" else Rounding(problem.case.format)


def one_number(part: Enclosure, fmt: Format) -> Mask:
    """Return the rows whose bounds all round to one number; NaN is none."""
    n, c = part.shape
    one = np.ones(n, bool)
    size = max(1, SIGHT // c)
    for start, first in product(range(0, n, size), range(0, c, SIGHT)):
        some, columns = slice(start, start + size), slice(first, first + SIGHT)
        sure = decided_at_sight(part.h[some, columns], part.lo[some, columns], part.hi[some, columns], fmt)
        one[some] &= sure.all() or sure.all(axis=1)
    left = np.flatnonzero(~one)
    if left.size:
        low, high = Enclosure(part.h[left], part.lo[left], part.hi[left]).rounded(fmt)
        # Below the spacing of float64's smallest numbers no pair of its numbers says more.
        little = (np.abs(low) < fmt.tiny) & (np.abs(high) < fmt.tiny) & (fmt.precision == 53)
        nothing_finer = np.where(little, high, 0.0) - np.where(little, low, 0.0) <= np.where(
            little, 2 * fmt.smallest, -1.0
        )
        one[left] = ((low == high) | nothing_finer).all(axis=1)
    return one


def decided_at_sight(h: Float64, lo: Float64, hi: Float64, fmt: Format) -> Mask:
    """Return where bounds certainly round to one number of the format, by arithmetic much cheaper than rounding.

    The bounds are widened by more than they are rounded, and split into as many bits as the format has (Veltkamp), or
    rounded to a multiple of its smallest number: if both come to one number, no midpoint lies between them.
    """
    with np.errstate(all="ignore"):
        if fmt.precision == 53:
            # The sum of two float64 numbers is itself correctly rounded, and rounding is monotonous.
            same: Mask = h + lo == h + hi
            return same
        size = np.abs(h)
        high = size * 2.0**-51
        low = lo - high
        low += h
        high += hi
        high += h
        normal: Mask = _head(low, fmt) == _head(high, fmt)
        width = hi - lo
        normal &= width <= size
        if not (size.min() >= 4 * fmt.tiny and size.max() <= fmt.finite_max / 4):
            normal &= (size >= 4 * fmt.tiny) & (size <= fmt.finite_max / 4)
        if normal.all():
            return normal
        anchor = 1.5 * 2.0**52 * fmt.smallest
        subnormal = ((low + anchor) - anchor == (high + anchor) - anchor) & (size <= fmt.tiny / 4)
        normal |= subnormal & (width <= fmt.tiny / 4)
    return normal


def _head(x: Float64, fmt: Format) -> Float64:
    """Return x rounded to as many bits as the format has, whatever its size (Veltkamp)."""
    head = x * (2.0 ** (53 - fmt.precision) + 1)
    head -= head - x
    return head
