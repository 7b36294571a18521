"""The loss functions of TensorFlow's tf.nn: what their documentation promises and how a case is put to them.

A clause without a source is what TensorFlow 2.21.0 was seen to do on a CPU, executing eagerly. How calls are run is
in `lossconform.adapters.engine_tensorflow`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np

from lossconform.adapters.base import Call, Framework, LossFunction, along_classes, in_dtype
from lossconform.adapters.contract import Clause, Contract, Source
from lossconform.adapters.engine_tensorflow import TensorFlowEngine
from lossconform.adapters.own import Statement, bring
from lossconform.reference.case import Case, Loss, TargetForm

VERSION = "2.21"


def page(name: str, section: str = "description") -> Source:
    """Return a section of the page of a function. The pages are those of the newest version only."""
    path = name.removeprefix("tf.").replace(".", "/")
    return Source(name, VERSION, section, f"https://www.tensorflow.org/api_docs/python/tf/{path}")


@dataclass(frozen=True)
class Signature:
    """How a function is called.

    Attributes:
        prediction: the name of this argument.
        target: the name of this argument, if there is one.
        axis: whether it takes an axis.
        default: the axis it takes if none is given; None is all of them.
        required: what it must be given whatever the case says.
    """

    prediction: str
    target: str | None = None
    axis: bool = False
    default: int | None = -1
    required: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


SIGMOID = "tf.nn.sigmoid_cross_entropy_with_logits"
WEIGHTED = "tf.nn.weighted_cross_entropy_with_logits"
SOFT = "tf.nn.softmax_cross_entropy_with_logits"
SPARSE = "tf.nn.sparse_softmax_cross_entropy_with_logits"

FUNCTIONS = {
    SOFT: (
        Signature("logits", "labels", axis=True),
        Contract(
            loss=Loss.SOFTMAX_CROSS_ENTROPY,
            source=page(SOFT),
            targets=(TargetForm.ONE_HOT, TargetForm.DISTRIBUTION),
            options={"class_axis": page(SOFT, "axis")},
            policies={
                # 'The computation of the gradient will be incorrect' is all that is said of other labels.
                "target_sum": Clause("assumed_one", page(SOFT, "NOTE: labels is a valid distribution")),
                "zero_times_infinity": Clause("nan", modes={"xla": "zero"}),
                "infinite_logit": Clause("nan"),
            },
            class_axis="any",
        ),
    ),
    SPARSE: (
        Signature("logits", "labels"),
        Contract(
            loss=Loss.SOFTMAX_CROSS_ENTROPY,
            source=page(SPARSE),
            targets=(TargetForm.INDEX,),
            # 'dtype int32 or int64', says the parameter.
            label_dtypes=("int64", "int32"),
            policies={
                "negative_label": Clause("refused", page(SPARSE, "labels: other values, on CPU")),
                "label_too_large": Clause("refused", page(SPARSE, "labels: other values, on CPU")),
                "infinite_logit": Clause("nan"),
            },
        ),
    ),
    SIGMOID: (
        Signature("logits", "labels"),
        Contract(
            loss=Loss.BINARY_CROSS_ENTROPY,
            source=page(SIGMOID),
            targets=(TargetForm.BINARY,),
            policies={"class_axis_reduction": Clause("none", page(SIGMOID, "Returns"))},
            class_axis="any",
        ),
    ),
    WEIGHTED: (
        Signature("logits", "labels", required={"pos_weight": 1.0}),
        Contract(
            loss=Loss.BINARY_CROSS_ENTROPY,
            source=page(WEIGHTED),
            targets=(TargetForm.BINARY,),
            options={"pos_weight": page(WEIGHTED, "pos_weight")},
            policies={"class_axis_reduction": Clause("none", page(WEIGHTED, "Returns"))},
            class_axis="any",
        ),
    ),
    "tf.nn.softmax": (
        Signature("logits", axis=True),
        Contract(
            loss=Loss.SOFTMAX,
            source=page("tf.nn.softmax"),
            options={"class_axis": page("tf.nn.softmax", "axis")},
            class_axis="any",
        ),
    ),
    "tf.nn.log_softmax": (
        Signature("logits", axis=True),
        Contract(
            loss=Loss.LOG_SOFTMAX,
            source=page("tf.nn.log_softmax"),
            options={"class_axis": page("tf.nn.log_softmax", "axis")},
            policies={"infinite_logit": Clause("nan")},
            class_axis="any",
        ),
    ),
    "tf.math.log_sigmoid": (
        Signature("x"),
        Contract(
            loss=Loss.LOG_SIGMOID,
            source=page("tf.math.log_sigmoid"),
            policies={"infinite_logit": Clause("limit")},
            class_axis="any",
        ),
    ),
    "tf.reduce_logsumexp": (
        Signature("input_tensor", axis=True, default=None),
        Contract(
            loss=Loss.LOG_SUM_EXP,
            # The page has the name of the module in which it is defined.
            source=page("tf.math.reduce_logsumexp"),
            options={"class_axis": page("tf.math.reduce_logsumexp", "axis")},
            policies={"infinite_logit": Clause("limit")},
            class_axis="any",
        ),
    ),
}
"""Each function with its signature and its contract."""


def call(name: str, signature: Signature, case: Case) -> Call:
    """Return a case as a call of a function."""
    arguments: dict[str, Any] = {}
    if signature.target is not None and case.target is not None:
        arguments[signature.target] = _target(case, case.target)
    arguments[signature.prediction] = case.prediction
    last = case.class_axis == case.prediction.ndim - 1
    if signature.axis and not (last and signature.default == -1):
        arguments["axis"] = case.class_axis
    arguments.update(signature.required)
    if case.pos_weight is not None:
        weight = in_dtype(case.pos_weight, case.prediction.dtype, "pos_weight")
        arguments["pos_weight"] = along_classes(case, weight)
    return Call(name.replace("tf.", "tensorflow.", 1), arguments, signature.prediction)


def _target(case: Case, target: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return indices as they are, other labels in the prediction's dtype."""
    index = case.target_form is TargetForm.INDEX
    return target if index else in_dtype(target, case.prediction.dtype, "target")


def framework(target: str = "tensorflow") -> Framework:
    """Return TensorFlow, not imported yet."""
    functions = [
        LossFunction(name, contract, partial(call, name, signature))
        for name, (signature, contract) in FUNCTIONS.items()
    ]
    return Framework(target, TensorFlowEngine(), tuple(functions))


def loss_function(target: Callable[..., Any], **said: Unpack[Statement]) -> Framework:
    """Return a loss of one's own as a target: a callable of tensors that TensorFlow differentiates.

    Args:
        target: a function, a class, or an instance of one.
        said: what is said of it: `like`, the id of a known loss function, or its loss and arguments; see
            `lossconform.adapters.own.Statement`.

    Raises:
        StatementError: something is missing, unknown, or does not go together.
    """
    return bring(target, TensorFlowEngine(), said)
