"""What a fault is: one change to a correct loss, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lossconform.adapters.base import LossFunction
from lossconform.adapters.miniatures import catalogue
from lossconform.adapters.miniatures.loss import Batch, Flags, Floats, NumpyLoss, Result
from lossconform.reference.case import Form, Loss, TargetForm

Patch = Mapping[str, Callable[..., Any]]

CE, BCE, KL = Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY, Loss.KL_DIVERGENCE
LOGITS = MappingProxyType({"forms": (Form.LOGITS,)})
PROBABILITIES = MappingProxyType({"forms": (Form.PROBABILITIES,)})
LABELS = MappingProxyType({"forms": (Form.LOGITS,), "targets": (TargetForm.INDEX,)})
SOFT = MappingProxyType({"forms": (Form.LOGITS,), "targets": (TargetForm.DISTRIBUTION,)})
ALL: Mapping[str, Any] = MappingProxyType({})
NOTHING = "no known policy"


@dataclass(frozen=True)
class Fault:
    """One change to a correct loss.

    Attributes:
        id: its name in the module `faulty`.
        wrong: what is wrong, for a reader.
        loss: the loss that it is a change to.
        checks: the checks that must each catch it.
        patch: the change: methods of the correct class, replaced.
        says: what the message must name, a pattern; if empty, the part of the answer.
        features: what its contract takes, where that is less than the loss takes.
        policies: what its contract promises, other than the usual.
        dtype: the dtype in which it shows.
    """

    id: str
    wrong: str
    loss: Loss
    checks: tuple[str, ...]
    patch: Patch
    says: str = ""
    features: Mapping[str, Any] = field(default_factory=lambda: LOGITS)
    policies: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dtype: str = "float32"

    def named(self, check: str) -> str:
        """Return the pattern that the message of a check must match."""
        return self.says or ("^value" if check == "value" else "(value|gradient)")

    def build(self) -> NumpyLoss:
        """Return the callable."""
        cls = type(self.id, (catalogue.CLASSES[self.loss],), dict(self.patch))
        made: NumpyLoss = cls(**self.policies)
        return made

    def function(self) -> LossFunction:
        """Return the loss function with the contract that it breaks."""
        return catalogue.function(
            "faulty", self.id, catalogue.contract(self.loss, dict(self.policies), **self.features)
        )


def correct(instance: Any, method: str, *arguments: Any, **options: Any) -> Any:
    """Return what the correct method gives for the same arguments."""
    return getattr(type(instance).__mro__[1], method)(instance, *arguments, **options)


def after(method: str, change: Callable[..., Any]) -> Patch:
    """Change what a method returns; `change` gets the result and then the method's arguments."""
    return {method: lambda self, *arguments: change(correct(self, method, *arguments), *arguments)}


def instead(method: str, function: Callable[..., Any]) -> Patch:
    """Replace a method; `function` gets the instance and then the method's arguments."""
    return {method: function}


def given(change: Callable[[Floats], Floats]) -> Patch:
    """Change the prediction before it is read."""

    def evaluate(self: Any, batch: Batch, cotangent: Floats | None) -> Result:
        x = change(batch.x).astype(batch.x.dtype)
        result: Result = correct(self, "evaluate", dataclasses.replace(batch, x=x), cotangent)
        return result

    return {"evaluate": evaluate}


def batch_changed(method: str, change: Callable[[Batch], dict[str, Any]]) -> Patch:
    """Let a method see another batch: `change` returns the fields that differ."""
    return {
        method: lambda self, batch, *arguments: correct(
            self, method, dataclasses.replace(batch, **change(batch)), *arguments
        )
    }


def following(method: str, **policies: str) -> Patch:
    """Follow other policies than those promised in one method."""

    def other(self: Any, *arguments: Any) -> Any:
        promised, self.policy = self.policy, {**self.policy, **policies}
        try:
            return correct(self, method, *arguments)
        finally:
            self.policy = promised

    return {method: other}


def outside_follows(rule: str, *, negative: bool) -> Patch:
    """Follow another rule for labels on one side of the classes."""

    def outside(self: Any, batch: Batch, labels: Any, mask: Flags, promised: str, nearest: int) -> Any:
        ours = (nearest == 0) == negative
        return correct(self, "outside", batch, labels, mask, rule if ours else promised, nearest)

    return {"outside": outside}


def observed(policy: str, value: str) -> str:
    """Return the pattern of a message about a policy: what was seen instead of what is documented."""
    return f"{policy} is documented as .*observed: {value}"
