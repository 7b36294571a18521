"""What a fault of a loss in PyTorch is: a change to a correct one, as data. Importing this imports PyTorch.

A fault of the gradient leaves the value alone: `bent` changes what autograd hands back, `slope_of` takes the gradient
of another evaluation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lossconform.adapters.base import Framework, LossFunction
from lossconform.adapters.engine_torch import TorchEngine
from lossconform.adapters.miniatures import catalogue
from lossconform.adapters.miniatures.fault import Fault, Patch, correct
from lossconform.adapters.miniatures.torch_autograd import Tensor, bend, through
from lossconform.adapters.miniatures.torch_correct import (
    BinaryCrossEntropy,
    KLDivergence,
    LogSoftmax,
    Softmax,
    SoftmaxCrossEntropy,
)
from lossconform.adapters.miniatures.torch_loss import Rows, TorchLoss
from lossconform.reference.case import Form, Loss, TargetForm

CLASSES: dict[Loss, type[TorchLoss]] = {
    Loss.SOFTMAX: Softmax,
    Loss.LOG_SOFTMAX: LogSoftmax,
    Loss.SOFTMAX_CROSS_ENTROPY: SoftmaxCrossEntropy,
    Loss.BINARY_CROSS_ENTROPY: BinaryCrossEntropy,
    Loss.KL_DIVERGENCE: KLDivergence,
}
"""The correct class of each loss."""

FORMS = {Loss.KL_DIVERGENCE: (Form.LOG_PROBABILITIES,)}
"""The predictions that a loss takes, where they are not logits."""


def promised(module: str, name: str, loss: Loss, policies: Any, features: Any) -> LossFunction:
    """Return a loss in PyTorch as a loss function with its contract."""
    narrower = {"forms": FORMS.get(loss, (Form.LOGITS,)), **features}
    return catalogue.function(module, name, catalogue.contract(loss, dict(policies), **narrower))


class MiniatureEngine(TorchEngine):
    """PyTorch's engine; a snippet imports the module of the miniatures too."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self.module = module

    def imports(self) -> list[str]:
        """Return the source lines that a snippet begins with."""
        return [*super().imports(), f"import {catalogue.PACKAGE}.{self.module}"]


def framework(module: str, functions: tuple[LossFunction, ...]) -> Framework:
    """Return losses of one module as a framework, ready to be asked."""
    engine = MiniatureEngine(module)
    engine.start()
    return Framework("miniatures", engine, functions)


@dataclass(frozen=True)
class TorchFault(Fault):
    """A fault of a loss in PyTorch; see `Fault`. Its features are all that the loss takes, unless they are less."""

    features: Any = dataclasses.field(default_factory=dict)

    def build(self) -> Any:
        """Return the callable."""
        return type(self.id, (CLASSES[self.loss],), dict(self.patch))(**self.policies)

    def function(self) -> LossFunction:
        """Return the loss function with the contract that it breaks."""
        return promised("torch_faulty", self.id, self.loss, self.policies, self.features)


LABELS = {"targets": (TargetForm.INDEX,)}
SOFT = {"targets": (TargetForm.DISTRIBUTION,)}


def given(change: Callable[[Tensor], Tensor]) -> Patch:
    """Change the prediction before it is read."""
    return {"clean": lambda self, b: change(correct(self, "clean", b))}


def bent(change: Callable[..., Tensor], method: str = "clean") -> Patch:
    """Change the gradient that leaves a method's result; `change` gets it and the method's arguments."""
    return {
        method: lambda self, b, *rest: bend(correct(self, method, b, *rest), lambda g: change(g, b, *rest).expand_as(g))
    }


def slope_of(other: Callable[..., Tensor], method: str = "values") -> Patch:
    """Keep a method's result, with the gradient of what `other` makes of the same arguments."""
    return {method: lambda self, *arguments: through(correct(self, method, *arguments), other(self, *arguments))}


def altered(method: str, change: Callable[[Rows], dict[str, Any]]) -> Callable[..., Tensor]:
    """Return a method as it would be with other rows: `change` returns the fields that differ."""
    return lambda self, b, *rest: correct(self, method, dataclasses.replace(b, **change(b)), *rest)
