"""The judge: one answer against the reference, under one policy.

It knows accuracy only: whether a deviation is known, and what verdict a check reaches, is decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial

import numpy as np

from lossconform.adapters.base import Answer, Refusal
from lossconform.adapters.contract import Contract
from lossconform.reference import exact, tiers
from lossconform.reference.canonical import Canonical, LabelError, canonical
from lossconform.reference.case import Array, Case, Form, Loss, Reduction
from lossconform.reference.condition import conditions
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Format, format_of
from lossconform.reference.grades import USUAL, Condition, Grade, Tolerances
from lossconform.reference.policy import Policy
from lossconform.reference.repeats import folded

BARS: dict[tuple[Loss, Form], Grade] = {
    # x - x t + log1p(exp(-|x|)), which TensorFlow documents, undoes the shift for fractional targets.
    (Loss.BINARY_CROSS_ENTROPY, Form.LOGITS): Grade.BACKWARD_STABLE,
    # Its logarithm is that binary cross-entropy.
    (Loss.FOCAL, Form.LOGITS): Grade.BACKWARD_STABLE,
}
"""The worst grade that still passes an accuracy check, where it is not shift-stable."""

LENIENT = Grade.SEQUENTIAL
"""The worst grade that still passes a check of meaning: what plain summation may lose."""

LARGE = 512
"""Entries of a prediction above which the tiers before the exact one are asked first."""


def bar(case: Case, contract: Contract) -> Grade:
    """Return the worst grade that passes an accuracy check of a case: what its loss allows, unless more is promised."""
    return contract.bar or BARS.get((case.loss, case.form), Grade.SHIFT_STABLE)


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the judge says of one answer.

    Attributes:
        ok: whether every entry has the bar's grade or better.
        problem: what is wrong, in one line; empty if ok.
        part: 'value' or 'gradient', where an entry is shown.
        grade: the worst grade; None where nothing could be compared.
        ulp: the largest distance in ULP among finite entries.
        entries: how many were compared.
        index: the worst entry: the furthest off in ULP, where not ok among those of the worst grade.
        got: that entry of the answer.
        wanted: the exact answer there, rounded.
        distance: between them, in ULP, signed.
        bound: returns what the bar allows there, in ULP; None where all are correctly rounded.
    """

    ok: bool
    problem: str = ""
    part: str = "value"
    grade: Grade | None = None
    ulp: float | None = None
    entries: int = 0
    index: tuple[int, ...] | None = None
    got: float | None = None
    wanted: float | None = None
    distance: float | None = None
    bound: Callable[[], float] | None = None

    @property
    def allowed(self) -> float | None:
        """What the bar allows at the worst entry, in ULP, which takes longer than a verdict; None without a bound."""
        return None if self.bound is None else self.bound()


@dataclass(frozen=True, eq=False)
class Oracle:
    """The reference's answers to one case under one policy, computed once for many judgements.

    Attributes:
        refuses: the case has no answer under the policy: only a refusal is right.
        conditions: returns the condition of the 'value' and of the 'gradient', which not every answer needs.
        times: how many times over the case has the rows of `gradient`, which are all of it where that is 1.
        accumulator: with what precision sums may be accumulated, from `ACCUMULATORS`.
        any_order: whether a bar allows sums that are made one by one, which the grades below *sequential* do not.
    """

    case: Case
    policy: Policy
    refuses: bool
    value: Enclosure | None = None
    gradient: Enclosure | None = None
    conditions: Callable[[], Mapping[str, Condition]] = dict
    times: int = 1
    accumulator: str = USUAL
    any_order: bool = True

    @classmethod
    def of(
        cls, case: Case, policy: Policy, *, gradient: bool, accumulator: str = USUAL, any_order: bool = True
    ) -> Oracle:
        """Ask the reference, or remember what it said of the same case."""
        ask = _remembered if case.prediction.size <= LARGE else _asked
        return ask(case, policy, gradient, accumulator, any_order)

    def judge(self, answer: Answer | Refusal, worst: Grade, *, value: bool = True, strict: bool = False) -> Judgement:
        """Judge an answer: its shape, dtype, value and, where it has one, its gradient.

        Args:
            answer: what the loss function returned.
            worst: the worst grade that passes.
            value: whether the value matters where there is a gradient; one part is shown, the first that is wrong.
            strict: whether the shape and the dtype alone are judged, which must be the prediction's; else the numbers.
        """
        if isinstance(answer, Refusal):
            if self.refuses:
                return Judgement(ok=True)
            return Judgement(ok=False, problem=f"refused with {answer.kind}: {answer.message}")
        if self.refuses:
            return Judgement(ok=False, problem=f"accepted in silence; value {_short(answer.value)}")
        got = answer.gradient
        if value or got is None or self.gradient is None:
            first = self._part("value", answer.value, worst, strict)
            if not first.ok or got is None or self.gradient is None:
                return first
        return self._part("gradient", got, worst, strict)

    def answer(self) -> Answer | Refusal:
        """Return what a correctly rounding loss function would answer."""
        if self.value is None:
            return Refusal("LabelError", "the label is not a class")
        dtype = self.case.prediction.dtype
        value = self.value.rounded(self.case.format)[0].astype(dtype)
        if self.gradient is None:
            return Answer(value)
        gradient = self.gradient.rounded(self.case.format)[0].astype(dtype)
        return Answer(value, np.concatenate([gradient] * self.times) if self.times > 1 else gradient)

    @cached_property
    def _tolerances(self) -> dict[str, Tolerances]:
        """What is allowed of each part."""
        return {
            part: Tolerances(exact, partial(self._condition, part), self.case.format, self.accumulator)
            for part, exact in (("value", self.value), ("gradient", self.gradient))
            if exact is not None
        }

    def _condition(self, part: str) -> Condition:
        return self.conditions()[part]

    def _part(self, part: str, got: Array, worst: Grade, strict: bool) -> Judgement:
        fmt = self.case.format
        shape = self.case.prediction.shape if part == "gradient" else self._tolerances[part].exact.shape
        if tuple(got.shape) != shape:
            return Judgement(ok=False, part=part, problem=f"{part} has shape {tuple(got.shape)}, not {shape}")
        # A value of another dtype is a question of its own; a gradient of another dtype is no gradient.
        wrong = wrong_dtype(got, fmt, any_float=part == "value" and not strict)
        if wrong:
            return Judgement(ok=False, part=part, problem=f"{part} {wrong}")
        if strict:
            return Judgement(ok=True, part=part)
        if not got.size:
            return Judgement(ok=True, part=part, grade=Grade.CORRECTLY_ROUNDED, ulp=0.0)
        numbers = got.astype(np.float64)
        rows = None
        tolerances, any_order = self._tolerances[part], self.any_order
        if part == "gradient" and self.times > 1:
            rows = farthest_rows(numbers, self.times)
            numbers, tolerances = numbers[rows], _of_rows(tolerances, rows % len(tolerances.exact.h))
        grades = tolerances.grades(numbers, any_order=False)
        failing = grades > worst
        if any_order and failing.any():
            failing = tolerances.grades(numbers, any_order=True) > worst
        distance = tolerances.exact.ulps(numbers, fmt)
        ok = not failing.any()
        verdict = Grade(int((grades if ok else grades[failing]).max()))
        # What is shown has the grade that is named, so that no passing entry hides the one that fails.
        away = np.abs(distance) if ok else np.where(failing & (grades == verdict), np.abs(distance), -1.0)
        flat = int(np.argmax(away))
        index = tuple(int(k) for k in np.unravel_index(flat, numbers.shape))
        place = index if rows is None else (int(rows[index[0]]), *index[1:])
        low, _ = tolerances.rounded
        finite = np.abs(distance[np.isfinite(distance)])
        bound = partial(_bound, tolerances, worst, any_order, index)
        problem = ""
        if not ok:
            spot = f"{part}{list(place)}" if place else part
            problem = (
                f"{spot} is {float(numbers[index])!r}, exactly {float(low[index])!r}: {verdict.label}, "
                f"{abs(float(distance[index])):.3g} ULP off where {bound():.3g} are allowed"
            )
        return Judgement(
            ok=ok,
            problem=problem,
            part=part,
            grade=verdict,
            ulp=float(finite.max()) if finite.size else 0.0,
            entries=int(got.size),
            index=place,
            got=float(numbers[index]),
            wanted=float(low[index]),
            distance=float(distance[index]),
            bound=None if verdict is Grade.CORRECTLY_ROUNDED else bound,
        )


def _bound(tolerances: Tolerances, worst: Grade, any_order: bool, index: tuple[int, ...]) -> float:
    """Return what a bar allows of an entry, in ULP."""
    with np.errstate(over="ignore"):
        return float((tolerances.allowed(worst, any_order=any_order) / tolerances.spacing)[index])


REMEMBERED = 8192
"""How many oracles of few numbers are kept: about as many as a target asks for."""

_kept: dict[tuple[bytes, Policy, bool, str, bool], Oracle] = {}


def _remembered(case: Case, policy: Policy, gradient: bool, accumulator: str, any_order: bool) -> Oracle:
    """Return the oracle of a case: what loss functions, modes and checks have in common is computed once."""
    key = (case.fingerprint, policy, gradient, accumulator, any_order)
    if key not in _kept:
        if len(_kept) >= REMEMBERED:
            del _kept[next(iter(_kept))]
        _kept[key] = _asked(case, policy, gradient, accumulator, any_order)
    return _kept[key]


def _asked(case: Case, policy: Policy, gradient: bool, accumulator: str, any_order: bool) -> Oracle:
    """Ask the reference; of rows that are few rows over and over, only those few."""
    few, times = folded(case)
    try:
        problem = canonical(few, policy)
    except LabelError:
        return Oracle(case, policy, refuses=True)
    # Both are proven. Of few numbers the exact tier is as fast, and the same to the last digit on every machine.
    evaluate = tiers.evaluate if few.prediction.size > LARGE else exact.evaluate
    result = evaluate(few, policy, gradient=gradient)
    exactly = result.value
    if case.reduction is Reduction.SUM:
        exactly = Enclosure(*(part * times for part in (exactly.h, exactly.lo, exactly.hi)))
    found = cache(partial(_conditions, problem, times))
    return Oracle(case, policy, False, exactly, result.gradient, found, times, accumulator, any_order)


def _conditions(problem: Canonical, times: int) -> dict[str, Condition]:
    """Return the condition of the value and of the gradient of a problem's rows, so many times over."""
    value, slope = (replace(c, rows=c.rows * times) for c in conditions(problem))
    if problem.case.reduction is Reduction.SUM:
        parts = {name: getattr(value, name) * times for name in ("base", "shift", "terms", "batch")}
        value = replace(value, **parts)
    return {"value": value, "gradient": slope}


def farthest_rows(numbers: Array, times: int) -> Array:
    """Return the rows of an array, few rows so many times over, that hold the least or the greatest of each entry.

    The exact answer is the same in every repetition and an error grows with the distance from it, so no other row is
    graded worse. NaN counts as the least and the greatest.
    """
    turns = numbers.reshape(times, -1, *numbers.shape[1:])
    few = turns.shape[1]
    here = np.arange(few).reshape(-1, *(1 for _ in turns.shape[2:]))
    rows = np.concatenate([turns.argmin(axis=0) * few + here, turns.argmax(axis=0) * few + here])
    return np.unique(rows)


def _of_rows(tolerances: Tolerances, rows: Array) -> Tolerances:
    """Return what is allowed of some rows."""
    exact, condition = tolerances.exact, tolerances.condition
    parts = {name: getattr(condition, name)[rows] for name in ("base", "shift", "terms", "batch", "floor")}
    some = Enclosure(exact.h[rows], exact.lo[rows], exact.hi[rows])
    return Tolerances(some, lambda: replace(condition, **parts), tolerances.fmt, tolerances.accumulator)


def wrong_dtype(got: Array, fmt: Format, *, any_float: bool) -> str:
    """Say what is wrong with the dtype of an answer; empty if nothing is."""
    try:
        own = format_of(got.dtype)
    except TypeError:
        return f"has dtype {got.dtype}, which is none of a loss"
    return "" if any_float or own == fmt else f"has dtype {got.dtype}, not {fmt.name}"


def _short(value: Array) -> str:
    numbers = value.astype(np.float64).ravel()[:4].tolist()
    return ", ".join(f"{v:.6g}" for v in numbers) + (", ..." if value.size > 4 else "")


def hex_of(x: float | None) -> str | None:
    """Return a number as a hex float; nan, inf and -inf as such."""
    if x is None:
        return None
    return x.hex() if math.isfinite(x) else str(x)
