"""Faults of labels: outside the classes, misread, soft ones."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from lossconform.adapters.miniatures.correct import NAN
from lossconform.adapters.miniatures.fault import (
    ALL,
    CE,
    KL,
    LABELS,
    NOTHING,
    SOFT,
    Fault,
    correct,
    instead,
    observed,
    outside_follows,
)
from lossconform.adapters.miniatures.loss import Batch, Floats
from lossconform.reference.case import Form, TargetForm

DTYPES, NEIGHBOUR = ("label-dtypes",), ("ignored-neighbour",)
REFUSED = "(value|gradient|refused)"
ONE_HOT = {"forms": (Form.LOGITS,), "targets": (TargetForm.INDEX, TargetForm.ONE_HOT, TargetForm.DISTRIBUTION)}


def _labels(change: Any) -> Any:
    """Read the labels in another way; `change` gets labels and the number of classes."""
    return instead("labels", lambda self, target, c: np.asarray(change(target, c)).astype(np.int64))


def _index(change: Any) -> Any:
    """Ignore another label; `change` gets the index, the labels and the prediction's dtype."""

    def read_target(self: Any, batch: Batch, target: Any, weights: Any, index: int | None) -> None:
        index = None if index is None else change(index, target, batch.dtype)
        correct(self, "read_target", batch, target, weights, index)

    return {"read_target": read_target}


def _compared_in(dtype: Any) -> Any:
    """Compare labels with the ignored one in a floating dtype, the prediction's if None."""

    def read_target(self: Any, batch: Batch, target: Any, weights: Any, index: int | None) -> None:
        if index is not None:
            own = batch.dtype if dtype is None else dtype
            target = np.where(target.astype(own) == np.asarray(index).astype(own), index, target.astype(np.int64))
        correct(self, "read_target", batch, target, weights, index)

    return {"read_target": read_target}


def _flat(target: Any, c: int) -> Any:
    """Return labels by their place among all logits, which the labels' dtype may not have."""
    first = np.arange(len(target)) * c
    return (first.astype(target.dtype) + target).astype(np.int64) - first


def _refused(target: Any, c: int) -> Any:
    if target.dtype.itemsize < 4:
        raise TypeError(f"labels of dtype {target.dtype}")
    return target


def _target(change: Any) -> Any:
    """Change the target after it was read."""

    def read_target(self: Any, batch: Batch, *arguments: Any) -> None:
        correct(self, "read_target", batch, *arguments)
        change(batch)

    return {"read_target": read_target}


def _argmax(batch: Batch) -> None:
    if batch.target_form != "index":
        batch.t = np.eye(batch.t.shape[1], dtype=batch.t.dtype)[batch.t.argmax(axis=1)]


def _only_ones(batch: Batch) -> None:
    batch.t = np.where(batch.t == 1, 1, 0).astype(batch.t.dtype)


def _normalised(batch: Batch) -> None:
    batch.t = batch.t / batch.t.sum(axis=1, keepdims=True)


def _zero_times_infinity(self: Any, batch: Batch) -> Floats:
    q = self.parts(batch)
    t = batch.t * batch.weight
    return self.add(t * -q.d) + self.add(t) * self.log_total(q)


FAULTS = (
    Fault(
        "negative_wraps",
        "negative labels count from the end",
        CE,
        ("negative-label",),
        outside_follows("wrapped", negative=True),
        observed("negative_label", "wrapped"),
        LABELS,
    ),
    Fault(
        "negative_clamped",
        "negative labels are the first class",
        CE,
        ("negative-label",),
        outside_follows("clamped", negative=True),
        observed("negative_label", "clamped"),
        LABELS,
    ),
    Fault(
        "negative_ignored",
        "negative labels are ignored",
        CE,
        ("negative-label",),
        outside_follows("zero", negative=True),
        observed("negative_label", "zero"),
        LABELS,
    ),
    Fault(
        "negative_nan",
        "negative labels give NaN",
        CE,
        ("negative-label",),
        outside_follows("nan", negative=True),
        observed("negative_label", "nan"),
        LABELS,
    ),
    Fault(
        "large_clamped",
        "large labels are the last class",
        CE,
        ("label-too-large",),
        outside_follows("clamped", negative=False),
        observed("label_too_large", "clamped"),
        LABELS,
    ),
    Fault(
        "large_ignored",
        "large labels are ignored",
        CE,
        ("label-too-large",),
        outside_follows("zero", negative=False),
        observed("label_too_large", "zero"),
        LABELS,
    ),
    Fault(
        "large_nan",
        "large labels give NaN",
        CE,
        ("label-too-large",),
        outside_follows("nan", negative=False),
        observed("label_too_large", "nan"),
        LABELS,
    ),
    Fault(
        "large_modulo",
        "large labels modulo the number of classes",
        CE,
        ("label-too-large",),
        _labels(lambda t, c: np.where(t >= c, t % c, t)),
        observed("label_too_large", NOTHING),
        LABELS,
    ),
    Fault(
        "label_c_accepted",
        "a label equal to the number of classes is accepted",
        CE,
        ("label-too-large",),
        _labels(lambda t, c: np.where(t == c, c - 1, t)),
        observed("label_too_large", NOTHING),
        LABELS,
    ),
    Fault(
        "labels_from_one", "labels counted from 1", CE, ("value",), _labels(lambda t, c: (t - 1) % c), features=LABELS
    ),
    Fault(
        "labels_in_uint8", "labels in uint8", CE, ("value",), _labels(lambda t, c: t.astype(np.uint8)), features=LABELS
    ),
    Fault(
        "uint8_read_as_int8",
        "labels in uint8 read as int8",
        CE,
        DTYPES,
        _labels(lambda t, c: t.astype(np.int8) if t.dtype == np.uint8 else t),
        REFUSED,
        LABELS,
    ),
    Fault(
        "seven_bits",
        "the eighth bit of short labels lost",
        CE,
        DTYPES,
        _labels(lambda t, c: t & 127 if t.dtype.itemsize == 1 else t),
        features=LABELS,
    ),
    Fault("flat_in_label_dtype", "flat places in the labels' dtype", CE, DTYPES, _labels(_flat), REFUSED, LABELS),
    Fault("short_refused", "labels of fewer than four bytes refused", CE, DTYPES, _labels(_refused), REFUSED, LABELS),
    Fault(
        "index_in_label_dtype",
        "the ignored index cast to the labels' dtype",
        CE,
        DTYPES,
        _index(lambda i, t, _: int(np.asarray(i).astype(t.dtype))),
        features=LABELS,
    ),
    Fault(
        "ignored_in_prediction_dtype",
        "compared with the ignored index in the prediction's dtype",
        CE,
        NEIGHBOUR,
        _compared_in(None),
        features=LABELS,
        dtype="bfloat16",
    ),
    Fault(
        "ignored_in_bfloat16",
        "compared with the ignored index in bfloat16",
        CE,
        NEIGHBOUR,
        _compared_in(ml_dtypes.bfloat16),
        features=LABELS,
    ),
    Fault(
        "labels_in_bfloat16",
        "labels rounded to bfloat16",
        CE,
        ("value",),
        _labels(lambda t, c: np.minimum(t.astype(ml_dtypes.bfloat16).astype(np.int64), c - 1)),
        features=LABELS,
    ),
    Fault(
        "label_zero_is_padding",
        "label 0 ignored",
        CE,
        ("value",),
        {"read_target": lambda self, b, t, w, i: correct(self, "read_target", b, t, w, 0)},
        features=LABELS,
    ),
    Fault(
        "soft_by_argmax", "soft labels by their largest class", CE, ("label-forms",), _target(_argmax), features=ONE_HOT
    ),
    Fault(
        "soft_below_one_lost", "soft labels below 1 lost", CE, ("label-forms",), _target(_only_ones), features=ONE_HOT
    ),
    Fault(
        "soft_reversed",
        "classes of soft labels exchanged",
        CE,
        ("label-forms",),
        _target(lambda b: setattr(b, "t", b.t if b.target_form == "index" else b.t[:, ::-1])),
        features=ONE_HOT,
    ),
    Fault(
        "soft_normalised",
        "soft labels divided by their sum",
        CE,
        ("unnormalised-target",),
        _target(_normalised),
        observed("target_sum", NOTHING),
        SOFT,
    ),
    Fault(
        "zero_target_nan",
        "0 times infinity is NaN",
        CE,
        ("zero-target",),
        instead("from_logits", _zero_times_infinity),
        observed("zero_times_infinity", "nan"),
        SOFT,
    ),
    Fault(
        "zero_target_nan_divergence",
        "0 log 0 is NaN",
        KL,
        ("zero-target",),
        instead("nothing", lambda self, b, q, log_q: np.full_like(q, NAN)),
        observed("zero_times_infinity", NOTHING),
        ALL,
    ),
    Fault(
        "zero_target_not_nan",
        "0 times infinity is 0, where NaN is promised",
        CE,
        ("zero-target",),
        instead("multiplies_zero", lambda self, b: False),
        observed("zero_times_infinity", "zero"),
        SOFT,
        {"zero_times_infinity": "nan"},
    ),
)
"""Every fault of these."""
