"""The loss functions of Keras. A process has one backend, so each backend's checks run in one of their own."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# Looked for, not imported: importing Keras here would fix the backend.
if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)

from adapter_cases import DTYPES, LOGITS, case_of, formula, printed, slope

from lossconform.adapters import describe, start
from lossconform.adapters.base import Answer, Unsupported
from lossconform.reference.case import BINARY, Form, Loss, Reduction, TargetForm

BACKENDS = ("tensorflow", "jax", "torch")
WEIGHTS = np.array([1, 3], np.float32)
PROPER = np.array([[0.25, 0.5, 0.25], [0.625, 0.25, 0.125]], np.float32)
MODES = {"tensorflow": ("eager", "function"), "jax": ("jit", "eager"), "torch": ("eager",)}
"""The modes in which every loss function answers, and that cost little."""


def check_answers(framework, mode):
    """Every loss function answers in every form of prediction and target, class and function alike."""
    for function in framework.functions:
        contract = function.contract
        for form in contract.forms:
            for target_form in contract.targets:
                prediction = PROPER if form is Form.PROBABILITIES else LOGITS
                case = case_of(function, target_form, form=form, prediction=prediction)
                answer = framework.ask(function, case, mode=mode, gradient=True)
                assert isinstance(answer, Answer), (function.id, answer)
                x = prediction.astype(np.float64)
                if contract.loss in BINARY:
                    share = 1 / 3
                    value, gradient = formula(case, x) * share, slope(case) * share
                else:
                    logs = np.log(x) if form is Form.PROBABILITIES else x
                    as_logits = case.replace(form=Form.LOGITS, prediction=logs)
                    value, gradient = formula(as_logits, logs), slope(as_logits)
                    if form is Form.PROBABILITIES:
                        gradient = gradient / x
                    if contract.loss is Loss.KL_DIVERGENCE:
                        gradient = -case.target / x
                np.testing.assert_allclose(answer.value.sum(), value, rtol=1e-5, err_msg=function.id)
                np.testing.assert_allclose(answer.gradient, gradient, atol=4e-6, rtol=1e-5, err_msg=function.id)


def check_options(framework, mode):
    """Reductions, weights, ignored labels, smoothing, dtype and axis reach the class."""

    def ask(name, target_form=TargetForm.INDEX, **changes):
        function = framework.function(f"keras.losses.{name}")
        answer = framework.ask(function, case_of(function, target_form, **changes), mode=mode, gradient=True)
        assert isinstance(answer, Answer), answer
        return answer

    sparse = "SparseCategoricalCrossentropy"
    rows = ask(sparse).value
    for reduction, expected in {
        Reduction.NONE: rows * WEIGHTS,
        Reduction.SUM: (rows * WEIGHTS).sum(),
        Reduction.MEAN: (rows * WEIGHTS).sum() / 2,
        Reduction.WEIGHTED_MEAN: (rows * WEIGHTS).sum() / 4,
    }.items():
        answer = ask(sparse, reduction=reduction, sample_weight=WEIGHTS)
        np.testing.assert_allclose(answer.value, expected, rtol=1e-6)
    ignored = ask(sparse, ignore_index=0, reduction=Reduction.MEAN)
    np.testing.assert_allclose(ignored.value, rows[0], rtol=1e-6)
    assert not ignored.gradient[1].any()
    plain, smooth = (ask("CategoricalCrossentropy", TargetForm.ONE_HOT, label_smoothing=e) for e in (0, 0.25))
    assert (plain.value < smooth.value).all()
    first = ask(
        "CategoricalCrossentropy", TargetForm.ONE_HOT, prediction=LOGITS.T, target=np.eye(3)[:, [2, 0]], class_axis=0
    )
    np.testing.assert_allclose(first.value, plain.value, rtol=1e-6)
    for dtype in DTYPES.values():
        answer = ask("CategoricalCrossentropy", TargetForm.ONE_HOT, prediction=LOGITS.astype(dtype))
        assert answer.value.dtype == answer.gradient.dtype == dtype


def check_snippets(framework, mode):
    """Snippets print what was answered; one process runs both."""
    snippets, lines = [], []
    for name in ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"):
        function = framework.function(f"keras.losses.{name}")
        case = case_of(function, TargetForm.INDEX, prediction=LOGITS.astype(DTYPES["float16"]))
        lines += printed(framework.ask(function, case, mode=mode, gradient=True))
        snippets.append(framework.snippet(function, case, mode=mode, gradient=True))
    done = subprocess.run([sys.executable, "-c", "\n".join(snippets)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == lines, done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loss_functions_of_a_backend(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, backend],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == f"{backend} checked"


@pytest.mark.parametrize("backend", BACKENDS)
def test_contracts_are_known_without_the_framework(backend):
    framework = describe(f"keras-{backend}")
    assert len(framework.functions) == 10
    assert framework.environment == {"KERAS_BACKEND": backend}
    function = framework.function("keras.losses.CategoricalCrossentropy")
    call = function.invocation(case_of(function, TargetForm.ONE_HOT, reduction=Reduction.MEAN))
    assert call.init == {"from_logits": True}
    assert list(call.arguments) == ["y_true", "y_pred"]


@pytest.mark.parametrize(
    ("name", "target_form", "changes", "message"),
    [
        ("CategoricalCrossentropy", TargetForm.INDEX, {}, "a target as index, only one_hot, distribution"),
        (
            "categorical_crossentropy",
            TargetForm.ONE_HOT,
            {"reduction": Reduction.MEAN},
            "the reduction mean, only none",
        ),
        ("categorical_crossentropy", TargetForm.ONE_HOT, {"sample_weight": WEIGHTS}, "the option sample_weight"),
        ("CategoricalCrossentropy", TargetForm.ONE_HOT, {"ignore_index": 0}, "the option ignore_index"),
        ("KLDivergence", TargetForm.DISTRIBUTION, {"form": Form.LOGITS}, "predictions as logits, only probabilities"),
        ("KLDivergence", TargetForm.DISTRIBUTION, {"target": np.full((2, 3), 1 / 3)}, "numbers that float32 has not"),
    ],
)
def test_what_cannot_be_asked_says_why(name, target_form, changes, message):
    function = describe("keras-jax").function(f"keras.losses.{name}")
    with pytest.raises(Unsupported, match=message):
        function.invocation(case_of(function, target_form, **changes))


def main(backend):
    """Check one backend, in a process of its own."""
    framework = start(f"keras-{backend}")
    for mode in MODES[backend]:
        check_answers(framework, mode)
    check_options(framework, MODES[backend][0])
    check_snippets(framework, MODES[backend][0])
    sys.stdout.write(f"{backend} checked\n")


if __name__ == "__main__":
    main(sys.argv[1])
