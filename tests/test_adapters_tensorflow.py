"""The engine and the loss functions of TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from lossconform.adapters import start
from lossconform.adapters.base import Answer, Call, Refusal, Unsupported
from lossconform.reference.case import Case, Loss, Reduction, TargetForm
from tests.adapter_cases import DTYPES, LOGITS, case_of, extremes, formula, printed, same_bits, slope

FRAMEWORK = start("tensorflow")
ENGINE = FRAMEWORK.engine
SPARSE = FRAMEWORK.function("tf.nn.sparse_softmax_cross_entropy_with_logits")
SOFT = FRAMEWORK.function("tf.nn.softmax_cross_entropy_with_logits")
WEIGHTED = FRAMEWORK.function("tf.nn.weighted_cross_entropy_with_logits")


@pytest.mark.parametrize("name", DTYPES)
def test_tensors_are_the_same_bit_for_bit(name):
    array = extremes(DTYPES[name])
    for given in (array, array.T, array[:1, 0].reshape(()), array[:0]):
        assert same_bits(ENGINE.array(ENGINE.tensor(given)), given)


@pytest.mark.parametrize("mode", list(ENGINE.modes))
@pytest.mark.parametrize("function", FRAMEWORK.functions, ids=lambda function: function.id)
def test_every_loss_function_answers(function, mode):
    for target_form in function.contract.targets:
        case = case_of(function, target_form)
        answer = FRAMEWORK.ask(function, case, mode=mode, gradient=True)
        assert isinstance(answer, Answer), answer
        assert answer.value.dtype == answer.gradient.dtype == np.float32
        np.testing.assert_allclose(answer.value.sum(), formula(case, case.prediction.astype(np.float64)), rtol=1e-5)
        np.testing.assert_allclose(answer.gradient, slope(case), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("function", FRAMEWORK.functions, ids=lambda function: function.id)
def test_every_dtype_of_the_contract_is_answered(function):
    for dtype in function.contract.dtypes:
        case = case_of(function, function.contract.targets[-1])
        case = case.replace(prediction=case.prediction.astype(DTYPES[dtype]))
        answer = FRAMEWORK.ask(function, case, mode="eager", gradient=True)
        assert isinstance(answer, Answer), answer
        assert answer.value.dtype == answer.gradient.dtype == case.prediction.dtype


@pytest.mark.parametrize(
    "function", [f for f in FRAMEWORK.functions if "class_axis" in f.contract.options], ids=lambda f: f.id
)
def test_the_class_axis_reaches_the_function(function):
    last = case_of(function, function.contract.targets[-1])
    turned = {name: getattr(last, name).T for name in ("prediction", "target") if getattr(last, name) is not None}
    first = last.replace(class_axis=0, **turned)
    one, two = (FRAMEWORK.ask(function, case, mode="eager", gradient=True) for case in (last, first))
    np.testing.assert_allclose(two.value.T, one.value, rtol=1e-6)
    np.testing.assert_allclose(two.gradient.T, one.gradient, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pos_weight_lies_along_the_class_axis(axis):
    shape = (2, 3, 4)
    weight = np.arange(1, shape[axis] + 1, dtype=np.float32)
    case = case_of(
        WEIGHTED,
        TargetForm.BINARY,
        prediction=np.zeros(shape, np.float32),
        target=np.ones(shape, np.float32),
        class_axis=axis,
        pos_weight=weight,
    )
    value = FRAMEWORK.ask(WEIGHTED, case, mode="eager", gradient=False).value
    rows = np.moveaxis(value, axis, -1)
    np.testing.assert_allclose(rows, np.broadcast_to(np.log(2) * weight, rows.shape), rtol=1e-6)


@pytest.mark.parametrize("mode", list(ENGINE.modes))
def test_a_cotangent_scales_the_gradient(mode):
    plain = case_of(SPARSE, TargetForm.INDEX)
    scaled = plain.replace(cotangent=np.array([2, -4], np.float32))
    one, two = (FRAMEWORK.ask(SPARSE, case, mode=mode, gradient=True).gradient for case in (plain, scaled))
    assert np.array_equal(two, one * np.array([[2], [-4]], np.float32))


@pytest.mark.parametrize("mode", list(ENGINE.modes))
def test_gradients_that_are_no_tensors_are_arrays(mode):
    nothing = ENGINE.run(
        Call("tensorflow.zeros_like", {"input": LOGITS}, "input"), mode=mode, cotangent=None, gradient=True
    )
    assert nothing.gradient.shape == LOGITS.shape
    assert not nothing.gradient.any()
    gather = Call("tensorflow.gather", {"params": LOGITS, "indices": np.array([1, 1])}, "params")
    slices = ENGINE.run(gather, mode=mode, cotangent=None, gradient=True)
    assert slices.gradient.tolist() == [[0, 0, 0], [2, 2, 2]]


def test_no_function_is_traced_twice_or_warned_of(caplog):
    kept = len(ENGINE._kept)
    for rows in (*range(3, 15), 3):
        case = Case(loss=Loss.LOG_SIGMOID, prediction=np.ones((rows, 2), np.float32))
        function = FRAMEWORK.function("tf.math.log_sigmoid")
        assert isinstance(FRAMEWORK.ask(function, case, mode="function", gradient=True), Answer)
    assert len(ENGINE._kept) == kept + 12
    assert not caplog.records


def test_a_refusal_is_no_crash():
    case = case_of(SPARSE, TargetForm.INDEX, target=np.array([3, 0]))
    refusal = FRAMEWORK.ask(SPARSE, case, mode="eager", gradient=True)
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "InvalidArgumentError"
    assert "outside the valid range" in refusal.message


@pytest.mark.parametrize(
    ("function", "target_form", "changes", "message"),
    [
        (SPARSE, TargetForm.ONE_HOT, {}, "a target as one_hot, only index"),
        (SPARSE, TargetForm.INDEX, {"ignore_index": 0}, "the option ignore_index, only none"),
        (SPARSE, TargetForm.INDEX, {"class_axis": 0, "target": np.array([0, 1, 0])}, "the class axis 0, only 1"),
        (SOFT, TargetForm.ONE_HOT, {"reduction": Reduction.MEAN}, "the reduction mean, only none"),
        (SOFT, TargetForm.DISTRIBUTION, {"target": np.full((2, 3), 1 / 3)}, "numbers that float32 has not"),
    ],
)
def test_what_cannot_be_asked_says_why(function, target_form, changes, message):
    with pytest.raises(Unsupported, match=message):
        FRAMEWORK.ask(function, case_of(function, target_form, **changes), mode="eager", gradient=False)


@pytest.mark.parametrize(("mode", "dtype"), [("xla", "bfloat16"), ("eager", "float32")])
def test_a_snippet_prints_the_same_numbers(mode, dtype):
    prediction = np.array([[9.2e-41, np.inf, -1.0], [-np.inf, 0.5, 1.0]]).astype(DTYPES[dtype])
    cotangent = np.array([1, -2], DTYPES[dtype]) if mode == "xla" else None
    case = case_of(SPARSE, TargetForm.INDEX, prediction=prediction, cotangent=cotangent)
    answer = FRAMEWORK.ask(SPARSE, case, mode=mode, gradient=True)
    snippet = FRAMEWORK.snippet(SPARSE, case, mode=mode, gradient=True)
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == printed(answer)
