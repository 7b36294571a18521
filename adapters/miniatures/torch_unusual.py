"""Correct losses in PyTorch, the plain ones and unusual ones: every check must leave them alone.

Importing this imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

import torch

from lossconform.adapters.base import Framework, LossFunction
from lossconform.adapters.miniatures import torch_fault
from lossconform.adapters.miniatures.fault import BCE, CE, KL, Patch, correct, instead
from lossconform.adapters.miniatures.torch_autograd import Tensor
from lossconform.adapters.miniatures.torch_fault import CLASSES, LABELS
from lossconform.adapters.miniatures.torch_loss import INF, NAN, Rows
from lossconform.reference.case import Loss, Reduction
from lossconform.reference.grades import Grade

BLOCK = 64
"""Classes at a time."""


@dataclass(frozen=True)
class TorchVariation:
    """A correct loss in PyTorch.

    Attributes:
        id: its name in this module.
        meaning: what is unusual about it.
        loss: what it computes.
        patch: the methods that are replaced.
        features: what its contract takes, where that is less than the loss takes.
        policies: the policies it follows, and states.
        hazards: the checks that find nonsense accepted in silence, as its contract states.
    """

    id: str
    meaning: str
    loss: Loss
    patch: Patch = field(default_factory=lambda: MappingProxyType({}))
    features: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    policies: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    hazards: tuple[str, ...] = ()

    def build(self) -> Any:
        """Return the callable."""
        return type(self.id, (CLASSES[self.loss],), dict(self.patch))(**self.policies)

    def function(self) -> LossFunction:
        """Return the loss function with its contract."""
        return torch_fault.promised("torch_unusual", self.id, self.loss, self.policies, self.features)


def _online(self: Any, b: Rows) -> Any:
    """One pass over blocks of classes: the sum is rescaled whenever a larger logit comes along."""
    q = correct(self, "parts", b)
    x = self.logits(b)
    m, s = torch.full_like(q.m, -INF), torch.zeros_like(q.m)
    for block in x.split(BLOCK, 1):
        higher = torch.maximum(m, block.detach().amax(1, keepdim=True))
        # No shift while every logit so far is -inf: -inf less -inf would be NaN, in the backward pass too.
        safe = torch.where(higher == -INF, 0, higher)
        s = s * (m - safe).exp() + (block - safe).exp().sum(1, keepdim=True)
        m = higher
    undefined = ~q.m.isfinite()
    q.s = torch.where(undefined, NAN, s)
    q.log_s = q.s.log()
    return q


def _chunked(self: Any, e: Tensor) -> Tensor:
    """Sum blocks of seven, then the blocks."""
    return torch.cat([block.sum(1, keepdim=True) for block in e.split(7, 1)], 1).sum(1, keepdim=True)


def _log1p(self: Any, b: Rows) -> Any:
    """The largest class is kept out of the sum, and log1p has the rest."""
    q = correct(self, "parts", b)
    place = q.d.detach().argmax(1, keepdim=True)
    rest = torch.zeros_like(q.e, dtype=torch.bool).scatter(1, place, True)
    top = q.e.gather(1, place)
    q.log_s = top.log() + (torch.where(rest, 0, q.e).sum(1, keepdim=True) / top).log1p()
    return q


class _CrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    """A cross-entropy of rows whose gradient, T p - t, is written by hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, t: Tensor) -> Tensor:
        """Return the loss of rows."""
        log_p = x.log_softmax(1)
        ctx.save_for_backward(log_p, t)
        return -torch.where((t != 0) | log_p.isnan(), t * log_p, 0).sum(1, keepdim=True)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the logits."""
        log_p, t = ctx.saved_tensors
        return upstream * (t.sum(1, keepdim=True) * log_p.exp() - t), None


class _Softplus(torch.autograd.Function):  # type: ignore[misc]
    """log(1 + exp z) with its slope written by hand."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        """Return max(z, 0) + log1p(exp(-|z|))."""
        ctx.save_for_backward(z)
        return z.clamp(min=0) + (-z.abs()).exp().log1p()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        """Return the sigmoid."""
        (z,) = ctx.saved_tensors
        return upstream * z.sigmoid()


WIDELY: Patch = {"working": lambda self, dtype: torch.float64}
"""Computed in float64 whatever the dtype."""


def _reversed(self: Any, b: Rows) -> Tensor:
    """The rows computed in another order, and put back."""
    for name in ("x", "where", "t", "weight", "row_weight", "label_weight", "kept", "nan_rows"):
        setattr(b, name, getattr(b, name).flip(0))
    return correct(self, "values", b)


def _flipped(self: Any, b: Rows, values: Tensor) -> Tensor:
    for name in ("x", "where", "t", "weight", "row_weight", "label_weight", "kept", "nan_rows"):
        setattr(b, name, getattr(b, name).flip(0))
    return correct(self, "settle", b, values.flip(0))


def _einsum(self: Any, t: Tensor, q: Any) -> Tensor:
    """The product with the target as a matrix product."""
    d = torch.where(t != 0, -q.d, 0)
    return torch.einsum("nc,nc->n", t, d)[:, None] + t.sum(1, keepdim=True) * q.log_s


def _gathered(self: Any, b: Rows) -> Tensor:
    """The label's log-probability is picked out, the others never looked at."""
    q, t = self.parts(b), self.mass(b)
    if b.target_form != "index" or bool(((b.t != 0).sum(1) > 1).any()):
        return self.cross(t, q)
    place = b.t.argmax(1, keepdim=True)
    w = t.gather(1, place)
    return torch.where(w != 0, w * (q.log_s - q.d.gather(1, place)), 0 * q.log_s)


def _two_pass(self: Any, q: Any) -> Tensor:
    """Divide, and divide again by what the first division left of the sum."""
    p = q.e / q.s
    return p / p.sum(1, keepdim=True)


def _by_logsumexp(self: Any, b: Rows) -> Tensor:
    q = self.parts(b)
    q.log_s = q.d.logsumexp(1, keepdim=True)
    return self.cross(self.mass(b), q)


PLAIN = tuple(TorchVariation(f"{loss}_plain", "plain", loss) for loss in CLASSES)

WIDE = tuple(TorchVariation(f"{loss}_wide", "float64 inside", loss, WIDELY) for loss in (CE, BCE, KL))

EVALUATIONS = (
    TorchVariation("online", "online softmax", CE, {"parts": _online}),
    TorchVariation("chunked", "sums in blocks", CE, {"add": _chunked}),
    TorchVariation("log1p_of_rest", "log1p of all but the largest class", CE, {"parts": _log1p}),
    TorchVariation(
        "by_hand",
        "an autograd function with the right gradient",
        CE,
        {"values": lambda self, b: _CrossEntropy.apply(self.logits(b), self.mass(b))},
    ),
    TorchVariation(
        "softplus_by_hand",
        "a softplus with the right gradient, promised to be relatively accurate",
        BCE,
        {"softplus": lambda self, z: _Softplus.apply(z)},
        {"bar": Grade.SHIFT_STABLE},
    ),
    TorchVariation("softmax_two_pass", "softmax divided twice", Loss.SOFTMAX, {"p": _two_pass}),
    TorchVariation("rows_reversed", "rows in reverse", CE, {"values": _reversed, "settle": _flipped}),
    TorchVariation(
        "rounded_throughout",
        "every operation in the prediction's dtype, sums accumulated in float32",
        CE,
        instead("working", lambda self, dtype: dtype),
        # In float16 the sum and the count of very many rows are infinite before the mean is taken.
        {**LABELS, "reductions": (Reduction.NONE, Reduction.SUM)},
    ),
    TorchVariation(
        "labels_in_int32",
        "labels cast to int32, whatever their dtype",
        CE,
        instead("labels", lambda self, target, classes: target.int().long()),
        LABELS,
    ),
    TorchVariation("einsum", "the target's product by einsum", CE, {"cross": _einsum}),
    TorchVariation("gathered", "the label's entry alone", CE, {"values": _gathered}, LABELS),
    TorchVariation(
        "log_softmax_native",
        "PyTorch's own log_softmax",
        Loss.LOG_SOFTMAX,
        {"log_p": lambda self, q: q.d.log_softmax(1)},
    ),
    TorchVariation(
        "softmax_native", "PyTorch's own softmax", Loss.SOFTMAX, {"values": lambda self, b: self.logits(b).softmax(1)}
    ),
    TorchVariation(
        "logsumexp_native",
        "PyTorch's own logsumexp of shifted logits",
        CE,
        {"values": _by_logsumexp},
    ),
)
"""Other ways of computing the same."""

CHOICES = (
    *(
        TorchVariation(f"denominator_{rule}", f"the mean divides by {rule}", CE, {}, LABELS, {"mean_denominator": rule})
        for rule in ("kept", "weights")
    ),
)
"""Legal policies."""


VARIATIONS = {v.id: v for v in (*PLAIN, *WIDE, *EVALUATIONS, *CHOICES)}
"""Every correct loss by id."""


@cache
def __getattr__(name: str) -> Any:
    """Return a correct loss by its id."""
    if name not in VARIATIONS:
        raise AttributeError(name)
    return VARIATIONS[name].build()


def framework() -> Framework:
    """Return every correct loss as a loss function."""
    return torch_fault.framework("torch_unusual", tuple(v.function() for v in VARIATIONS.values()))
