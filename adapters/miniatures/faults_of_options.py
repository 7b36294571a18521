"""Faults of weights and label smoothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossconform.adapters.miniatures.fault import (
    ALL,
    BCE,
    CE,
    KL,
    LABELS,
    LOGITS,
    NOTHING,
    SOFT,
    Fault,
    after,
    batch_changed,
    correct,
    following,
    instead,
)
from lossconform.adapters.miniatures.loss import Batch, Floats


def _weigh(change: Any) -> Any:
    """Change the class weights before they are used."""
    return {
        "weigh": lambda self, b, w: correct(self, "weigh", b, None if w is None else change(w)),
        "read_target": lambda self, b, t, w, i: correct(self, "read_target", b, t, None if w is None else change(w), i),
    }


def _label_weight_only(self: Any, batch: Batch, weights: Floats | None) -> None:
    correct(self, "weigh", batch, None)
    if weights is not None:
        batch.weight = batch.weight * weights[batch.t.argmax(axis=1)][:, None]


def _samples(change: Any) -> Any:
    """Change the sample weights before they are used."""

    def weigh(self: Any, batch: Batch, weights: Floats | None) -> None:
        batch.row_weight = change(batch.row_weight)
        correct(self, "weigh", batch, weights)

    return {"weigh": weigh}


def _smooth(function: Any) -> Any:
    """Smooth in another way; `function` gets batch, amount and the number of classes."""
    return instead("smooth", lambda self, b, amount: np.asarray(function(b, amount, b.x.shape[1])).astype(b.t.dtype))


def _ignored_mass(self: Any, batch: Batch, array: Floats) -> Floats:
    """Ignored rows keep what smoothing gave to their classes."""
    settled = correct(self, "settle", batch, array)
    return np.where((batch.t != 0).any(axis=1, keepdims=True), array, settled)


def _weighed_unless_smoothed(self: Any, batch: Batch, weights: Floats | None) -> None:
    if ((batch.t != 0) & (batch.t != 1)).any():
        batch.row_weight = np.ones_like(batch.row_weight)
    correct(self, "weigh", batch, weights)


def _weighed_from_the_end(self: Any, batch: Batch, weights: Floats | None) -> None:
    if weights is not None and batch.axis != len(batch.shape) - 1:
        weights = np.roll(weights, 1)
    correct(self, "weigh", batch, weights)


def _samples_transposed(self: Any, batch: Batch, weights: Floats | None) -> None:
    outer = batch.shape[: batch.axis] + batch.shape[batch.axis + 1 :]
    batch.row_weight = batch.row_weight.reshape(outer[::-1]).T.reshape(-1)
    correct(self, "weigh", batch, weights)


TOGETHER = ("options-together",)

FAULTS = (
    Fault("class_weight_lost", "class weights not used", CE, ("class-weight",), _weigh(np.ones_like)),
    Fault("class_weight_squared", "class weights squared", CE, ("class-weight",), _weigh(np.square)),
    Fault(
        "class_weight_normalised",
        "class weights divided by their sum",
        CE,
        ("class-weight",),
        _weigh(lambda w: w / w.sum()),
    ),
    Fault(
        "class_weight_shifted",
        "each class has its neighbour's weight",
        CE,
        ("class-weight",),
        _weigh(lambda w: np.roll(w, 1)),
    ),
    Fault(
        "class_weight_of_largest",
        "soft labels weighted by their largest class",
        CE,
        ("class-weight",),
        instead("weigh", _label_weight_only),
        features=SOFT,
    ),
    Fault(
        "pos_weight_lost",
        "pos_weight not used",
        BCE,
        ("pos-weight",),
        batch_changed("weights", lambda b: {"pos_weight": np.ones_like(b.pos_weight)}),
    ),
    Fault(
        "pos_weight_of_both",
        "pos_weight on both terms",
        BCE,
        ("pos-weight",),
        after("weights", lambda w, b: (w[0], w[1] * b.pos_weight)),
    ),
    Fault(
        "pos_weight_of_negative",
        "pos_weight on the negative term",
        BCE,
        ("pos-weight",),
        after("weights", lambda w, b: (w[0] / b.pos_weight, w[1] * b.pos_weight)),
    ),
    Fault(
        "pos_weight_of_first",
        "the first class's pos_weight",
        BCE,
        ("pos-weight",),
        batch_changed("weights", lambda b: {"pos_weight": b.pos_weight[:1] + 0 * b.pos_weight}),
    ),
    Fault("sample_weight_lost", "sample weights not used", CE, ("sample-weight",), _samples(np.ones_like)),
    Fault("sample_weight_squared", "sample weights squared", BCE, ("sample-weight",), _samples(np.square)),
    Fault(
        "sample_weight_normalised",
        "sample weights divided by their mean",
        CE,
        ("sample-weight",),
        _samples(lambda w: w / w.mean()),
    ),
    Fault(
        "sample_weight_reversed",
        "sample weights of other rows",
        KL,
        ("sample-weight",),
        _samples(lambda w: w[::-1].copy()),
        features=ALL,
    ),
    Fault("smoothing_lost", "label smoothing not used", CE, ("label-smoothing",), _smooth(lambda b, e, k: b.t)),
    Fault(
        "smoothing_without_share",
        "the label's mass reduced, the others given none",
        CE,
        ("label-smoothing",),
        _smooth(lambda b, e, k: b.t * (1 - e)),
    ),
    Fault(
        "smoothing_added",
        "the others given mass, the label's not reduced",
        CE,
        ("label-smoothing",),
        _smooth(lambda b, e, k: b.t + e / k),
    ),
    Fault(
        "smoothing_of_rows",
        "the share divided by the number of rows",
        CE,
        ("label-smoothing", "smoothing-share"),
        _smooth(lambda b, e, k: b.t * (1 - e) + e / len(b.x)),
        f"(value|gradient|{NOTHING})",
    ),
    Fault(
        "smoothing_twice",
        "smoothed twice",
        CE,
        ("label-smoothing",),
        _smooth(lambda b, e, k: (b.t * (1 - e) + e / k) * (1 - e) + e / k),
    ),
    Fault(
        "smoothing_spares_label",
        "mass for the other classes alone",
        CE,
        ("smoothing-share", "label-smoothing"),
        _smooth(lambda b, e, k: b.t * (1 - e - e / (k - 1)) + e / (k - 1)),
        "(value|gradient|observed: other_classes)",
    ),
    Fault(
        "smoothing_with_label",
        "mass for every class, where the label is promised to be spared",
        CE,
        ("smoothing-share",),
        _smooth(lambda b, e, k: b.t * (1 - e) + e / k),
        "observed: all_classes",
        LOGITS,
        {"smoothing": "other_classes"},
    ),
    Fault(
        "smoothing_by_label_weight",
        "smoothed mass has the label's weight",
        CE,
        ("smoothing-weight",),
        following("weigh", smoothing_weight="label_class"),
        "observed: label_class",
        LABELS,
    ),
    Fault(
        "binary_smoothing_whole",
        "e, not e / 2, for each side",
        BCE,
        ("label-smoothing",),
        _smooth(lambda b, e, k: b.t * (1 - e) + e),
    ),
    Fault(
        "smoothing_of_ignored",
        "ignored rows keep smoothed mass",
        CE,
        TOGETHER,
        instead("settle", _ignored_mass),
        features=LABELS,
    ),
    Fault(
        "smoothing_drops_weights",
        "smoothed rows lose their sample weight",
        CE,
        TOGETHER,
        instead("weigh", _weighed_unless_smoothed),
        features=LABELS,
    ),
    Fault(
        "class_weight_by_last_axis",
        "class weights along another axis than the classes",
        CE,
        TOGETHER,
        instead("weigh", _weighed_from_the_end),
    ),
    Fault(
        "sample_weight_transposed",
        "sample weights of more than one axis transposed",
        CE,
        TOGETHER,
        instead("weigh", _samples_transposed),
    ),
)
"""Every fault of these."""
