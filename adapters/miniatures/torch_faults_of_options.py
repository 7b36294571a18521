"""Faults of weights, smoothing, reductions, axes and broadcasting, in PyTorch."""

from __future__ import annotations

from typing import Any

import torch

from lossconform.adapters.miniatures.fault import (
    BCE,
    CE,
    KL,
    NOTHING,
    Patch,
    after,
    batch_changed,
    correct,
    following,
    instead,
    observed,
)
from lossconform.adapters.miniatures.torch_autograd import Tensor
from lossconform.adapters.miniatures.torch_fault import LABELS, TorchFault
from lossconform.adapters.miniatures.torch_loss import Rows
from lossconform.reference.case import Loss

CLASS, SAMPLE, SMOOTHING, REDUCTION = ("class-weight",), ("sample-weight",), ("label-smoothing",), ("reduction",)
TOGETHER, DENOMINATOR = ("options-together",), ("mean-denominator",)


def _weights(change: Any) -> Patch:
    """Change the class weights before they are used."""
    return {
        "weigh": lambda self, b, w: correct(self, "weigh", b, None if w is None else change(w)),
        "read_target": lambda self, b, t, w, i: correct(self, "read_target", b, t, None if w is None else change(w), i),
    }


def _samples(change: Any) -> Patch:
    """Change the sample weights before they are used; `change` gets the rows."""

    def weigh(self: Any, b: Rows, weights: Tensor | None) -> None:
        b.row_weight = change(b)
        correct(self, "weigh", b, weights)

    return {"weigh": weigh}


def _smooth(change: Any) -> Patch:
    """Smooth in another way; `change` gets rows, amount and the number of classes."""
    return instead("smooth", lambda self, b, amount: change(b, amount, b.x.shape[1]))


def _reduce(kind: str, change: Any) -> Patch:
    """Change what one reduction does; `change` gets rows and values."""
    return {
        "reduce": lambda self, b, v: change(b, v) if b.reduction == kind else correct(self, "reduce", b, v),
    }


def _as(one: str, other: str) -> Patch:
    """Take one reduction for another."""
    return batch_changed("reduce", lambda b: {"reduction": other if b.reduction == one else b.reduction})


def _axis(place: int) -> Patch:
    """Take another axis for that of the classes."""

    def called(self: Any, prediction: Tensor, target: Tensor | None = None, *, axis: int = -1, **rest: Any) -> Tensor:
        return correct(self, "__call__", prediction, target, axis=place, **rest)

    return {"__call__": called}


def _label_weight_only(self: Any, b: Rows, weights: Tensor | None) -> None:
    correct(self, "weigh", b, None)
    if weights is not None:
        b.weight = b.weight * weights[b.t.argmax(1)][:, None]


def _weighed_unless_smoothed(self: Any, b: Rows, weights: Tensor | None) -> None:
    if ((b.t != 0) & (b.t != 1)).any():
        b.row_weight = torch.ones_like(b.row_weight)
    correct(self, "weigh", b, weights)


def _ignored_mass(self: Any, b: Rows, values: Tensor) -> Tensor:
    """Ignored rows keep what smoothing gave to their classes."""
    return torch.where((b.t != 0).any(1, keepdim=True), values, correct(self, "settle", b, values))


def _transposed(b: Rows) -> Tensor:
    outer = b.shape[: b.axis] + b.shape[b.axis + 1 :]
    return b.row_weight.reshape(outer[::-1]).movedim(0, -1).reshape(-1)


FAULTS = (
    TorchFault("class_weight_lost", "class weights not used", CE, CLASS, _weights(torch.ones_like)),
    TorchFault("class_weight_squared", "class weights squared", CE, CLASS, _weights(torch.square)),
    TorchFault(
        "class_weight_normalised", "class weights divided by their sum", CE, CLASS, _weights(lambda w: w / w.sum())
    ),
    TorchFault(
        "class_weight_shifted", "each class has its neighbour's weight", CE, CLASS, _weights(lambda w: w.roll(1))
    ),
    TorchFault(
        "class_weight_of_largest",
        "soft labels weighted by their largest class",
        CE,
        CLASS,
        instead("weigh", _label_weight_only),
    ),
    TorchFault(
        "class_weight_not_in_denominator",
        "the weighted mean divides by rows",
        CE,
        (*DENOMINATOR, *CLASS),
        following("denominator", mean_denominator="elements"),
        "(value|gradient|observed: elements)",
        LABELS,
        {"mean_denominator": "weights"},
    ),
    TorchFault(
        "class_weight_in_denominator",
        "the mean divides by weights",
        CE,
        DENOMINATOR,
        following("denominator", mean_denominator="weights"),
        observed("mean_denominator", "weights"),
        LABELS,
    ),
    TorchFault("sample_weight_lost", "sample weights not used", CE, SAMPLE, _samples(lambda b: 1 + 0 * b.row_weight)),
    TorchFault("sample_weight_squared", "sample weights squared", BCE, SAMPLE, _samples(lambda b: b.row_weight**2)),
    TorchFault(
        "sample_weight_normalised",
        "sample weights divided by their mean",
        CE,
        SAMPLE,
        _samples(lambda b: b.row_weight / b.row_weight.mean()),
    ),
    TorchFault(
        "sample_weight_broadcast",
        "(N,) sample weights times (N, 1) losses",
        CE,
        SAMPLE,
        _reduce("mean", lambda b, v: (v * b.row_weight / b.row_weight[:, None]).sum() / len(v) ** 2),
    ),
    TorchFault("sample_weight_transposed", "axes of sample weights exchanged", CE, TOGETHER, _samples(_transposed)),
    TorchFault(
        "pos_weight_lost",
        "pos_weight not used",
        BCE,
        ("pos-weight",),
        batch_changed("sides", lambda b: {"pos_weight": torch.ones_like(b.pos_weight)}),
    ),
    TorchFault(
        "pos_weight_of_both",
        "pos_weight on both terms",
        BCE,
        ("pos-weight",),
        after("sides", lambda w, b: (w[0], w[1] * b.pos_weight)),
    ),
    TorchFault("smoothing_lost", "label smoothing not used", CE, SMOOTHING, _smooth(lambda b, e, k: b.t)),
    TorchFault(
        "smoothing_of_rows",
        "the share divided by the number of rows",
        CE,
        SMOOTHING,
        _smooth(lambda b, e, k: b.t * (1 - e) + e / len(b.x)),
    ),
    TorchFault(
        "smoothing_spares_label",
        "mass for the other classes alone",
        CE,
        ("smoothing-share",),
        _smooth(lambda b, e, k: b.t * (1 - e - e / (k - 1)) + e / (k - 1)),
        "observed: other_classes",
    ),
    TorchFault("smoothing_added", "the label's mass not reduced", CE, SMOOTHING, _smooth(lambda b, e, k: b.t + e / k)),
    TorchFault(
        "smoothing_by_label_weight",
        "smoothed mass has the label's weight",
        CE,
        ("smoothing-weight",),
        instead("weigh", _label_weight_only),
        "smoothing_weight",
        LABELS,
    ),
    TorchFault(
        "smoothing_drops_weights",
        "smoothed rows lose their sample weight",
        CE,
        TOGETHER,
        instead("weigh", _weighed_unless_smoothed),
        features=LABELS,
    ),
    TorchFault(
        "smoothing_of_ignored",
        "ignored rows keep smoothed mass",
        CE,
        TOGETHER,
        instead("settle", _ignored_mass),
        features=LABELS,
    ),
    TorchFault(
        "binary_smoothing_whole",
        "e, not e / 2, for each side",
        BCE,
        SMOOTHING,
        _smooth(lambda b, e, k: b.t * (1 - e) + e),
    ),
    TorchFault("sum_is_mean", "the sum is a mean", CE, REDUCTION, _as("sum", "mean"), features=LABELS),
    TorchFault(
        "mean_is_sum",
        "the mean is a sum",
        CE,
        (*REDUCTION, *DENOMINATOR),
        _as("mean", "sum"),
        f"(value|gradient|{NOTHING})",
        LABELS,
    ),
    TorchFault("batch_mean_is_mean", "the batch mean divides by elements", KL, REDUCTION, _as("batch_mean", "mean")),
    TorchFault("none_is_sum", "nothing left unreduced", CE, REDUCTION, _as("none", "sum"), "shape", LABELS),
    TorchFault(
        "none_keeps_axis",
        "the class axis kept with length 1",
        CE,
        REDUCTION,
        _reduce("none", lambda b, v: v),
        "shape",
        LABELS,
    ),
    TorchFault(
        "rows_crossed",
        "(N,) against (N, 1)",
        CE,
        REDUCTION,
        _reduce("none", lambda b, v: v + 0 * v[:, 0]),
        "shape",
        LABELS,
    ),
    TorchFault(
        "rows_crossed_in_sum",
        "the sum of (N,) against (N, 1)",
        CE,
        REDUCTION,
        _reduce("sum", lambda b, v: (v + 0 * v[:, 0]).sum()),
        features=LABELS,
    ),
    TorchFault(
        "weighted_mean_by_rows", "the mean by sample weights divides by rows", CE, SAMPLE, _as("weighted_mean", "mean")
    ),
    TorchFault(
        "empty_is_zero",
        "the mean of no rows is 0",
        CE,
        ("empty-batch",),
        after("denominator", lambda n, b, _: n.clamp(min=1)),
        observed("empty_mean", "zero"),
        LABELS,
    ),
    TorchFault("axis_always_last", "the class axis taken as the last", Loss.LOG_SOFTMAX, ("class-axis",), _axis(-1)),
    TorchFault("axis_always_first", "the class axis taken as the first", Loss.SOFTMAX, ("class-axis",), _axis(0)),
    TorchFault(
        "axis_not_restored",
        "rows put back as if the classes came last",
        Loss.LOG_SOFTMAX,
        ("class-axis",),
        instead("unrows", lambda self, b, a: a.reshape(b.shape)),
    ),
    TorchFault("dtype_widened", "in float64", CE, ("dtype",), after("evaluate", lambda v, b: v.double()), "dtype"),
    TorchFault(
        "dtype_narrowed",
        "bfloat16 answered in float32",
        CE,
        ("dtype",),
        after("evaluate", lambda v, b: v.float()),
        "dtype",
        dtype="bfloat16",
    ),
)
"""Every fault of these."""
