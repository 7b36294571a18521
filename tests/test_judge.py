"""The judge: what it says of an answer's shape, dtype, value and gradient, and of refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lossconform.adapters.base import Answer, Refusal
from lossconform.adapters.miniatures import catalogue
from lossconform.judge import LENIENT, Oracle, bar, hex_of
from lossconform.reference.case import Case, Loss, Reduction, TargetForm
from lossconform.reference.grades import Grade
from lossconform.reference.policy import Policy

X = np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]], np.float32)


def oracle(policy: Policy | None = None, **changes: object) -> Oracle:
    case = Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY, prediction=X, target=np.array([2, 0]), target_form=TargetForm.INDEX
    ).replace(**changes)
    return Oracle.of(case, policy or Policy(), gradient=True)


def right() -> Answer:
    answer = oracle().answer()
    assert isinstance(answer, Answer)
    return answer


def test_the_exact_answer_rounded_is_right() -> None:
    judgement = oracle().judge(right(), Grade.CORRECTLY_ROUNDED)
    assert judgement.ok
    assert judgement.part == "gradient"
    assert judgement.entries == X.size


def test_a_wrong_gradient_is_named_with_its_entry() -> None:
    gradient = right().gradient
    assert gradient is not None
    gradient = gradient.copy()
    gradient[1, 2] = -gradient[1, 2]
    judgement = oracle().judge(Answer(right().value, gradient), LENIENT)
    assert not judgement.ok
    assert (judgement.part, judgement.index) == ("gradient", (1, 2))
    assert judgement.got == pytest.approx(-1 / 3)
    assert judgement.wanted == pytest.approx(1 / 3)
    assert "gradient[1, 2]" in judgement.problem
    assert "ULP" in judgement.problem


def test_a_wrong_value_is_shown_before_a_wrong_gradient() -> None:
    wrong = Answer(right().value * np.float32(1.001), np.zeros_like(X))
    assert oracle().judge(wrong, LENIENT).part == "value"
    assert oracle().judge(wrong, LENIENT, value=False).part == "gradient"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(np.zeros((), np.float32)), "value has shape (), not (2,)"),
        (Answer(np.zeros((2, 1), np.float32)), "value has shape (2, 1), not (2,)"),
        (Answer(np.zeros(2, np.int64)), "value has dtype int64, which is none of a loss"),
        (Refusal("ValueError", "no"), "refused with ValueError: no"),
    ],
)
def test_what_cannot_be_compared(answer: Answer | Refusal, said: str) -> None:
    judgement = oracle().judge(answer, LENIENT)
    assert not judgement.ok
    assert said in judgement.problem


def test_another_dtype_is_a_fault_only_where_it_is_asked_for() -> None:
    wide = Answer(right().value.astype(np.float64))
    assert oracle().judge(wide, LENIENT).ok
    judgement = oracle().judge(wide, LENIENT, strict=True)
    assert judgement.problem == "value has dtype float64, not float32"


def test_a_label_without_meaning_must_be_refused() -> None:
    asked = oracle(target=np.array([2, 7]))
    assert asked.refuses
    assert asked.judge(Refusal("IndexError", "Target 7 is out of bounds."), LENIENT).ok
    judgement = asked.judge(right(), LENIENT)
    assert "accepted in silence" in judgement.problem


def test_an_empty_answer_is_right() -> None:
    empty = oracle(prediction=X[:0], target=np.zeros(0, np.int64))
    assert empty.judge(Answer(np.zeros(0, np.float32), X[:0]), LENIENT).ok


def test_policies_change_what_is_right() -> None:
    ignored = {"target": np.array([2, -100]), "ignore_index": -100, "reduction": Reduction.MEAN}
    answers = {
        name: oracle(policy, **ignored).answer() for name, policy in Policy().alternatives("mean_denominator").items()
    }
    by_rows, by_kept = answers["elements"], answers["kept"]
    assert isinstance(by_rows, Answer)
    assert isinstance(by_kept, Answer)
    assert by_kept.value == pytest.approx(2 * float(by_rows.value))
    assert not oracle(Policy(mean_denominator="kept"), **ignored).judge(by_rows, LENIENT).ok


def test_hex() -> None:
    assert [hex_of(v) for v in (None, 0.5, np.nan, -np.inf)] == [None, "0x1.0000000000000p-1", "nan", "-inf"]


def test_a_large_case_is_judged_by_the_tiers_as_by_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [oracle(reduction=Reduction.MEAN).answer()]
    monkeypatch.setattr("lossconform.judge.LARGE", 0)
    found.append(oracle(reduction=Reduction.MEAN).answer())
    first, second = found
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.gradient is not None
    assert second.gradient is not None
    assert first.value == second.value
    assert np.array_equal(first.gradient, second.gradient)


def test_the_bar_is_that_of_the_loss_unless_more_is_promised() -> None:
    contract = catalogue.contract(Loss.BINARY_CROSS_ENTROPY)
    soft = Case(loss=Loss.SOFTMAX_CROSS_ENTROPY, prediction=X, target=np.array([2, 0]), target_form=TargetForm.INDEX)
    binary = Case(loss=Loss.BINARY_CROSS_ENTROPY, prediction=X, target=X * 0, target_form=TargetForm.BINARY)
    assert bar(soft, contract) is Grade.SHIFT_STABLE
    assert bar(binary, contract) is Grade.BACKWARD_STABLE
    for case in (soft, binary):
        assert bar(case, dataclasses.replace(contract, bar=Grade.FAITHFUL)) is Grade.FAITHFUL


def test_an_oracle_is_of_all_rows_and_any_order_of_summation_unless_it_is_said() -> None:
    asked = Oracle(oracle().case, Policy(), refuses=True)
    assert (asked.times, asked.any_order) == (1, True)
    case = oracle().case
    assert Oracle.of(case, Policy(), gradient=False).any_order
    assert not Oracle.of(case, Policy(), gradient=False, any_order=False).any_order


def test_what_was_asked_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[object, Oracle] = {}
    monkeypatch.setattr("lossconform.judge._kept", kept)
    monkeypatch.setattr("lossconform.judge.REMEMBERED", 2)
    case = oracle().case
    first = Oracle.of(case, Policy(), gradient=True)
    assert Oracle.of(case.replace(), Policy(), gradient=True) is first
    other = Oracle.of(case, Policy(), gradient=True, accumulator="float64", any_order=False)
    assert (other.accumulator, other.any_order) == ("float64", False)
    assert Oracle.of(case, Policy(), gradient=False).gradient is None
    assert Oracle.of(case, Policy(infinite_logit="limit"), gradient=True).value is not first.value
    for reduction in (Reduction.SUM, Reduction.MEAN):
        Oracle.of(case.replace(reduction=reduction), Policy(), gradient=True)
    assert len(kept) == 2
    assert Oracle.of(case, Policy(), gradient=True).value is not first.value
