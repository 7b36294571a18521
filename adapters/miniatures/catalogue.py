"""The miniatures as loss functions: their contracts, and how a case is put to them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from lossconform.adapters.base import Call, Framework, LossFunction, Unsupported, in_dtype
from lossconform.adapters.contract import LABEL_DTYPES, Clause, Contract, Source
from lossconform.adapters.engine_numpy import NumpyEngine
from lossconform.adapters.miniatures.correct import Entropy, LogSoftmax, LogSumExp, Softmax, SoftmaxCrossEntropy
from lossconform.adapters.miniatures.elementwise import BinaryCrossEntropy, KLDivergence, LogSigmoid
from lossconform.adapters.miniatures.focal import Focal
from lossconform.adapters.miniatures.loss import POLICIES, NumpyLoss
from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.grades import USUAL

PACKAGE = "lossconform.adapters.miniatures"
PAGE = Source("The miniatures", "1", "catalogue", "https://lossconform.invalid/miniatures")
"""What a miniature promises is written here and nowhere else."""

CLASSES: dict[Loss, type[NumpyLoss]] = {
    Loss.LOG_SUM_EXP: LogSumExp,
    Loss.SOFTMAX: Softmax,
    Loss.LOG_SOFTMAX: LogSoftmax,
    Loss.LOG_SIGMOID: LogSigmoid,
    Loss.ENTROPY: Entropy,
    Loss.SOFTMAX_CROSS_ENTROPY: SoftmaxCrossEntropy,
    Loss.BINARY_CROSS_ENTROPY: BinaryCrossEntropy,
    Loss.FOCAL: Focal,
    Loss.KL_DIVERGENCE: KLDivergence,
}
"""The correct class of each loss."""

REDUCTIONS = tuple(Reduction)
OF_ROWS = ("sample_weight", "ignore_index", "where", "label_smoothing", "class_weight", "class_axis")
FEATURES: dict[Loss, dict[str, Any]] = {
    **{loss: {"options": ("where",)} for loss in (Loss.LOG_SUM_EXP, Loss.SOFTMAX, Loss.LOG_SOFTMAX, Loss.ENTROPY)},
    Loss.LOG_SIGMOID: {},
    Loss.SOFTMAX_CROSS_ENTROPY: {
        "forms": (Form.LOGITS, Form.PROBABILITIES, Form.LOG_PROBABILITIES),
        "targets": (TargetForm.INDEX, TargetForm.ONE_HOT, TargetForm.DISTRIBUTION),
        "reductions": REDUCTIONS,
        "options": OF_ROWS,
    },
    Loss.BINARY_CROSS_ENTROPY: {
        "forms": (Form.LOGITS, Form.PROBABILITIES),
        "targets": (TargetForm.BINARY,),
        "reductions": REDUCTIONS,
        "options": ("class_weight", "pos_weight", "sample_weight", "label_smoothing"),
    },
    Loss.FOCAL: {
        "forms": (Form.LOGITS, Form.PROBABILITIES),
        "targets": (TargetForm.BINARY,),
        "reductions": REDUCTIONS,
        "options": ("class_weight", "sample_weight", "label_smoothing", "gamma", "alpha"),
    },
    Loss.KL_DIVERGENCE: {
        "forms": (Form.LOG_PROBABILITIES, Form.PROBABILITIES),
        "targets": (TargetForm.DISTRIBUTION, TargetForm.ONE_HOT, TargetForm.LOG_DISTRIBUTION),
        "reductions": REDUCTIONS,
        "options": ("sample_weight", "where"),
    },
}
"""What the correct class of each loss takes."""


def contract(loss: Loss, policies: dict[str, str] | None = None, **narrower: Any) -> Contract:
    """Return the contract of a miniature: every policy stated, and fewer features if asked."""
    features = {**FEATURES[loss], **narrower}
    stated = {**POLICIES, **(policies or {})}
    accumulator = features.pop("accumulator", USUAL)
    return Contract(
        loss=loss,
        source=PAGE,
        options=dict.fromkeys(features.pop("options", ()), PAGE),
        policies={name: Clause(value, PAGE) for name, value in stated.items()},
        class_axis="any",
        accumulator=Clause(accumulator, PAGE),
        **{"label_dtypes": LABEL_DTYPES, **features},
    )


def call(name: str, case: Case) -> Call:
    """Return a case as a call of a miniature. Raises `Unsupported` for options that do not go together."""
    if case.ignore_index is not None and case.target_form is not TargetForm.INDEX:
        raise Unsupported("It takes ignore_index with class indices only.")
    if case.where is not None and case.loss is Loss.SOFTMAX_CROSS_ENTROPY and case.form is not Form.LOGITS:
        raise Unsupported("It takes a mask of classes with logits only.")
    arguments: dict[str, Any] = {"prediction": case.prediction}
    if case.target is not None:
        index = case.target_form is TargetForm.INDEX
        arguments["target"] = case.target if index else in_dtype(case.target, case.prediction.dtype, "target")
    for option in ("class_weight", "pos_weight", "sample_weight", "where", "ignore_index", "alpha"):
        if getattr(case, option) is not None:
            arguments[option] = getattr(case, option)
    arguments |= {
        "form": str(case.form),
        "target_form": str(case.target_form),
        "axis": case.class_axis,
        "label_smoothing": case.label_smoothing,
        "reduction": str(case.reduction),
    }
    if case.loss is Loss.FOCAL:
        arguments["gamma"] = case.gamma
    return Call(name, arguments, "prediction")


def function(module: str, name: str, promised: Contract) -> LossFunction:
    """Return the miniature of a name in a module of this package as a loss function."""
    identifier = f"{module}.{name}"
    return LossFunction(identifier, promised, partial(call, f"{PACKAGE}.{identifier}"))


def framework(module: str, functions: Iterable[LossFunction]) -> Framework:
    """Return miniatures of one module as a framework, ready to be asked."""
    engine = NumpyEngine(f"{PACKAGE}.{module}")
    engine.start()
    return Framework("miniatures", engine, tuple(functions))
