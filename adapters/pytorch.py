"""The loss functions of PyTorch: what their documentation promises and how a case is put to them.

A clause without a source is what PyTorch 2.13.0 was seen to do on a CPU. How calls are run is in
`lossconform.adapters.engine_torch`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

from lossconform.adapters.base import Call, Framework, LossFunction, Unsupported, along_classes, in_dtype
from lossconform.adapters.contract import Clause, Contract, Source
from lossconform.adapters.engine_torch import TorchEngine
from lossconform.adapters.own import Statement, bring
from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm

VERSION = "2.13"
NAMES = {
    Reduction.NONE: "none",
    Reduction.SUM: "sum",
    Reduction.MEAN: "mean",
    Reduction.BATCH_MEAN: "batchmean",
}
"""What the reductions are called."""

REDUCED = (Reduction.NONE, Reduction.SUM, Reduction.MEAN)


def page(name: str, section: str = "description") -> Source:
    """Return a section of a documentation page. Functions of torch.nn.functional refer to the module's page."""
    return Source(name, VERSION, section, f"https://docs.pytorch.org/docs/{VERSION}/generated/{name}.html")


CROSS_ENTROPY = partial(page, "torch.nn.CrossEntropyLoss")
NLL = partial(page, "torch.nn.NLLLoss")
BCE = partial(page, "torch.nn.BCELoss")
BCE_LOGITS = partial(page, "torch.nn.BCEWithLogitsLoss")
KL = partial(page, "torch.nn.KLDivLoss")

UNDEFINED_MEAN = {"zero_denominator": Clause("nan")}

CONTRACTS = {
    "torch.nn.functional.cross_entropy": Contract(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        source=page("torch.nn.functional.cross_entropy"),
        targets=(TargetForm.INDEX, TargetForm.ONE_HOT, TargetForm.DISTRIBUTION),
        reductions=REDUCED,
        options={
            "class_weight": CROSS_ENTROPY("weight"),
            "ignore_index": CROSS_ENTROPY("ignore_index"),
            "label_smoothing": CROSS_ENTROPY("label_smoothing"),
        },
        policies={
            # Promised, and true, of class indices. Of probabilities it is 'elements'.
            "mean_denominator": Clause("weights", CROSS_ENTROPY("class indices, formula for reduction 'mean'")),
            "ignored_nonfinite": Clause("excluded", CROSS_ENTROPY("ignore_index: not in the input gradient")),
            "smoothing": Clause("all_classes", CROSS_ENTROPY("label_smoothing: mixture with a uniform one")),
            "smoothing_weight": Clause("each_class"),
            "target_sum": Clause("as_given", CROSS_ENTROPY("probabilities for each class, unreduced formula")),
            # Of probabilities. The path for class indices never looks at the other classes.
            "zero_times_infinity": Clause("nan"),
            "infinite_logit": Clause("nan"),
            "negative_label": Clause("refused"),
            "label_too_large": Clause("refused"),
            **UNDEFINED_MEAN,
        },
        class_axis="second",
    ),
    "torch.nn.functional.nll_loss": Contract(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        source=page("torch.nn.functional.nll_loss"),
        forms=(Form.LOG_PROBABILITIES,),
        targets=(TargetForm.INDEX,),
        reductions=REDUCED,
        options={"class_weight": NLL("weight"), "ignore_index": NLL("ignore_index")},
        policies={
            "mean_denominator": Clause("weights", NLL("formula for reduction 'mean'")),
            "ignored_nonfinite": Clause("excluded", NLL("ignore_index: not in the input gradient")),
            "negative_label": Clause("refused"),
            "label_too_large": Clause("refused"),
            **UNDEFINED_MEAN,
        },
        class_axis="second",
    ),
    "torch.nn.functional.binary_cross_entropy": Contract(
        loss=Loss.BINARY_CROSS_ENTROPY,
        source=page("torch.nn.functional.binary_cross_entropy"),
        forms=(Form.PROBABILITIES,),
        targets=(TargetForm.BINARY,),
        reductions=REDUCED,
        options={"class_weight": page("torch.nn.functional.binary_cross_entropy", "weight")},
        policies={
            "mean_denominator": Clause("elements", BCE("formula for reduction 'mean'")),
            "class_axis_reduction": Clause("none", BCE("Shape: Output")),
            "probability_range": Clause("log_clamped", BCE("Our solution is that BCELoss clamps its log")),
            **UNDEFINED_MEAN,
        },
        class_axis="any",
    ),
    "torch.nn.functional.binary_cross_entropy_with_logits": Contract(
        loss=Loss.BINARY_CROSS_ENTROPY,
        source=page("torch.nn.functional.binary_cross_entropy_with_logits"),
        targets=(TargetForm.BINARY,),
        reductions=REDUCED,
        options={"class_weight": BCE_LOGITS("weight"), "pos_weight": BCE_LOGITS("pos_weight")},
        policies={
            "mean_denominator": Clause("elements", BCE_LOGITS("formula for reduction 'mean'")),
            "class_axis_reduction": Clause("none", BCE_LOGITS("Shape: Output")),
            **UNDEFINED_MEAN,
        },
        class_axis="any",
    ),
    "torch.nn.functional.kl_div": Contract(
        loss=Loss.KL_DIVERGENCE,
        source=page("torch.nn.functional.kl_div"),
        forms=(Form.LOG_PROBABILITIES,),
        targets=(TargetForm.DISTRIBUTION, TargetForm.LOG_DISTRIBUTION),
        reductions=(*REDUCED, Reduction.BATCH_MEAN),
        policies={
            "mean_denominator": Clause("elements", page("torch.nn.functional.kl_div", "reduction")),
            "class_axis_reduction": Clause("none", KL("Shape: Output")),
            "zero_times_infinity": Clause("nan"),
            **UNDEFINED_MEAN,
        },
        class_axis="any",
    ),
    "torch.nn.functional.softmax": Contract(
        loss=Loss.SOFTMAX,
        source=page("torch.nn.functional.softmax"),
        options={"class_axis": page("torch.nn.functional.softmax", "dim")},
        policies={"infinite_logit": Clause("nan")},
        class_axis="any",
    ),
    "torch.nn.functional.log_softmax": Contract(
        loss=Loss.LOG_SOFTMAX,
        source=page("torch.nn.functional.log_softmax"),
        options={"class_axis": page("torch.nn.functional.log_softmax", "dim")},
        policies={"infinite_logit": Clause("nan")},
        class_axis="any",
    ),
    "torch.nn.functional.logsigmoid": Contract(
        loss=Loss.LOG_SIGMOID,
        source=page("torch.nn.functional.logsigmoid"),
        policies={"infinite_logit": Clause("limit")},
        class_axis="any",
    ),
    "torch.logsumexp": Contract(
        loss=Loss.LOG_SUM_EXP,
        source=page("torch.logsumexp"),
        options={"class_axis": page("torch.logsumexp", "dim")},
        policies={"infinite_logit": Clause("limit")},
        class_axis="any",
    ),
}
"""Each function with its contract."""

MODULES = {
    "torch.nn.CrossEntropyLoss": "torch.nn.functional.cross_entropy",
    "torch.nn.NLLLoss": "torch.nn.functional.nll_loss",
    "torch.nn.BCELoss": "torch.nn.functional.binary_cross_entropy",
    "torch.nn.BCEWithLogitsLoss": "torch.nn.functional.binary_cross_entropy_with_logits",
    "torch.nn.KLDivLoss": "torch.nn.functional.kl_div",
    "torch.nn.Softmax": "torch.nn.functional.softmax",
    "torch.nn.LogSoftmax": "torch.nn.functional.log_softmax",
    "torch.nn.LogSigmoid": "torch.nn.functional.logsigmoid",
}
"""Each module with the function of the same contract, whose settings its constructor takes."""


def inputs(case: Case) -> dict[str, Any]:
    """Return the tensors that functions and modules are called with."""
    if case.target is None:
        return {"input": case.prediction}
    # Class indices must be int64, as the contract has it; everything else has the prediction's dtype.
    dtype = case.target.dtype if case.target_form is TargetForm.INDEX else case.prediction.dtype
    return {"input": case.prediction, "target": in_dtype(case.target, dtype, "target")}


def settings(contract: Contract, case: Case) -> dict[str, Any]:
    """Return the arguments that a function takes besides its inputs, and that a module is made with."""
    found: dict[str, Any] = {}
    if "class_axis" in contract.options:
        found["dim"] = case.class_axis
    for option, argument in (("class_weight", "weight"), ("pos_weight", "pos_weight")):
        weight = getattr(case, option)
        if weight is not None:
            weight = in_dtype(weight, case.prediction.dtype, option)
            elementwise = contract.loss is Loss.BINARY_CROSS_ENTROPY
            found[argument] = along_classes(case, weight) if elementwise else weight
    if case.ignore_index is not None:
        if case.target_form is not TargetForm.INDEX:
            raise Unsupported("It takes ignore_index with class indices only.")
        found["ignore_index"] = case.ignore_index
    if case.label_smoothing:
        found["label_smoothing"] = case.label_smoothing
    if case.target_form is TargetForm.LOG_DISTRIBUTION:
        found["log_target"] = True
    if case.target is not None:
        found["reduction"] = NAMES[case.reduction]
    return found


def call_function(name: str, contract: Contract, case: Case) -> Call:
    """Return a case as a call of a function."""
    return Call(name, {**inputs(case), **settings(contract, case)}, "input")


def call_module(name: str, contract: Contract, case: Case) -> Call:
    """Return a case as a call of a module."""
    return Call(name, inputs(case), "input", init=settings(contract, case))


def framework(target: str = "torch") -> Framework:
    """Return PyTorch, not imported yet."""
    functions = [
        LossFunction(name, contract, partial(call_function, name, contract)) for name, contract in CONTRACTS.items()
    ]
    modules = [
        LossFunction(name, CONTRACTS[function], partial(call_module, name, CONTRACTS[function]), form_of=function)
        for name, function in MODULES.items()
    ]
    return Framework(target, TorchEngine(), (*functions, *modules))


def loss_function(target: Callable[..., Any], **said: Unpack[Statement]) -> Framework:
    """Return a loss of one's own as a target: a callable of tensors that PyTorch differentiates.

    Args:
        target: a function, a module's class, or a module.
        said: what is said of it: `like`, the id of a known loss function, or its loss and arguments; see
            `lossconform.adapters.own.Statement`.

    Raises:
        StatementError: something is missing, unknown, or does not go together.
    """
    return bring(target, TorchEngine(fullgraph=False), said)
