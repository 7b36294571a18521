"""The engine of JAX, its functions and the loss functions of Optax."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

from adapter_cases import DTYPES, LOGITS, case_of, extremes, formula, printed, same_bits, slope

from lossconform.adapters import start
from lossconform.adapters.base import Answer, Call, Unsupported
from lossconform.reference.case import Form, Reduction, TargetForm

FRAMEWORK = start("jax")
ENGINE = FRAMEWORK.engine
SOFT = FRAMEWORK.function("optax.softmax_cross_entropy")
SPARSE = FRAMEWORK.function("optax.softmax_cross_entropy_with_integer_labels")
SAFE = FRAMEWORK.function("optax.safe_softmax_cross_entropy")
MASK = np.array([[True, False, True], [True, True, False]])


@pytest.mark.parametrize("name", DTYPES)
def test_tensors_are_the_same_bit_for_bit(name):
    array = extremes(DTYPES[name])
    for given in (array, array.T, array[:1, 0].reshape(()), array[:0]):
        assert same_bits(ENGINE.array(ENGINE.tensor(given)), given)


def test_tensors_do_not_share_memory():
    array = np.zeros(64, np.float32)
    tensor = ENGINE.tensor(array)
    array[:] = 1
    assert not ENGINE.array(tensor).any()


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
        case = case_of(function, function.contract.targets[0])
        target = case.target
        if target is not None and target.dtype.kind == "f":
            target = target.astype(DTYPES[dtype])
        case = case.replace(prediction=case.prediction.astype(DTYPES[dtype]), target=target)
        answer = FRAMEWORK.ask(function, case, mode="jit", gradient=True)
        assert isinstance(answer, Answer), answer
        assert answer.value.dtype == answer.gradient.dtype == case.prediction.dtype


@pytest.mark.parametrize(
    "function", [f for f in FRAMEWORK.functions if "class_axis" in f.contract.options], ids=lambda f: f.id
)
def test_class_axis_and_mask_reach_the_function(function):
    plain = case_of(function, function.contract.targets[0])
    last = plain.replace(where=MASK)
    target = None if last.target is None else last.target.T
    first = last.replace(prediction=last.prediction.T, target=target, where=MASK.T, class_axis=0)
    bare, one, two = (FRAMEWORK.ask(function, case, mode="jit", gradient=True) for case in (plain, last, first))
    np.testing.assert_allclose(two.value.T, one.value, rtol=1e-6)
    np.testing.assert_allclose(two.gradient.T, one.gradient, atol=1e-6)
    assert not np.array_equal(bare.value, one.value)


@pytest.mark.parametrize("mode", list(ENGINE.modes))
def test_a_cotangent_scales_the_gradient(mode):
    plain = case_of(SPARSE, TargetForm.INDEX)
    scaled = plain.replace(cotangent=np.array([2, -4], np.float32))
    one, two = (FRAMEWORK.ask(SPARSE, case, mode=mode, gradient=True).gradient for case in (plain, scaled))
    assert np.array_equal(two, one * np.array([[2], [-4]], np.float32))


def test_what_was_compiled_is_kept_unless_its_constructor_has_tensors():
    call = Call("jax.nn.relu", {"x": LOGITS}, "x")
    kept = len(ENGINE._kept)
    for _ in range(2):
        assert (ENGINE.run(call, mode="jit", cotangent=None, gradient=True).gradient == (LOGITS > 0)).all()
    assert len(ENGINE._kept) == kept + 1
    built = Call("functools.partial", {"x": LOGITS}, "x", init={"a": LOGITS})
    with pytest.raises(TypeError):
        ENGINE.run(built, mode="jit", cotangent=None, gradient=False)
    assert len(ENGINE._kept) == kept + 1


@pytest.mark.parametrize(
    ("function", "target_form", "changes", "message"),
    [
        (SPARSE, TargetForm.ONE_HOT, {}, "a target as one_hot, only index"),
        (SOFT, TargetForm.ONE_HOT, {"label_smoothing": 0.1}, "the option label_smoothing, only class_axis, where"),
        (SAFE, TargetForm.ONE_HOT, {"prediction": LOGITS.T, "target": LOGITS.T * 0, "class_axis": 0}, "the class axis"),
        (SOFT, TargetForm.ONE_HOT, {"reduction": Reduction.MEAN}, "the reduction mean, only none"),
        (SOFT, TargetForm.ONE_HOT, {"form": Form.PROBABILITIES}, "predictions as probabilities, only logits"),
        (SOFT, TargetForm.DISTRIBUTION, {"target": np.full((2, 3), 1 / 3)}, "numbers that float32 has not"),
    ],
)
def test_what_cannot_be_asked_says_why(function, target_form, changes, message):
    with pytest.raises(Unsupported, match=message):
        FRAMEWORK.ask(function, case_of(function, target_form, **changes), mode="jit", gradient=False)


@pytest.mark.parametrize(("mode", "dtype"), [("jit", "bfloat16"), ("eager", "float32")])
def test_a_snippet_prints_the_same_numbers(mode, dtype):
    prediction = np.array([[9.2e-41, np.inf, -1.0], [-np.inf, 0.5, 1.0]]).astype(DTYPES[dtype])
    cotangent = np.array([1, -2], DTYPES[dtype]) if mode == "jit" else None
    case = case_of(SPARSE, TargetForm.INDEX, prediction=prediction, cotangent=cotangent)
    answer = FRAMEWORK.ask(SPARSE, case, mode=mode, gradient=True)
    snippet = FRAMEWORK.snippet(SPARSE, case, mode=mode, gradient=True)
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == printed(answer)
