"""Cases of very many rows: how they are recognised, written down, judged and made."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from lossconform.adapters.base import Answer, list_source, shown
from lossconform.adapters.command import Command, CommandEngine
from lossconform.adapters.contract import DTYPES, Contract
from lossconform.adapters.miniatures import catalogue, faulty
from lossconform.checks import CHECKS
from lossconform.checks.check import Question
from lossconform.examine import examine
from lossconform.judge import LARGE, LENIENT, Oracle, farthest_rows
from lossconform.profiles import PROFILES
from lossconform.reference import tiers
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.condition import conditions
from lossconform.reference.formats import FORMATS, dtype_of
from lossconform.reference.policy import Policy
from lossconform.reference.repeats import MOST, folded, period, repeated
from lossconform.reference.serial import array_from_json, array_to_json, case_from_json, case_to_json
from lossconform.reports.model import Record, Verdict
from lossconform.strategies.rows import FEW, ROWS, TIMES, case_of

CE, BCE, KL = Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY, Loss.KL_DIVERGENCE
MEANS = (Reduction.MEAN, Reduction.BATCH_MEAN, Reduction.WEIGHTED_MEAN)
FEWER = 2**9
FIELDS = ("base", "shift", "terms", "batch", "floor")


def over(rows: list[Any], times: int, dtype: Any = np.float32) -> Array:
    return np.concatenate([np.array(rows, dtype)] * times)


@pytest.mark.parametrize(
    ("array", "rows"),
    [
        (over([[1, 2]], 1000), 1),
        (over([[1, 2], [3, 4], [1, 2]], 1000), 3),
        (over([7, 8], 1000, np.int64), 2),
        (over([np.nan], 2000, ml_dtypes.bfloat16), 1),
        (over([[0.0], [-0.0]], 1000), 2),
        (over([1, 2], 8), 16),
        (np.arange(2000.0), 2000),
        (over(list(range(MOST + 1)), 1000), 1000 * (MOST + 1)),
        (np.append(over([1, 2], 1000), np.float32(1)), 2001),
        (np.array(3.0), 1),
        (np.zeros((0, 3)), 0),
    ],
)
def test_the_rows_of_which_an_array_is_made_are_found(array: Array, rows: int) -> None:
    assert period(array) == rows


@pytest.mark.parametrize("dtype", [*DTYPES, "int64", "bool"])
def test_an_array_of_many_equal_rows_is_written_in_few_numbers(dtype: str) -> None:
    array = over([[1, 0], [0, 1], [1, 1]], 1000, dtype if dtype in ("int64", "bool") else dtype_of(dtype))
    data = json.loads(json.dumps(array_to_json(array)))
    assert len(data["data"]) == 6
    back = array_from_json(data)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    source = list_source(array)
    assert source.endswith(" * 1000")
    assert np.array_equal(np.array(eval(source), array.dtype), array)  # noqa: S307 - what a snippet does


@pytest.mark.parametrize("data", [["1"], ["1"] * 3])
def test_numbers_that_do_not_fill_a_shape_are_refused(data: list[str]) -> None:
    whole = {"dtype": "int64", "shape": [2, 2], "data": data}
    if len(data) == 1:
        assert array_from_json(whole).tolist() == [[1, 1], [1, 1]]
        return
    with pytest.raises(ValueError, match="3 numbers do not fill the shape"):
        array_from_json(whole)


def test_no_numbers_fill_nothing_but_an_empty_shape() -> None:
    assert array_from_json({"dtype": "float32", "shape": [0, 2], "data": []}).shape == (0, 2)
    with pytest.raises(ValueError, match="0 numbers"):
        array_from_json({"dtype": "float32", "shape": [1, 2], "data": []})


def contract(loss: Loss, form: Form, target: TargetForm, reduction: Reduction) -> Contract:
    return catalogue.contract(loss, forms=(form,), targets=(target,), reductions=(reduction,))


def small(loss: Loss, form: Form, target: TargetForm, reduction: Reduction, dtype: str, seed: int = 5) -> Case:
    """Return five rows of a case of very many, with the upstream gradient of fewer."""
    case = case_of(contract(loss, form, target, reduction), dtype, seed)
    few, times = folded(case)
    assert times == TIMES
    return few.replace(cotangent=None if case.cotangent is None else np.array(FEWER, case.prediction.dtype))


KINDS = [
    (CE, Form.LOGITS, TargetForm.INDEX),
    (CE, Form.PROBABILITIES, TargetForm.DISTRIBUTION),
    (BCE, Form.LOGITS, TargetForm.BINARY),
    (KL, Form.LOG_PROBABILITIES, TargetForm.DISTRIBUTION),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", [Reduction.SUM, *MEANS])
@pytest.mark.parametrize(("loss", "form", "target"), KINDS)
def test_few_rows_answer_as_all_of_them_do(
    loss: Loss, form: Form, target: TargetForm, reduction: Reduction, dtype: str
) -> None:
    weights = np.array([1, 2, 0.5, 3, 1], dtype_of(dtype))
    case = repeated(small(loss, form, target, reduction, dtype).replace(sample_weight=weights), FEWER)
    assert case.prediction.size > LARGE
    oracle = Oracle.of(case, Policy(), gradient=True)
    assert oracle.times == FEWER
    fmt = FORMATS[dtype]
    whole = tiers.evaluate(case, Policy(), gradient=True)
    answer = oracle.answer()
    assert isinstance(answer, Answer)
    assert answer.gradient is not None
    assert whole.gradient is not None
    assert np.array_equal(answer.value.astype(float), whole.value.rounded(fmt)[0])
    assert np.array_equal(answer.gradient.astype(float), whole.gradient.rounded(fmt)[0])
    for mine, theirs in zip(oracle.conditions().values(), conditions(canonical(case, Policy())), strict=True):
        assert (mine.rows, mine.n) == (theirs.rows, theirs.n)
        for field in FIELDS:
            few = getattr(mine, field)
            again = np.concatenate([few] * FEWER) if few.ndim else few
            assert np.allclose(again, getattr(theirs, field), rtol=1e-9, atol=0), field


@pytest.mark.parametrize(
    "changes",
    [
        {"reduction": Reduction.NONE},
        {"prediction": np.zeros((ROWS, 2)) + np.arange(ROWS)[:, None]},
        {"target": np.arange(ROWS) % 3 % 2},
        {"sample_weight": np.arange(ROWS) + 1.0},
        {"cotangent": np.array(2.0**-1070)},
        {"direction": np.ones((ROWS, 2))},
    ],
)
def test_what_does_not_follow_from_few_rows_is_left_alone(changes: dict[str, Any]) -> None:
    case = repeated(
        Case(
            loss=CE,
            prediction=np.zeros((FEW, 2)),
            target=np.zeros(FEW, np.int64),
            target_form=TargetForm.INDEX,
            reduction=Reduction.MEAN,
        ),
        TIMES,
    )
    assert folded(case)[1] >= TIMES
    assert folded(case.replace(**changes))[1] == 1


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.0, -1.0])
@pytest.mark.parametrize("entry", [(0, 0), (12_345, 1), (ROWS - 1, 1)])
def test_one_wrong_entry_among_very_many_rows_is_found(wrong: float, entry: tuple[int, int]) -> None:
    case = case_of(contract(CE, Form.LOGITS, TargetForm.INDEX, Reduction.MEAN), "float32", 3)
    oracle = Oracle.of(case, Policy(), gradient=True)
    answer = oracle.answer()
    assert isinstance(answer, Answer)
    assert answer.gradient is not None
    judgement = oracle.judge(answer, LENIENT)
    assert judgement.ok
    assert judgement.entries == 2 * ROWS
    gradient = answer.gradient.copy()
    gradient[entry] = wrong
    judgement = oracle.judge(Answer(answer.value, gradient), LENIENT)
    assert not judgement.ok
    assert judgement.index == entry
    assert judgement.got == wrong or np.isnan(wrong)


def test_the_farthest_rows_hold_the_extremes_of_each_entry() -> None:
    numbers = np.array([[0, 5], [1, 1], [2, 0], [1, np.nan], [0, 9], [1, 1]], float)
    assert farthest_rows(numbers, 3).tolist() == [0, 1, 2, 3, 4]


def test_a_gradient_of_another_shape_is_wrong() -> None:
    case = case_of(contract(CE, Form.LOGITS, TargetForm.INDEX, Reduction.MEAN), "float32", 3)
    oracle = Oracle.of(case, Policy(), gradient=True)
    answer = oracle.answer()
    assert isinstance(answer, Answer)
    assert answer.gradient is not None
    judgement = oracle.judge(Answer(answer.value, answer.gradient[:FEW]), LENIENT)
    assert judgement.problem == f"gradient has shape ({FEW}, 2), not ({ROWS}, 2)"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(6))
def test_cases_are_within_every_dtype_though_the_sum_of_a_mean_is_not(dtype: str, seed: int) -> None:
    range_of_float16 = FORMATS["float16"].finite_max
    for loss, features in catalogue.FEATURES.items():
        if "reductions" not in features:
            continue
        case = case_of(catalogue.contract(loss), dtype, seed)
        assert case.prediction.shape == (ROWS, 2)
        oracle = Oracle.of(case, Policy(), gradient=True)
        assert oracle.value is not None
        assert oracle.gradient is not None
        whole = Oracle.of(case.replace(reduction=Reduction.SUM, cotangent=None), Policy(), gradient=False).value
        assert whole is not None
        assert (whole.h > range_of_float16) == (case.reduction is not Reduction.SUM)
        assert FORMATS["float16"].tiny < oracle.value.h < range_of_float16
        slopes = np.abs(oracle.gradient.h)
        assert (slopes[slopes > 0] > 0.005).all()
        assert slopes.max() < range_of_float16


def test_seeds_have_every_form_target_and_reduction() -> None:
    cases = [case_of(catalogue.contract(CE), "float32", seed) for seed in range(40)]
    assert {case.form for case in cases} == set(catalogue.FEATURES[CE]["forms"])
    assert {case.target_form for case in cases} == set(catalogue.FEATURES[CE]["targets"])
    assert {case.reduction for case in cases} == {Reduction.SUM, *MEANS}


def failing(fault: str) -> Record:
    framework = faulty.framework()
    function = framework.function(f"faulty.{fault}")
    question = Question(function, CHECKS["many-rows"], faulty.FAULTS[fault].dtype, "call", PROFILES["smoke"])
    return examine(framework, question, [])


@pytest.mark.parametrize("fault", ["count_in_float16", "divided_last"])
def test_a_failing_case_is_cut_to_equal_rows_and_shown_by_few_numbers(fault: str) -> None:
    record = failing(fault)
    assert record.verdict is Verdict.FAIL
    witness = record.witness
    assert witness is not None
    assert len(witness.model_dump_json()) < 4000
    assert f"]] * {ROWS}" in witness.snippet
    case = case_from_json(json.loads(witness.model_dump_json())["case"])
    assert period(case.prediction) == 1
    assert case_to_json(case) == json.loads(witness.model_dump_json())["case"]
    assert 'print("gradient[:8]"' in witness.snippet


def test_only_the_first_rows_of_a_large_gradient_are_printed() -> None:
    assert shown("gradient", 20) == "gradient"
    assert shown("gradient", 2 * ROWS) == "gradient[:8]"


def test_what_may_lose_everything_is_not_asked() -> None:
    check = CHECKS["many-rows"]
    assert check.applies(catalogue.contract(CE))
    assert not check.applies(catalogue.contract(CE, accumulator="own dtype"))
    assert not check.applies(catalogue.contract(CE, reductions=(Reduction.NONE,)))


def test_a_command_is_sent_every_number_and_its_snippet_has_few() -> None:
    engine = CommandEngine(Command(["none"]))
    array = over([[1, 0], [0, 1]], 1000)
    assert len(engine.tensor(array)["data"]) == array.size
    source = engine.tensor_source(array)
    assert len(source) < 200
    assert eval(source) == engine.tensor(array)  # noqa: S307 - what a snippet does
    assert eval(engine.tensor_source(array[:2])) == engine.tensor(array[:2])  # noqa: S307
