"""Faults of labels, ignored rows and masked classes, in PyTorch."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from lossconform.adapters.miniatures.fault import (
    CE,
    KL,
    NOTHING,
    Patch,
    after,
    correct,
    following,
    instead,
    observed,
    outside_follows,
)
from lossconform.adapters.miniatures.torch_autograd import Tensor
from lossconform.adapters.miniatures.torch_fault import LABELS, SOFT, TorchFault
from lossconform.adapters.miniatures.torch_loss import NAN, Rows
from lossconform.reference.case import Loss

NEGATIVE, LARGE, IGNORE = ("negative-label",), ("label-too-large",), ("ignore-index",)
DTYPES, NEIGHBOUR = ("label-dtypes",), ("ignored-neighbour",)
REFUSED = "(value|gradient|refused)"
KEPT = {"mean_denominator": "kept"}


def _labels(change: Any) -> Patch:
    """Read the labels in another way; `change` gets labels and the number of classes."""
    return instead("labels", lambda self, target, c: change(target.long(), c).long())


def _read(change: Any) -> Patch:
    """Read other labels, and ignore another one; `change` gets labels, index and the prediction's dtype."""

    def read_target(self: Any, b: Rows, target: Tensor, weights: Any, index: int | None) -> None:
        if b.target_form == "index" and index is not None:
            target, index = change(target, index, b.dtype)
        correct(self, "read_target", b, target, weights, index)

    return {"read_target": read_target}


def _compared_in(dtype: Any) -> Patch:
    """Compare labels with the ignored one in a floating dtype, the prediction's if None."""

    def compared(target: Tensor, index: int, own: Any) -> tuple[Tensor, int]:
        same = target.to(dtype or own) == torch.tensor(index).to(dtype or own)
        return torch.where(same, index, target.long()), index

    return _read(compared)


def _flat(target: Tensor, classes: int) -> Tensor:
    """Return labels by their place among all logits, which the labels' dtype may not have."""
    first = torch.arange(len(target)) * classes
    return (first + target.long()).to(target.dtype).long() - first


def _target(change: Any) -> Patch:
    """Change soft labels after they were read."""

    def read_target(self: Any, b: Rows, *arguments: Any) -> None:
        correct(self, "read_target", b, *arguments)
        if b.target_form != "index":
            b.t = change(b.t).to(b.t.dtype)

    return {"read_target": read_target}


def _where(change: Any) -> Patch:
    """Change the mask of classes."""
    return {"logits": lambda self, b: correct(self, "logits", dataclasses.replace(b, where=change(b.where)))}


def _outside(identifier: str, what: str, rule: str, *, negative: bool) -> TorchFault:
    """Return a fault of labels on one side of the classes."""
    policy = "negative_label" if negative else "label_too_large"
    return TorchFault(
        identifier,
        what,
        CE,
        NEGATIVE if negative else LARGE,
        outside_follows(rule, negative=negative),
        # A row that is ignored leaves every mean too; the policy `zero` keeps it there.
        observed(policy, NOTHING if rule == "zero" else rule),
        LABELS,
    )


def _ignoring(identifier: str, what: str, change: Any, **also: Any) -> TorchFault:
    """Return a fault of which rows are ignored; `change` gets labels and index."""
    patch = {"ignored": lambda self, labels, index: change(labels, index), **also}
    return TorchFault(identifier, what, CE, IGNORE, patch, features=LABELS)


TO_FIRST = outside_follows("clamped", negative=True)
"""Takes back the refusal of labels that are no longer ignored."""

LABEL_FAULTS = (
    _outside("negative_wraps", "negative labels count from the end", "wrapped", negative=True),
    _outside("negative_clamped", "negative labels are the first class", "clamped", negative=True),
    _outside("negative_ignored", "negative labels are ignored", "zero", negative=True),
    _outside("negative_nan", "negative labels give NaN", "nan", negative=True),
    _outside("large_clamped", "large labels are the last class", "clamped", negative=False),
    _outside("large_ignored", "large labels are ignored", "zero", negative=False),
    _outside("large_nan", "large labels give NaN", "nan", negative=False),
    TorchFault(
        "large_modulo",
        "large labels modulo the number of classes",
        CE,
        LARGE,
        _labels(lambda t, c: torch.where(t >= c, t % c, t)),
        "label_too_large",
        LABELS,
    ),
    TorchFault("labels_from_one", "labels counted from 1", CE, ("value",), _labels(lambda t, c: (t - 1) % c)),
    TorchFault("labels_in_uint8", "labels in uint8", CE, ("value",), _labels(lambda t, c: t.to(torch.uint8))),
    TorchFault(
        "uint8_read_as_int8",
        "labels in uint8 read as int8",
        CE,
        DTYPES,
        instead("labels", lambda self, t, c: (t.view(torch.int8) if t.dtype == torch.uint8 else t).long()),
        REFUSED,
        LABELS,
    ),
    TorchFault(
        "flat_in_label_dtype",
        "flat places in the labels' dtype",
        CE,
        DTYPES,
        instead("labels", lambda self, t, c: _flat(t, c)),
        REFUSED,
        LABELS,
    ),
    TorchFault(
        "index_in_label_dtype",
        "the ignored index cast to the labels' dtype",
        CE,
        DTYPES,
        _read(lambda t, i, _: (t, int(torch.tensor(i).to(t.dtype)))),
        features=LABELS,
    ),
    TorchFault(
        "ignored_in_prediction_dtype",
        "compared with the ignored index in the prediction's dtype",
        CE,
        NEIGHBOUR,
        _compared_in(None),
        features=LABELS,
        dtype="float16",
    ),
    TorchFault(
        "ignored_in_bfloat16",
        "compared with the ignored index in bfloat16",
        CE,
        NEIGHBOUR,
        _compared_in(torch.bfloat16),
        features=LABELS,
    ),
    TorchFault("labels_in_int8", "labels in int8", CE, ("value",), _labels(lambda t, c: t.to(torch.int8).abs())),
    TorchFault(
        "labels_in_bfloat16",
        "labels rounded to bfloat16",
        CE,
        ("value",),
        _labels(lambda t, c: t.bfloat16().long().clamp(max=c - 1)),
        features=LABELS,
    ),
    TorchFault(
        "label_zero_is_padding",
        "label 0 ignored",
        CE,
        ("value",),
        {"read_target": lambda self, b, t, w, i: correct(self, "read_target", b, t, w, 0)},
    ),
    TorchFault(
        "soft_by_argmax",
        "soft labels by their largest class",
        CE,
        ("label-forms",),
        _target(lambda t: torch.zeros_like(t).scatter(1, t.argmax(1, keepdim=True), 1)),
    ),
    TorchFault("soft_below_one_lost", "soft labels below 1 lost", CE, ("label-forms",), _target(lambda t: t.long())),
    TorchFault("soft_softmaxed", "a softmax of the soft labels", CE, ("label-forms",), _target(lambda t: t.softmax(1))),
    TorchFault(
        "soft_normalised",
        "soft labels divided by their sum",
        CE,
        ("unnormalised-target",),
        _target(lambda t: t / t.sum(1, keepdim=True)),
        "target_sum",
        SOFT,
    ),
    TorchFault(
        "zero_target_nan",
        "0 times infinity is NaN",
        CE,
        ("zero-target",),
        instead("cross", lambda self, t, q: (t * -self.log_p(q)).sum(1, keepdim=True)),
        observed("zero_times_infinity", "nan"),
        SOFT,
    ),
    TorchFault(
        "zero_target_nan_divergence",
        "0 log 0 is NaN",
        KL,
        ("zero-target",),
        instead("values", lambda self, b: self.mass(b) * (self.log_mass(b) - b.x) * b.weight),
        "zero_times_infinity",
    ),
)

IGNORE_FAULTS = (
    TorchFault(
        "ignored_counted",
        "ignored rows counted in the mean",
        CE,
        ("mean-denominator", "ignore-index"),
        following("denominator", mean_denominator="elements"),
        "(value|gradient|observed: elements)",
        LABELS,
        KEPT,
    ),
    TorchFault(
        "ignored_leaks_nan",
        "ignored rows multiplied by 0",
        CE,
        ("ignored-nonfinite",),
        {
            "clean": lambda self, b: b.x,
            "settle": lambda self, b, v: v * b.kept[:, None],
        },
        observed("ignored_nonfinite", "propagated"),
        LABELS,
    ),
    TorchFault(
        "ignored_leaks_nan_backwards",
        "ignored rows masked after the loss alone",
        CE,
        ("ignored-nonfinite",),
        instead("clean", lambda self, b: b.x),
        "ignored_nonfinite",
        LABELS,
    ),
    TorchFault(
        "ignored_logits_times_zero",
        "ignored logits multiplied by 0",
        CE,
        ("ignored-nonfinite",),
        {"clean": lambda self, b: b.x * b.kept[:, None], "settle": lambda self, b, v: v * b.kept[:, None]},
        observed("ignored_nonfinite", "propagated"),
        LABELS,
    ),
    _ignoring("ignored_always_minus_100", "the index taken to be -100", lambda t, i: t == -100),
    _ignoring("ignored_only_negative", "a class cannot be ignored", lambda t, i: (t == i) & (t < 0)),
    _ignoring("ignored_below", "labels up to the index ignored", lambda t, i: t <= i),
    _ignoring("ignored_in_uint8", "index and labels cast to uint8", lambda t, i: t.to(torch.uint8) == i, **TO_FIRST),
    _ignoring("ignored_as_uint8", "labels cast to uint8", lambda t, i: t.to(torch.uint8).long() == i, **TO_FIRST),
    _ignoring("ignored_by_magnitude", "compared without the sign", lambda t, i: t.abs() == abs(i) % 100, **TO_FIRST),
    _ignoring("ignored_not_at_all", "nothing ignored", lambda t, i: t < -1000, **TO_FIRST),
    _ignoring("ignored_first_only", "the first alone", lambda t, i: (t == i) & ((t == i).cumsum(0) == 1), **TO_FIRST),
    _ignoring("ignored_all_if_any", "all rows ignored if one is", lambda t, i: (t == i).any().expand(t.shape)),
    TorchFault(
        "all_ignored_zero",
        "a mean of nothing is 0",
        CE,
        ("all-ignored",),
        after("denominator", lambda n, b, _: n.clamp(min=1)),
        observed("zero_denominator", "zero"),
        LABELS,
        KEPT,
    ),
    TorchFault("where_lost", "the mask not used", CE, ("ignore-where",), _where(torch.ones_like)),
    TorchFault("where_inverted", "the mask inverted", CE, ("ignore-where",), _where(torch.logical_not)),
    TorchFault(
        "where_of_first_row", "every row has the first row's mask", CE, ("ignore-where",), _where(lambda w: w[:1])
    ),
    TorchFault(
        "where_times_logits",
        "masked logits multiplied by 0",
        CE,
        ("ignore-where",),
        instead("logits", lambda self, b: b.x * b.where),
    ),
    TorchFault(
        "where_after_softmax",
        "masked after the softmax, not before",
        Loss.SOFTMAX,
        ("ignore-where",),
        {"logits": lambda self, b: b.x, "values": lambda self, b: correct(self, "values", b) * b.where},
    ),
    TorchFault(
        "where_of_log_softmax_nan",
        "NaN for masked classes",
        Loss.LOG_SOFTMAX,
        ("ignore-where",),
        {"values": lambda self, b: _nan_where(correct(self, "values", b), b)},
    ),
)


def _nan_where(values: Tensor, b: Rows) -> Tensor:
    return torch.where(b.where, values, NAN)


FAULTS = (*LABEL_FAULTS, *IGNORE_FAULTS)
"""Every fault of these."""
