"""Grades: how good an answer is, and the error that each grade allows.

An error in ULP or relative to the result is the wrong measure alone: a confident float32 loss below the unit roundoff
is returned as 0 by every implementation, and that is backward stable. So a grade's bound is made of the *condition* of
each entry, three nonnegative numbers a family of losses states:

    base   what a shifted, stable evaluation rounds: its error is a small multiple of u · base;
    shift  what is lost besides when the shift is undone too early (LSE - x_y): u · shift;
    terms  what a sum over n classes accumulates: its error is about sqrt(n) · u_acc · terms, at most n · u_acc · terms.

Derivation: docs/numerics.md; background: Blanchard, Higham, Higham, IMA J. Numer. Anal. 41(4), 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS, Float64, Format

FACTOR = 4.0
"""What multiplies u; the largest need seen over all regimes is 2.72."""


class Grade(IntEnum):
    """How good an answer is; smaller is better."""

    CORRECTLY_ROUNDED = 0
    FAITHFUL = 1
    ACCURATE = 2
    SHIFT_STABLE = 3
    BACKWARD_STABLE = 4
    SEQUENTIAL = 5
    INACCURATE = 6
    BROKEN = 7

    @property
    def label(self) -> str:
        """The name of the grade as reports write it."""
        return LABELS[self]


LABELS = {
    Grade.CORRECTLY_ROUNDED: "correctly rounded",
    Grade.FAITHFUL: "faithful",
    Grade.ACCURATE: "accurate",
    Grade.SHIFT_STABLE: "shift-stable",
    Grade.BACKWARD_STABLE: "backward-stable",
    Grade.SEQUENTIAL: "sequential",
    Grade.INACCURATE: "inaccurate",
    Grade.BROKEN: "broken",
}


SPACINGS = {Grade.CORRECTLY_ROUNDED: 0.5, Grade.FAITHFUL: 1.0, Grade.ACCURATE: 4.0}
"""The grades that allow so many spacings of the format, whatever the condition."""


@dataclass(frozen=True, eq=False)
class Condition:
    """The condition of each entry of a value or a gradient: arrays of its shape; see the module.

    Attributes:
        base: multiplies 4 u.
        shift: multiplies 4 u, from backward-stable on.
        terms: multiplies 2 sqrt(n) u_acc, or (n - 1) u_acc when sequential.
        n: how many terms a sum over classes has.
        batch: what a sum over rows accumulates, 0 without one; multiplies (2 sqrt(N) + 1) u_acc, or N u_acc.
        rows: N.
        floor: an absolute error that is always allowed: the smallest normal number, for a result flushed to zero.
    """

    base: Float64
    shift: Float64
    terms: Float64
    n: int
    batch: Float64
    rows: int
    floor: Float64


USUAL = "float32 or wider"
"""The accumulator of a loss function whose contract states none."""

ACCUMULATORS = {
    USUAL: "sums of float32 and below are accumulated in float32 or wider, those of float64 in float64",
    "float64": "every sum is accumulated in float64",
    "own dtype": "sums are accumulated in the dtype of the prediction, rounded to it after each addition",
}
"""The precision with which a loss function may accumulate, with what each means."""


def accumulator_roundoff(fmt: Format, accumulator: str = USUAL) -> float:
    """Return the unit roundoff with which sums are accumulated for predictions of a format."""
    if accumulator == "own dtype":
        return fmt.unit_roundoff
    widest = FORMATS["float32" if accumulator == USUAL else "float64"]
    return min(fmt.unit_roundoff, widest.unit_roundoff)


class Tolerances:
    """The errors that the grades allow at an exact answer: computed once, and asked about many answers.

    Args:
        exact: the exact answer.
        condition: returns its condition; called only where an answer is not the exact one, rounded.
        fmt: the format of the answers.
        accumulator: with what precision sums are accumulated, from `ACCUMULATORS`.
    """

    def __init__(
        self, exact: Enclosure, condition: Callable[[], Condition], fmt: Format, accumulator: str = USUAL
    ) -> None:
        self.exact, self.fmt, self.accumulator = exact, fmt, accumulator
        self._condition = condition
        self._allowed: dict[tuple[Grade, bool], Float64] = {}

    @cached_property
    def condition(self) -> Condition:
        """The condition of the exact answer."""
        return self._condition()

    @cached_property
    def rounded(self) -> tuple[Float64, Float64]:
        """The bounds of the exact answer, rounded to nearest."""
        return self.exact.rounded(self.fmt)

    @cached_property
    def spacing(self) -> Float64:
        """The spacing of the format at the exact answer."""
        return self.exact.spacing(self.fmt)

    def allowed(self, grade: Grade, *, any_order: bool) -> Float64:
        """Return the largest absolute error with which an answer still has a grade, for the grades that have a bound.

        Args:
            grade: CORRECTLY_ROUNDED to SEQUENTIAL.
            any_order: whether a sum may be made one by one whatever the grade, with n - 1 roundings for 2 sqrt(n).
        """
        key = grade, any_order
        if key not in self._allowed:
            self._allowed[key] = self._bound(grade, any_order)
        return self._allowed[key]

    def _bound(self, grade: Grade, any_order: bool) -> Float64:
        spacing = self.spacing
        if grade in SPACINGS:
            return SPACINGS[grade] * spacing
        u = self.fmt.unit_roundoff
        u_acc = accumulator_roundoff(self.fmt, self.accumulator)
        n, rows = self.condition.n, self.condition.rows
        inner, outer = 2 * np.sqrt(n), 2 * np.sqrt(rows) + 1
        if any_order or grade is Grade.SEQUENTIAL:
            inner, outer = max(float(n - 1), inner), max(float(rows), outer)
        condition = self.condition
        bound = FACTOR * u * condition.base + inner * u_acc * condition.terms + outer * u_acc * condition.batch
        if grade >= Grade.BACKWARD_STABLE:
            bound = bound + FACTOR * u * condition.shift
        result: Float64 = bound + condition.floor + spacing / 2
        return result

    def grades(self, answer: Float64, *, any_order: bool) -> NDArray[np.int64]:
        """Return the grade of each entry of an answer given as float64; `any_order` as `allowed` has it.

        An infinity counts as the next power of two beyond the format, so that an answer which overflows just where the
        exact one rounds to the largest number is not broken; in float64, where that is no number, it is. NaN for NaN
        and an infinity for itself are correctly rounded.
        """
        low, high = self.rounded
        exact = self.exact
        right = (answer == low) | (answer == high) | (np.isnan(answer) & np.isnan(exact.h))
        result = np.where(right, int(Grade.CORRECTLY_ROUNDED), int(Grade.INACCURATE))
        if right.all():
            return result
        result[~right & (~np.isfinite(answer) | ~np.isfinite(exact.h) | np.isinf(low))] = Grade.BROKEN
        error = exact.error(_finite(answer, exact, self.fmt))
        left = ~right & np.isfinite(error)
        for candidate in (Grade.FAITHFUL, Grade.ACCURATE, Grade.SHIFT_STABLE, Grade.BACKWARD_STABLE, Grade.SEQUENTIAL):
            within = left & (error <= self.allowed(candidate, any_order=any_order))
            result[within] = candidate
            left &= ~within
            if not left.any():
                break
        return result


def allowed(
    grade: Grade,
    exact: Enclosure,
    condition: Condition,
    fmt: Format,
    *,
    accumulator: str = USUAL,
    any_order: bool = False,
) -> Float64:
    """Return the largest absolute error that leaves an answer its grade; see `Tolerances`, where more are asked."""
    return Tolerances(exact, lambda: condition, fmt, accumulator).allowed(grade, any_order=any_order)


def grade(
    answer: Float64,
    exact: Enclosure,
    condition: Condition,
    fmt: Format,
    *,
    accumulator: str = USUAL,
    any_order: bool = False,
) -> NDArray[np.int64]:
    """Return the grade of each entry of an answer given as float64; see `Tolerances`, where more are asked."""
    return Tolerances(exact, lambda: condition, fmt, accumulator).grades(answer, any_order=any_order)


def _finite(answer: Float64, exact: Enclosure, fmt: Format) -> Float64:
    """Return the answer with infinities that stand for overflow as the next power of two beyond the format.

    In float64 that is an infinity.
    """
    beyond = np.copysign(2.0 * 2.0**fmt.max_exponent, answer)
    return np.where(np.isinf(answer) & np.isfinite(exact.h), beyond, answer)
