"""Faults of ignored rows and masked classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lossconform.adapters.miniatures.fault import (
    CE,
    KL,
    LABELS,
    Fault,
    after,
    batch_changed,
    correct,
    following,
    instead,
    observed,
    outside_follows,
)
from lossconform.adapters.miniatures.loss import Batch, Floats
from lossconform.reference.case import Form, Loss


def _multiplied_by_kept(self: Any, batch: Batch, array: Floats) -> Floats:
    return array * batch.kept[:, None]


def _where(change: Any) -> Any:
    return batch_changed("parts", lambda b: {"where": change(b.where)})


def _masked_zero(self: Any, batch: Batch) -> Any:
    x = np.where(batch.where, batch.x, 0).astype(batch.x.dtype)
    return correct(self, "parts", dataclasses.replace(batch, x=x, where=np.ones_like(batch.where)))


FAULTS = (
    Fault(
        "ignored_counted",
        "ignored rows counted in the mean",
        CE,
        ("mean-denominator", "ignore-index"),
        following("denominator", mean_denominator="elements"),
        "(value|gradient|observed: elements)",
        LABELS,
        {"mean_denominator": "kept"},
    ),
    Fault(
        "ignored_not_counted",
        "ignored rows not counted in the mean",
        CE,
        ("mean-denominator",),
        following("denominator", mean_denominator="kept"),
        observed("mean_denominator", "kept"),
        LABELS,
    ),
    Fault(
        "ignored_leaks_nan",
        "ignored rows multiplied by 0",
        CE,
        ("ignored-nonfinite",),
        instead("settle", _multiplied_by_kept),
        observed("ignored_nonfinite", "propagated"),
        LABELS,
    ),
    Fault(
        "ignored_contained",
        "NaN kept out, where it is promised to propagate",
        CE,
        ("ignored-nonfinite",),
        following("evaluate", ignored_nonfinite="excluded"),
        observed("ignored_nonfinite", "excluded"),
        LABELS,
        {"ignored_nonfinite": "propagated"},
    ),
    Fault(
        "ignored_always_minus_100",
        "the index of ignored rows taken to be -100",
        CE,
        ("ignore-index",),
        after("ignored", lambda m, labels, i: labels == -100),
        features=LABELS,
    ),
    Fault(
        "ignored_only_negative",
        "a class cannot be ignored",
        CE,
        ("ignore-index",),
        after("ignored", lambda m, labels, i: m & (labels < 0)),
        features=LABELS,
    ),
    Fault(
        "ignored_below",
        "labels up to the index ignored",
        CE,
        ("ignore-index",),
        after("ignored", lambda m, labels, i: labels <= i),
        features=LABELS,
    ),
    Fault(
        "ignored_not_at_all",
        "nothing ignored, -100 the first class",
        CE,
        ("ignore-index",),
        {"ignored": lambda self, labels, i: labels < -1000, **outside_follows("clamped", negative=True)},
        features=LABELS,
    ),
    Fault(
        "ignored_first_only",
        "the first ignored row alone",
        CE,
        ("ignore-index",),
        {
            "ignored": lambda self, labels, i: (labels == i) & (np.cumsum(labels == i) == 1),
            **outside_follows("clamped", negative=True),
        },
        features=LABELS,
    ),
    Fault(
        "all_ignored_zero",
        "a mean of nothing is 0",
        CE,
        ("all-ignored",),
        following("evaluate", zero_denominator="zero"),
        observed("zero_denominator", "zero"),
        LABELS,
        {"mean_denominator": "kept"},
    ),
    Fault(
        "all_ignored_nan",
        "a mean of nothing is NaN",
        CE,
        ("all-ignored",),
        following("evaluate", zero_denominator="nan"),
        observed("zero_denominator", "nan"),
        LABELS,
        {"mean_denominator": "kept", "zero_denominator": "zero"},
    ),
    Fault("where_lost", "the mask not used", CE, ("ignore-where",), _where(np.ones_like)),
    Fault("where_inverted", "the mask inverted", CE, ("ignore-where",), _where(np.logical_not)),
    Fault("where_reads_zero", "masked logits read as 0", CE, ("ignore-where",), instead("parts", _masked_zero)),
    Fault(
        "where_of_first_row",
        "every row has the first row's mask",
        CE,
        ("ignore-where",),
        _where(lambda w: np.broadcast_to(w[:1], w.shape)),
    ),
    Fault(
        "where_lost_in_softmax", "masked classes keep their mass", Loss.SOFTMAX, ("ignore-where",), _where(np.ones_like)
    ),
    Fault("where_lost_in_lse", "the mask not used", Loss.LOG_SUM_EXP, ("ignore-where",), _where(np.ones_like)),
    Fault(
        "where_lost_in_divergence",
        "masked classes counted",
        KL,
        ("ignore-where",),
        batch_changed("terms", lambda b: {"where": np.ones_like(b.where)}),
        features={"forms": (Form.LOG_PROBABILITIES,)},
    ),
)
"""Every fault of these."""
