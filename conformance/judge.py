"""The judge: one answer against the reference, under one policy.

It knows accuracy only: whether a deviation is known, and what verdict a check reaches, is decided elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lossconform.adapters.base import Answer, Refusal
from lossconform.reference.canonical import LabelError, canonical
from lossconform.reference.case import Array, Case, Form, Loss
from lossconform.reference.condition import conditions
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import evaluate
from lossconform.reference.formats import format_of
from lossconform.reference.grades import Condition, Grade, allowed, grade
from lossconform.reference.policy import Policy

BARS: dict[tuple[Loss, Form], Grade] = {
    # x - x t + log1p(exp(-|x|)), which TensorFlow documents, undoes the shift for fractional targets.
    (Loss.BINARY_CROSS_ENTROPY, Form.LOGITS): Grade.BACKWARD_STABLE,
}
"""The worst grade that still passes an accuracy check, where it is not shift-stable."""

LENIENT = Grade.SEQUENTIAL
"""The worst grade that still passes a check of meaning: what plain summation may lose."""


def bar(case: Case) -> Grade:
    """Return the worst grade that passes an accuracy check of this loss."""
    return BARS.get((case.loss, case.form), Grade.SHIFT_STABLE)


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
        index: the worst entry.
        got: that entry of the answer.
        wanted: the exact answer there, rounded.
        distance: between them, in ULP, signed.
        allowed: what the bar allows there, in ULP.
        row: the row of the worst entry.
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
    expected: Array | None = None
    grades: Array | None = None


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
        result = evaluate(case, policy, gradient=gradient)
        value, slope = conditions(problem)
        return cls(case, policy, False, result.value, result.gradient, value, slope)

    def judge(self, answer: Answer | Refusal, worst: Grade) -> Judgement:
        """Judge an answer: its shape, dtype, value and, where it has one, its gradient."""
        if isinstance(answer, Refusal):
            if self.refuses:
                return Judgement(True)
            return Judgement(False, f"refused with {answer.kind}: {answer.message}")
        if self.refuses:
            return Judgement(False, f"accepted in silence; value {_short(answer.value)}")
        assert self.value is not None and self.value_condition is not None  # noqa: S101, PT018 - not refused
        first = self._part("value", answer.value, self.value, self.value_condition, worst)
        if answer.gradient is None or self.gradient is None or self.gradient_condition is None or not first.ok:
            return first
        second = self._part("gradient", answer.gradient, self.gradient, self.gradient_condition, worst)
        return second

    def _part(self, part: str, got: Array, exact: Enclosure, condition: Condition, worst: Grade) -> Judgement:
        fmt = self.case.format
        if tuple(got.shape) != exact.shape:
            return Judgement(False, f"{part} has shape {tuple(got.shape)}, not {exact.shape}", part)
        try:
            own = format_of(got.dtype)
        except TypeError:
            own = None
        if own != fmt:
            return Judgement(False, f"{part} has dtype {got.dtype}, not {fmt.name}", part)
        if got.size == 0:
            return Judgement(True, part=part, grade=Grade.CORRECTLY_ROUNDED, ulp=0.0)
        numbers = got.astype(np.float64)
        grades = grade(numbers, exact, condition, fmt)
        distance = exact.ulps(numbers, fmt)
        bound = allowed(min(worst, LENIENT), exact, condition, fmt) / exact.spacing(fmt)
        flat = int(np.argmax(np.where(np.isnan(distance), np.inf, np.abs(distance)) + 1e300 * (grades > worst)))
        index = tuple(int(k) for k in np.unravel_index(flat, got.shape))
        low, _ = exact.rounded(fmt)
        finite = np.abs(distance[np.isfinite(distance)])
        ok = bool((grades <= worst).all())
        verdict = Grade(int(grades.max()))
        spot = f"{part}{list(index) if index else ''}"
        problem = (
            ""
            if ok
            else (
                f"{spot} is {numbers[index]!r}, exactly {low[index]!r}: {verdict.label}, "
                f"{abs(float(distance[index])):.3g} ULP where {float(bound[index]):.3g} are allowed"
            )
        )
        return Judgement(
            ok, problem.replace("np.float64(", "").replace(")", "") if problem else "", part, verdict,
            float(finite.max()) if finite.size else 0.0, int(got.size), index,
            float(numbers[index]), float(low[index]), float(distance[index]), float(bound[index]), low, grades,
        )  # fmt: skip


def _short(value: Array) -> str:
    numbers = value.astype(np.float64).ravel()[:4].tolist()
    return ", ".join(f"{v:.6g}" for v in numbers) + (", ..." if value.size > 4 else "")


def hex_of(x: float | None) -> str | None:
    """Return a number as a hex float; nan, inf and -inf as such."""
    if x is None:
        return None
    return x.hex() if math.isfinite(x) else str(x)
