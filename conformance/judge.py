"""The judge: one answer against the reference, under one policy.

It knows accuracy only: whether a deviation is known, and what verdict a check reaches, is decided elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lossconform.adapters.base import Answer, Refusal
from lossconform.adapters.contract import Contract
from lossconform.reference import exact, tiers
from lossconform.reference.canonical import LabelError, canonical
from lossconform.reference.case import Array, Case, Form, Loss
from lossconform.reference.condition import conditions
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Format, format_of
from lossconform.reference.grades import Condition, Grade, allowed, grade
from lossconform.reference.policy import Policy

BARS: dict[tuple[Loss, Form], Grade] = {
    # x - x t + log1p(exp(-|x|)), which TensorFlow documents, undoes the shift for fractional targets.
    (Loss.BINARY_CROSS_ENTROPY, Form.LOGITS): Grade.BACKWARD_STABLE,
    # Its logarithm is that binary cross-entropy.
    (Loss.FOCAL, Form.LOGITS): Grade.BACKWARD_STABLE,
}
"""The worst grade that still passes an accuracy check, where it is not shift-stable."""

LENIENT = Grade.SEQUENTIAL
"""The worst grade that still passes a check of meaning: what plain summation may lose."""

LARGE = 1024
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
        allowed: what the bar allows there, in ULP.
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
    allowed: float | None = None


@dataclass(frozen=True, eq=False)
class Oracle:
    """The reference's answers to one case under one policy, computed once for many judgements.

    Attributes:
        refuses: the case has no answer under the policy: only a refusal is right.
    """

    case: Case
    policy: Policy
    refuses: bool
    value: Enclosure | None = None
    gradient: Enclosure | None = None
    value_condition: Condition | None = None
    gradient_condition: Condition | None = None

    @classmethod
    def of(cls, case: Case, policy: Policy, *, gradient: bool) -> Oracle:
        """Ask the reference."""
        try:
            problem = canonical(case, policy)
        except LabelError:
            return cls(case, policy, refuses=True)
        # Both are proven. Of few numbers the exact tier is as fast, and the same to the last digit on every machine.
        evaluate = tiers.evaluate if case.prediction.size > LARGE else exact.evaluate
        result = evaluate(case, policy, gradient=gradient)
        value, slope = conditions(problem)
        return cls(case, policy, False, result.value, result.gradient, value, slope)

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
        assert self.value is not None  # noqa: S101 - not refused
        assert self.value_condition is not None  # noqa: S101 - comes with the value
        got, gradient = answer.gradient, self.gradient
        if value or got is None or gradient is None:
            first = self._part("value", answer.value, self.value, self.value_condition, worst, strict)
            if not first.ok or got is None or gradient is None:
                return first
        assert self.gradient_condition is not None  # noqa: S101 - comes with the gradient
        return self._part("gradient", got, gradient, self.gradient_condition, worst, strict)

    def answer(self) -> Answer | Refusal:
        """Return what a correctly rounding loss function would answer."""
        if self.value is None:
            return Refusal("LabelError", "the label is not a class")
        dtype = self.case.prediction.dtype
        value = self.value.rounded(self.case.format)[0].astype(dtype)
        if self.gradient is None:
            return Answer(value)
        return Answer(value, self.gradient.rounded(self.case.format)[0].astype(dtype))

    def _part(
        self, part: str, got: Array, exact: Enclosure, condition: Condition, worst: Grade, strict: bool
    ) -> Judgement:
        fmt = self.case.format
        if tuple(got.shape) != exact.shape:
            return Judgement(ok=False, part=part, problem=f"{part} has shape {tuple(got.shape)}, not {exact.shape}")
        # A value of another dtype is a question of its own; a gradient of another dtype is no gradient.
        wrong = wrong_dtype(got, fmt, any_float=part == "value" and not strict)
        if wrong:
            return Judgement(ok=False, part=part, problem=f"{part} {wrong}")
        if strict:
            return Judgement(ok=True, part=part)
        if not got.size:
            return Judgement(ok=True, part=part, grade=Grade.CORRECTLY_ROUNDED, ulp=0.0)
        numbers = got.astype(np.float64)
        grades = grade(numbers, exact, condition, fmt)
        distance = exact.ulps(numbers, fmt)
        with np.errstate(over="ignore"):
            bound = allowed(worst, exact, condition, fmt) / exact.spacing(fmt)
        ok = bool((grades <= worst).all())
        verdict = Grade(int(grades.max()))
        # What is shown has the grade that is named, so that no passing entry hides the one that fails.
        away = np.abs(distance) if ok else np.where(grades == verdict, np.abs(distance), -1.0)
        flat = int(np.argmax(away))
        index = tuple(int(k) for k in np.unravel_index(flat, got.shape))
        low, _ = exact.rounded(fmt)
        finite = np.abs(distance[np.isfinite(distance)])
        problem = ""
        if not ok:
            spot = f"{part}{list(index)}" if index else part
            problem = (
                f"{spot} is {float(numbers[index])!r}, exactly {float(low[index])!r}: {verdict.label}, "
                f"{abs(float(distance[index])):.3g} ULP off where {float(bound[index]):.3g} are allowed"
            )
        return Judgement(
            ok=ok,
            problem=problem,
            part=part,
            grade=verdict,
            ulp=float(finite.max()) if finite.size else 0.0,
            entries=int(got.size),
            index=index,
            got=float(numbers[index]),
            wanted=float(low[index]),
            distance=float(distance[index]),
            allowed=float(bound[index]),
        )


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
