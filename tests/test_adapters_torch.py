"""The engine and the loss functions of PyTorch."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")

from lossconform.adapters import start
from lossconform.adapters.base import Answer, Call, Refusal, Unsupported
from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from tests.adapter_cases import DTYPES, LOGITS, case_of, extremes, formula, printed, same_bits, slope

FRAMEWORK = start("torch")
ENGINE = FRAMEWORK.engine


@pytest.mark.parametrize("name", DTYPES)
def test_tensors_are_the_same_bit_for_bit(name):
    array = extremes(DTYPES[name])
    for given in (array, array.T, array[:1, 0].reshape(()), array[:0]):
        assert same_bits(ENGINE.array(ENGINE.tensor(given)), given)


@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.parametrize("function", FRAMEWORK.functions, ids=lambda function: function.id)
def test_every_loss_function_answers(function, mode):
    for target_form in function.contract.targets:
        summed = Reduction.SUM if Reduction.SUM in function.contract.reductions else Reduction.NONE
        case = case_of(function, target_form, reduction=summed)
        answer = FRAMEWORK.ask(function, case, mode=mode, gradient=True)
        assert isinstance(answer, Answer), answer
        assert answer.value.dtype == answer.gradient.dtype == np.float32
        np.testing.assert_allclose(answer.value.sum(), formula(case, case.prediction.astype(np.float64)), rtol=1e-5)
        np.testing.assert_allclose(answer.gradient, slope(case), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("function", FRAMEWORK.functions, ids=lambda function: function.id)
def test_every_dtype_and_reduction_of_the_contract_is_answered(function):
    for dtype in function.contract.dtypes:
        for reduction in function.contract.reductions:
            case = case_of(function, function.contract.targets[-1], reduction=reduction)
            case = case.replace(prediction=case.prediction.astype(DTYPES[dtype]))
            if case.target_form is TargetForm.LOG_DISTRIBUTION:
                case = case.replace(target=case.target.astype(DTYPES[dtype]))
            answer = FRAMEWORK.ask(function, case, mode="eager", gradient=True)
            assert isinstance(answer, Answer), answer
            assert answer.value.dtype == answer.gradient.dtype == case.prediction.dtype


def test_the_default_compiler_answers():
    function = FRAMEWORK.function("torch.nn.functional.cross_entropy")
    case = case_of(function, TargetForm.INDEX, reduction=Reduction.MEAN)
    compiled, eager = (FRAMEWORK.ask(function, case, mode=m, gradient=True) for m in ("inductor", "eager"))
    np.testing.assert_allclose(compiled.gradient, eager.gradient, rtol=1e-5)


def test_options_reach_function_and_module_alike():
    options = {"class_weight": np.array([1, 2, 4], np.float32), "ignore_index": 0, "label_smoothing": 0.25}
    answers = []
    for name in ("torch.nn.functional.cross_entropy", "torch.nn.CrossEntropyLoss"):
        function = FRAMEWORK.function(name)
        case = case_of(function, TargetForm.INDEX, reduction=Reduction.MEAN, **options)
        answers.append(FRAMEWORK.ask(function, case, mode="compiled", gradient=True))
    log_p = LOGITS[0] - np.log(np.exp(LOGITS[0].astype(np.float64)).sum())
    smoothed = np.array([1, 1, 1]) / 12 + np.array([0, 0, 0.75])
    expected = -(smoothed * options["class_weight"] * log_p).sum() / 4
    assert [answer.value.item() for answer in answers] == pytest.approx([expected] * 2)
    assert np.array_equal(answers[0].gradient, answers[1].gradient)
    assert not answers[0].gradient[1].any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_binary_weights_lie_along_the_class_axis(axis):
    function = FRAMEWORK.function("torch.nn.functional.binary_cross_entropy_with_logits")
    shape = (2, 3, 4)
    weight = np.arange(1, shape[axis] + 1, dtype=np.float32)
    zeros = np.zeros(shape, np.float32)
    case = Case(
        loss=Loss.BINARY_CROSS_ENTROPY,
        prediction=zeros,
        target=zeros,
        target_form=TargetForm.BINARY,
        class_axis=axis,
        class_weight=weight,
    )
    value = FRAMEWORK.ask(function, case, mode="eager", gradient=False).value
    rows = np.moveaxis(value, axis, -1)
    np.testing.assert_allclose(rows, np.broadcast_to(np.log(2) * weight, rows.shape), rtol=1e-6)


def test_a_cotangent_scales_the_gradient():
    function = FRAMEWORK.function("torch.logsumexp")
    plain = case_of(function, TargetForm.NONE)
    scaled = plain.replace(cotangent=np.array([2, -4], np.float32))
    one, two = (FRAMEWORK.ask(function, case, mode="eager", gradient=True).gradient for case in (plain, scaled))
    assert np.array_equal(two, one * np.array([[2], [-4]], np.float32))


def test_a_gradient_that_is_not_there_is_zero():
    call = Call("torch.zeros_like", {"input": LOGITS}, "input")
    answer = ENGINE.run(call, mode="eager", cotangent=None, gradient=True)
    assert not answer.gradient.any()


def test_no_shape_falls_back_to_eager():
    from torch._dynamo.utils import counters

    function = FRAMEWORK.function("torch.logsumexp")
    counters.clear()
    for rows in (*range(3, 15), 3):
        case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.ones((rows, 2), np.float32))
        assert isinstance(FRAMEWORK.ask(function, case, mode="compiled", gradient=False), Answer)
    assert counters["stats"]["unique_graphs"] == 12


def test_a_refusal_is_no_crash():
    function = FRAMEWORK.function("torch.nn.functional.cross_entropy")
    case = case_of(function, TargetForm.INDEX).replace(target=np.array([3, 0]))
    refusal = FRAMEWORK.ask(function, case, mode="eager", gradient=True)
    assert refusal == Refusal("IndexError", "Target 3 is out of bounds.")


@pytest.mark.parametrize(
    ("name", "target_form", "changes", "message"),
    [
        ("cross_entropy", TargetForm.INDEX, {"where": np.ones((2, 3), bool)}, "the option where"),
        ("cross_entropy", TargetForm.INDEX, {"reduction": Reduction.BATCH_MEAN}, "the reduction batch_mean"),
        ("cross_entropy", TargetForm.ONE_HOT, {"ignore_index": 0}, "ignore_index with class indices only"),
        (
            "cross_entropy",
            TargetForm.INDEX,
            {"class_axis": 0, "target": np.array([0, 1, 0])},
            "the class axis 0, only 1",
        ),
        ("nll_loss", TargetForm.INDEX, {"form": Form.LOGITS}, "predictions as logits"),
        ("kl_div", TargetForm.DISTRIBUTION, {"label_smoothing": 0.5}, "the option label_smoothing"),
        ("cross_entropy", TargetForm.DISTRIBUTION, {"target": np.full((2, 3), 1 / 3)}, "numbers that float32 has not"),
    ],
)
def test_what_cannot_be_asked_says_why(name, target_form, changes, message):
    function = FRAMEWORK.function(f"torch.nn.functional.{name}")
    with pytest.raises(Unsupported, match=message):
        FRAMEWORK.ask(function, case_of(function, target_form, **changes), mode="eager", gradient=False)


@pytest.mark.parametrize(
    ("name", "mode", "dtype"),
    [("torch.nn.CrossEntropyLoss", "eager", "bfloat16"), ("torch.nn.functional.cross_entropy", "compiled", "float32")],
)
def test_a_snippet_prints_the_same_numbers(name, mode, dtype):
    function = FRAMEWORK.function(name)
    case = case_of(function, TargetForm.INDEX, class_weight=np.array([1, 2, 4], DTYPES[dtype]))
    tiny = np.array([[9.2e-41, np.inf, -1.0], [-np.inf, 0.5, 1.0]]).astype(DTYPES[dtype])
    case = case.replace(prediction=tiny, cotangent=np.array([1, -2], DTYPES[dtype]))
    answer = FRAMEWORK.ask(function, case, mode=mode, gradient=True)
    snippet = FRAMEWORK.snippet(function, case, mode=mode, gradient=True)
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == printed(answer)
