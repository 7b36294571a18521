"""Questions about an answer: the same replies as from the exact tier, which the cheap tiers spare it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from containment import REGIMES, question
from drawn import questions
from hypothesis import given, settings
from hypothesis import strategies as st

from lossconform.reference import ask, exact, tiers
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.condition import conditions
from lossconform.reference.demand import Grading, Within, beside
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS, dtype_of
from lossconform.reference.grades import Grade, grade
from lossconform.reference.losses import FAMILIES
from lossconform.reference.policy import Policy

OFF = (0.0, 0.4, 0.6, 1.0, 3.0, 4.0, 50.0, 1e6)
"""By how many ULP answers are wrong, about."""


def answers(case: Case, policy: Policy, off: float, seed: int) -> tuple[Any, Any]:
    """Return the exact value and gradient of a case, off by so many ULP up or down, in the case's dtype."""
    result = exact.evaluate(case, policy)
    rng = np.random.default_rng(seed)

    def moved(part: Enclosure) -> Any:
        with np.errstate(all="ignore"):
            numbers = part.h + off * rng.choice([-1, 0, 1], part.shape) * part.spacing(case.format)
            return numbers.astype(case.prediction.dtype)

    assert result.gradient is not None
    return moved(result.value), moved(result.gradient)


@pytest.mark.parametrize(("loss", "form"), list(FAMILIES), ids=lambda part: str(part))
def test_the_replies_are_the_exact_tiers(loss: Loss, form: Form) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(questions(loss, form), st.sampled_from(OFF), st.integers(0, 2**32 - 1))
    def agree(asked: tuple[Case, Policy], off: float, seed: int) -> None:
        case, policy = asked
        fmt = case.format
        try:
            value, gradient = answers(case, policy, off, seed)
        except ValueError:
            return
        result = exact.evaluate(case, policy)
        assert result.gradient is not None
        parts = ((value, result.value), (gradient, result.gradient))
        graded = ask.grades(case, value=value, gradient=gradient, policy=policy)
        near = ask.within(case, 1.0, value=value, gradient=gradient, policy=policy)
        wide = conditions(canonical(case, policy))
        for (answer, bounds), condition, mine, close in zip(parts, wide, graded, near, strict=True):
            numbers = answer.astype(np.float64)
            told = grade(numbers, bounds, condition, fmt)
            assert np.array_equal(mine, told), (numbers[mine != told], bounds.h[mine != told], mine, told)
            assert np.array_equal(close, np.abs(bounds.ulps(numbers, fmt)) <= 1.0)

    agree()


def large(dtype: str, rows: int = 40) -> Case:
    """Return a case whose rows the fast tier covers."""
    x = np.random.default_rng(0).normal(0, 3, (rows, 7)).astype(dtype_of(dtype))
    return Case(loss=Loss.SOFTMAX_CROSS_ENTROPY, prediction=x, target=np.zeros(rows, int), target_form=TargetForm.INDEX)


@pytest.mark.parametrize("asked", [Within(64.0), Grading(Grade.SHIFT_STABLE)], ids=["within", "grading"])
def test_the_cheapest_tier_that_settles_it(asked: Within | Grading) -> None:
    # In float64 what the loss rounds to takes double-double; that an answer is right or far off does not.
    case = large("float64")
    h = exact.evaluate(case).value.h
    for off in (0.0, 1e4):
        told = type(asked)(**{**vars(asked), "value": h + off * np.spacing(h)})
        settled = tiers.examine(case, gradient=False, decide=told)[1].rows
        # What a grade allows of a tiny loss may be hardly more than the fast tier's own bound.
        assert settled["fast"] >= (40 if isinstance(asked, Within) or off else 38)
        assert settled.keys() <= {"fast", "double-double"}
    assert tiers.examine(case, gradient=False)[1].rows == {"double-double": 40}
    # Whether the nearest float64 number is the exact answer the fast tier seldom knows.
    if isinstance(asked, Within):
        assert tiers.examine(case, gradient=False, decide=Within(0.0, value=h))[1].rows["double-double"] > 20


def test_blocks_are_of_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    case = large("float32", 64)
    value = exact.evaluate(case).value.h.astype(np.float32)
    value[::7] *= np.float32(1.5)
    whole = ask.grades(case, value=value)[0]
    monkeypatch.setattr(tiers, "WHOLE", 1)
    monkeypatch.setattr(tiers, "LOGITS", 35)
    assert np.array_equal(ask.grades(case, value=value)[0], whole)
    assert whole is not None
    assert (whole[::7] > Grade.SEQUENTIAL).all()
    assert (whole[1::7] == Grade.CORRECTLY_ROUNDED).all()


@pytest.mark.parametrize("reduction", [Reduction.SUM, Reduction.MEAN])
def test_sums(reduction: Reduction) -> None:
    case = large("float32").replace(reduction=reduction)
    right = exact.evaluate(case).value.h.astype(np.float32)
    assert ask.within(case, 1.0, value=right)[0]
    assert not ask.within(case, 1.0, value=right * np.float32(1.01))[0]
    assert ask.grades(case, value=right)[0] == Grade.CORRECTLY_ROUNDED


def test_sums_in_any_order_are_granted_only_if_asked_for() -> None:
    x = np.zeros((1, 400), np.float32)
    case = Case(loss=Loss.LOG_SUM_EXP, prediction=x)
    # 200 roundings of the sum of exponentials: more than 2 sqrt(400), less than 399.
    value = (exact.evaluate(case).value.h + 200 * 2.0**-24).astype(np.float32)
    assert ask.grades(case, value=value)[0] == Grade.SEQUENTIAL
    assert ask.grades(case, value=value, any_order=True)[0] == Grade.SHIFT_STABLE
    assert ask.policies(case, "infinite_logit", Grade.SHIFT_STABLE, value=value) == set()
    assert len(ask.policies(case, "infinite_logit", Grade.SHIFT_STABLE, value=value, any_order=True)) == 3


class TestPolicies:
    """Which values of a policy an answer agrees with."""

    def case(self) -> Case:
        return Case(
            loss=Loss.SOFTMAX_CROSS_ENTROPY,
            prediction=np.array([[0, 1, 2], [1, 0, 0]], np.float32),
            target=np.array([0, 2]),
            target_form=TargetForm.INDEX,
            reduction=Reduction.MEAN,
            class_weight=np.array([1, 2, 4], np.float32),
        )

    @pytest.mark.parametrize(("policy", "agrees"), [("weights", {"weights"}), ("batch", {"elements", "kept", "batch"})])
    def test_a_denominator(self, policy: str, agrees: set[str]) -> None:
        case = self.case()
        value = exact.evaluate(case, Policy(mean_denominator=policy)).value.h.astype(np.float32)
        assert ask.policies(case, "mean_denominator", Grade.SHIFT_STABLE, value=value) == agrees

    def test_none(self) -> None:
        found = ask.policies(self.case(), "mean_denominator", Grade.SHIFT_STABLE, value=np.float32(17))
        assert found == frozenset()

    def test_an_answer_where_a_policy_refuses(self) -> None:
        case = self.case().replace(target=np.array([0, -1]), class_weight=None)
        value = exact.evaluate(case, Policy(negative_label="wrapped")).value.h.astype(np.float32)
        assert "wrapped" in ask.policies(case, "negative_label", Grade.SHIFT_STABLE, value=value)
        assert "error" not in ask.policies(case, "negative_label", Grade.SHIFT_STABLE, value=value)

    def test_an_unknown_one(self) -> None:
        with pytest.raises((KeyError, ValueError), match="mood"):
            ask.policies(self.case(), "mood", Grade.SHIFT_STABLE, value=np.float32(1))


class TestSettled:
    """A wide enclosure settles only what is the same anywhere in it."""

    FMT = FORMATS["float32"]
    CONDITION = conditions(canonical(large("float32", 1), Policy()))[0]

    def of(self, h: float, width: float) -> Enclosure:
        return Enclosure(*(np.array([v]) for v in (h, -width, width)))

    @pytest.mark.parametrize(("answer", "aside"), [(1.25, False), (1.2505, False), (1.35, True), (1.15, True)])
    def test_an_answer_inside_is_not_beside(self, answer: float, aside: bool) -> None:
        assert beside(np.array([answer]), self.of(1.25, 1e-3), self.FMT)[0] == aside

    @pytest.mark.parametrize(
        ("answer", "settled"), [(1.25, False), (1.25 + 2.0**-20, False), (1.35, True), (np.nan, True), (np.inf, True)]
    )
    def test_within(self, answer: float, settled: bool) -> None:
        wide = self.of(1.25, 2.0**-20)
        assert Within(2.0).settled(np.array([answer]), wide, self.CONDITION, self.FMT)[0] == settled

    def test_a_wide_enclosure_may_be_near(self) -> None:
        wide = self.of(1.25, 2.0**-20)
        assert Within(64.0).settled(np.array([1.25]), wide, self.CONDITION, self.FMT)[0]

    @pytest.mark.parametrize("asked", [Grading(), Grading(Grade.FAITHFUL)], ids=["grade", "bar"])
    def test_a_better_grade_may_lie_between(self, asked: Grading) -> None:
        wide = self.of(1.25, 0.125)
        assert not asked.settled(np.array([1.25]), wide, self.CONDITION, self.FMT)[0]
        assert asked.settled(np.array([3.0]), wide, self.CONDITION, self.FMT)[0]

    @pytest.mark.parametrize("asked", [Within(0.75), Grading()], ids=["within", "grading"])
    def test_the_spacing_may_change_between(self, asked: Within | Grading) -> None:
        # 2 - 2^-30 is 0.75 ULP from an answer just where an ULP is twice as long from 2 on.
        answer = np.array([2.0 + 1.5 * 2.0**-23])
        assert not asked.settled(answer, self.of(2.0, 2.0**-30), self.CONDITION, self.FMT)[0]

    def test_an_error_at_the_threshold_is_left_to_the_exact_tier(self) -> None:
        # One ULP is faithful; a bound that is wider by less than the error is rounded says neither.
        answer = np.array([1.25 + 2.0**-23])
        assert not Grading().settled(answer, self.of(1.25, 1e-40), self.CONDITION, self.FMT)[0]
        assert Grading().settled(answer, self.of(1.25, 0.0), self.CONDITION, self.FMT)[0]


class TestErrors:
    """Answers that are none."""

    def test_of_a_shape(self) -> None:
        with pytest.raises(ValueError, match=r"value: shape \(3,\); expected \(40,\)"):
            ask.within(large("float32"), 1.0, value=np.zeros(3, np.float32))
        with pytest.raises(ValueError, match=r"gradient: shape \(40,\); expected \(40, 7\)"):
            ask.grades(large("float32"), gradient=np.zeros(40, np.float32))

    @pytest.mark.parametrize("dtype", [np.int64, np.complex128, np.bool_])
    def test_of_a_dtype(self, dtype: Any) -> None:
        with pytest.raises(TypeError, match=f"value: dtype {np.dtype(dtype)}; expected a floating-point format"):
            ask.grades(large("float32"), value=np.zeros(40, dtype))

    def test_of_a_form_without_a_loss(self) -> None:
        case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.ones((1, 2)), form=Form.PROBABILITIES)
        with pytest.raises(ValueError, match="form: probabilities for log_sum_exp"):
            ask.within(case, 1.0, value=np.zeros(1))


@pytest.mark.parametrize("regime", REGIMES)
def test_most_of_a_regime_is_settled_before_the_exact_tier(regime: str) -> None:
    case = question("index", REGIMES[regime], "float64", 10, rows=200, seed=3)
    h = exact.evaluate(case, gradient=False).value.h
    finite = np.isfinite(h)
    counts = tiers.examine(case, gradient=False, decide=Grading(Grade.SHIFT_STABLE, value=h))[1]
    assert counts.rows.get("exact", 0) <= int((~finite).sum())


def test_the_readmes_example() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"## The reference alone\n.*?```python\n(.*?)```", readme, re.DOTALL)
    seen: dict[str, Any] = {}
    exec(code, seen)  # noqa: S102 - our own
    # The second row undoes its shift of 100 too early; how exact the first one is depends on NumPy.
    assert not seen["near"][1]
    assert seen["found"][0] <= Grade.SHIFT_STABLE
    assert seen["found"][1] == Grade.BACKWARD_STABLE
    assert seen["agrees"] == {"elements", "kept", "weights", "batch"}
    assert seen["exact"].gradient.shape == (2, 3)
