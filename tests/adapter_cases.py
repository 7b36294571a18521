"""Cases that any loss function of an adapter can be asked, with their answers by NumPy formulas."""

import ml_dtypes
import numpy as np

from lossconform.reference.case import Case, Form, Loss, TargetForm

DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}

LOGITS = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]], np.float32)
SOFT = np.array([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75]], np.float32)
PREDICTIONS = {
    Form.LOGITS: LOGITS,
    Form.PROBABILITIES: np.array([[0.25, 0.5, 0.125], [0.875, 0.0625, 0.75]], np.float32),
    Form.LOG_PROBABILITIES: np.log(SOFT[:, ::-1]),
}
TARGETS = {
    TargetForm.NONE: None,
    TargetForm.INDEX: np.array([2, 0]),
    TargetForm.ONE_HOT: np.eye(3)[[2, 0]],
    TargetForm.DISTRIBUTION: SOFT,
    TargetForm.LOG_DISTRIBUTION: np.log(SOFT),
    TargetForm.BINARY: np.array([[0, 1, 0.5], [1, 0, 0.25]], np.float32),
}


def case_of(function, target_form, **changes):
    """A case for a loss function, a focal loss with gamma 2; the changes are fields of the case."""
    form = function.contract.forms[0]
    fields = {"prediction": PREDICTIONS[form], "form": form, "target": TARGETS[target_form]}
    if function.contract.loss is Loss.FOCAL:
        fields["gamma"] = 2.0
    return Case(**{"loss": function.contract.loss, "target_form": target_form, **fields, **changes})


def extremes(dtype):
    """NaN, infinities, zero of either sign, the smallest subnormal and the largest number of a dtype, read-only."""
    info = ml_dtypes.finfo(dtype)
    array = np.array([[np.nan, np.inf, -np.inf], [-0.0, info.smallest_subnormal, info.max]]).astype(dtype)
    array.setflags(write=False)
    return array


def same_bits(one, other):
    """Whether two arrays have the same dtype, shape and bits."""
    alike = (one.dtype, one.shape) == (other.dtype, other.shape)
    return alike and one.tobytes() == other.tobytes()


def printed(answer):
    """What a snippet prints of an answer."""
    return [f"{what} {getattr(answer, what).astype(np.float64).tolist()}" for what in ("value", "gradient")]


def formula(case, x):
    """The value of a case without options, summed, for the prediction x in float64."""
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    t = case.target
    if case.target_form is TargetForm.INDEX:
        t = np.eye(3)[t]
    elif case.target_form is TargetForm.LOG_DISTRIBUTION:
        t = np.exp(t)
    if case.form is Form.LOG_PROBABILITIES:
        log_p = x
    p, q = (x, 1 - x) if case.form is Form.PROBABILITIES else (1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x)))
    terms = {
        Loss.LOG_SUM_EXP: lambda: np.log(np.exp(x).sum(1)),
        Loss.SOFTMAX: lambda: np.exp(log_p),
        Loss.LOG_SOFTMAX: lambda: log_p,
        Loss.LOG_SIGMOID: lambda: np.log(p),
        Loss.SOFTMAX_CROSS_ENTROPY: lambda: -t * log_p,
        Loss.BINARY_CROSS_ENTROPY: lambda: -t * np.log(p) - (1 - t) * np.log(q),
        Loss.FOCAL: lambda: (t * q + (1 - t) * p) ** case.gamma * (-t * np.log(p) - (1 - t) * np.log(q)),
        Loss.KL_DIVERGENCE: lambda: t * (np.log(t) - log_p),
    }
    return terms[case.loss]().sum()


def slope(case):
    """The derivative of `formula`, by central differences."""
    x = case.prediction.astype(np.float64)
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        gradient[place] = (formula(case, x + step) - formula(case, x - step)) / 2e-6
    return gradient
