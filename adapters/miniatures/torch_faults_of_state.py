"""Faults that hang on more than one call's arguments, in PyTorch: state, changed inputs, the size of the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from lossconform.adapters.miniatures.fault import CE, Patch, correct, instead
from lossconform.adapters.miniatures.torch_autograd import Tensor, bend
from lossconform.adapters.miniatures.torch_fault import LABELS, TorchFault, bent
from lossconform.adapters.miniatures.torch_loss import Rows
from lossconform.reference.case import Loss

VALUE, GRADIENT, REDUCTION = ("value",), ("gradient",), ("reduction",)


def _kept_by(key: Callable[[Any, Tensor], Any], method: str) -> Patch:
    """Keep what a method returned first for a key of its argument, and return it ever after, without its graph."""

    def remembered(self: Any, x: Tensor, *rest: Any) -> Tensor:
        found = key(self, x)
        if found not in self.kept:
            self.kept[found] = correct(self, method, x, *rest).detach().clone()
        return self.kept[found]

    return {method: remembered}


def _accumulates(self: Any, b: Rows) -> Tensor:
    """Every value has a thousandth of all that came before."""
    values = correct(self, "evaluate", b)
    before = self.kept.get("sum", 0.0)
    self.kept["sum"] = float(values.detach().double().nan_to_num(0, 0, 0).sum())
    return values + before / 1000


def _momentum(self: Any, g: Tensor, b: Rows) -> Tensor:
    """A tenth of the gradient is that of the last call of the same shape."""
    before = self.kept.get(g.shape, g)
    self.kept[g.shape] = g.clone()
    return 0.9 * g + 0.1 * before


def _gradient_kept(change: Callable[..., Tensor]) -> Patch:
    return {"clean": lambda self, b: bend(correct(self, "clean", b), lambda g: change(self, g, b))}


def _every_third(self: Any, b: Rows) -> Tensor:
    self.kept["calls"] = self.kept.get("calls", 0) + 1
    values: Tensor = correct(self, "evaluate", b)
    return values * 2 if self.kept["calls"] % 3 == 0 else values


def _weights_kept(self: Any, b: Rows, weights: Tensor | None) -> None:
    """The class weights of the first call with as many classes."""
    if weights is not None:
        weights = self.kept.setdefault(len(weights), weights.clone())
    correct(self, "weigh", b, weights)


def _labels_kept(self: Any, target: Tensor, classes: int) -> Tensor:
    """The labels of the first call of a shape."""
    return self.kept.setdefault((*target.shape, classes), target.clone()).long()


def _option_kept(self: Any, b: Rows, amount: float) -> Tensor:
    """The smoothing of the first call."""
    return correct(self, "smooth", b, self.kept.setdefault("amount", amount))


def _shifted_in_place(self: Any, b: Rows) -> Tensor:
    """The caller's logits are shifted in place, behind autograd's back."""
    b.x.data.sub_(b.x.detach().amax(1, keepdim=True).nan_to_num(0, 0, 0))
    return correct(self, "clean", b)


def _target_in_place(self: Any, b: Rows, target: Tensor, *rest: Any) -> None:
    """The caller's labels are overwritten after they were read."""
    correct(self, "read_target", b, target, *rest)
    target.zero_()


def _halved_in_place(self: Any, b: Rows) -> Tensor:
    """The caller's logits are halved in place once they were read."""
    x = correct(self, "clean", b)
    b.x.data.mul_(0.5)
    return x


def _rows_in(dtype: Any, start: int) -> Patch:
    """Rows from one on are computed in another dtype, as by a second kernel."""

    def values(self: Any, b: Rows) -> Tensor:
        late = torch.arange(len(b.x))[:, None] >= start
        low = dataclasses.replace(b, x=b.x.to(dtype).to(b.x.dtype))
        return torch.where(late, correct(self, "values", low), correct(self, "values", b))

    return {"values": values}


def _of_blocks(size: int) -> Patch:
    """Rows after the last whole block have no loss."""

    def settle(self: Any, b: Rows, values: Tensor) -> Tensor:
        whole = len(values) // size * size or len(values)
        return torch.where(torch.arange(len(values))[:, None] < whole, correct(self, "settle", b, values), 0)

    return {"settle": settle}


def _squeezed(self: Any, b: Rows, values: Tensor) -> Tensor:
    """A batch of one row loses its axis."""
    result = correct(self, "reduce", b, values)
    return result.squeeze()


def _first_row_for_all(self: Any, x: Tensor) -> Tensor:
    """Large batches share one shift."""
    return x[:1].amax(1, keepdim=True).detach() if len(x) > 3 else correct(self, "highest", x)


STATE = (
    TorchFault("accumulates", "a thousandth of the last value is added", CE, VALUE, instead("evaluate", _accumulates)),
    TorchFault("every_third_doubled", "every third call doubled", CE, VALUE, instead("evaluate", _every_third)),
    TorchFault(
        "shift_kept_by_shape",
        "the shift of the first call of a shape",
        CE,
        VALUE,
        _kept_by(lambda self, x: tuple(x.shape), "highest"),
    ),
    TorchFault(
        "softmax_kept_by_shape",
        "the first answer for a shape and a dtype",
        Loss.SOFTMAX,
        VALUE,
        _kept_by(lambda self, b: (b.shape, b.axis, b.dtype), "evaluate"),
    ),
    TorchFault(
        "kept_by_identity",
        "the first answer for a tensor at an address",
        Loss.LOG_SOFTMAX,
        VALUE,
        _kept_by(lambda self, b: (b.x.data_ptr(), b.shape), "evaluate"),
    ),
    TorchFault("labels_kept_by_shape", "the labels of the first call", CE, VALUE, instead("labels", _labels_kept)),
    TorchFault(
        "weights_kept", "the class weights of the first call", CE, ("class-weight",), instead("weigh", _weights_kept)
    ),
    TorchFault(
        "smoothing_kept", "the smoothing of the first call", CE, ("label-smoothing",), instead("smooth", _option_kept)
    ),
    TorchFault(
        "gradient_has_momentum",
        "a tenth of the last gradient of a shape",
        CE,
        GRADIENT,
        _gradient_kept(_momentum),
        "gradient",
    ),
)

CHANGED = "changed its argument"

IN_PLACE = (
    TorchFault(
        "logits_shifted_in_place",
        "the caller's logits are shifted",
        CE,
        ("value", "gradient"),
        instead("clean", _shifted_in_place),
        says=CHANGED,
    ),
    TorchFault(
        "logits_halved_in_place",
        "the caller's logits are halved",
        CE,
        ("value", "gradient"),
        instead("clean", _halved_in_place),
        says=CHANGED,
    ),
    TorchFault(
        "labels_cleared_in_place",
        "the caller's labels are overwritten",
        CE,
        ("value", "gradient"),
        instead("read_target", _target_in_place),
        says=CHANGED,
        features=LABELS,
    ),
)

BATCH = (
    TorchFault("late_rows_in_float16", "rows from the fifth on in float16", CE, VALUE, _rows_in(torch.float16, 4)),
    TorchFault("late_rows_in_bfloat16", "the eighth row in bfloat16", CE, VALUE, _rows_in(torch.bfloat16, 7)),
    TorchFault(
        "remainder_lost", "rows after the last block of two lost", CE, REDUCTION, _of_blocks(2), features=LABELS
    ),
    TorchFault(
        "one_row_squeezed",
        "a batch of one row loses its axis",
        CE,
        ("label-forms",),
        instead("reduce", _squeezed),
        "shape",
    ),
    TorchFault(
        "shift_shared_when_large",
        "batches of more than three rows share a shift",
        CE,
        VALUE,
        instead("highest", _first_row_for_all),
    ),
    TorchFault(
        "gradient_by_batch",
        "the gradient divided by the number of rows",
        CE,
        GRADIENT,
        bent(lambda g, b: g / max(len(g), 1)),
        "gradient",
    ),
    TorchFault(
        "gradient_of_large_batches",
        "no gradient for rows from the fifth on",
        CE,
        GRADIENT,
        bent(lambda g, b: torch.where(torch.arange(len(g))[:, None] < 4, g, 0)),
        "gradient",
    ),
)

FAULTS = (*STATE, *IN_PLACE, *BATCH)
"""Every fault of these."""
