"""Faults of what the prediction is: its form, its range, infinities and NaN."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lossconform.adapters.miniatures.correct import INF, NAN
from lossconform.adapters.miniatures.fault import (
    ALL,
    BCE,
    CE,
    KL,
    LABELS,
    NOTHING,
    PROBABILITIES,
    Fault,
    after,
    correct,
    following,
    given,
    instead,
    observed,
)
from lossconform.adapters.miniatures.loss import Batch, Floats
from lossconform.reference.case import Loss, TargetForm


def _guessed(self: Any, batch: Batch, cotangent: Floats | None) -> Any:
    if batch.form == "logits" and ((batch.x >= 0) & (batch.x <= 1)).all():
        batch = dataclasses.replace(batch, form="probabilities")
    return correct(self, "evaluate", batch, cotangent)


def _form(form: str) -> Any:
    def evaluate(self: Any, batch: Batch, cotangent: Floats | None) -> Any:
        return correct(self, "evaluate", dataclasses.replace(batch, form=form), cotangent)

    return {"evaluate": evaluate}


FORM_FAULTS = (
    Fault(
        "form_guessed",
        "logits in [0, 1] taken for probabilities",
        CE,
        ("from-logits",),
        instead("evaluate", _guessed),
        features=ALL,
    ),
    Fault("form_always_logits", "probabilities taken for logits", BCE, ("from-logits",), _form("logits"), features=ALL),
    Fault(
        "form_always_probabilities",
        "logits taken for probabilities",
        BCE,
        ("from-logits",),
        _form("probabilities"),
        features=ALL,
    ),
    Fault(
        "range_clipped",
        "probabilities clipped in silence",
        BCE,
        ("probability-range",),
        following("evaluate", probability_range="clipped_in_dtype"),
        "probability_range is documented as 'as_given'; observed: .*clipped",
        PROBABILITIES,
    ),
    Fault(
        "range_not_clipped",
        "probabilities not clipped as promised",
        CE,
        ("probability-range",),
        following("evaluate", probability_range="as_given"),
        "observed: .*as_given",
        PROBABILITIES,
        {"probability_range": "clipped"},
    ),
    Fault(
        "range_clipped_wider",
        "clipped to 1e-6, not 1e-7",
        CE,
        ("probability-range",),
        after("clip", lambda r, b, q, high=1.0: (np.clip(r[0], q.dtype.type(1e-6), q.dtype.type(1 - 1e-6)), r[1])),
        observed("probability_range", NOTHING),
        PROBABILITIES,
        {"probability_range": "clipped"},
    ),
    Fault(
        "sum_renormalised",
        "probabilities divided by their sum in silence",
        CE,
        ("probability-sum",),
        following("evaluate", probability_sum="renormalised"),
        "probability_sum is documented as 'as_given'; observed: .*renormalised",
        PROBABILITIES,
    ),
    Fault(
        "sum_not_renormalised",
        "probabilities not divided by their sum as promised",
        CE,
        ("probability-sum",),
        following("evaluate", probability_sum="as_given"),
        observed("probability_sum", "as_given"),
        PROBABILITIES,
        {"probability_sum": "renormalised"},
    ),
    Fault(
        "target_clipped",
        "target probabilities clipped in silence",
        KL,
        ("target-range",),
        following("evaluate", target_range="clipped_in_dtype"),
        observed("target_range", "clipped_in_dtype"),
        {**PROBABILITIES, "targets": (TargetForm.DISTRIBUTION,)},
    ),
    Fault(
        "target_not_clipped",
        "target probabilities not clipped as promised",
        KL,
        ("target-range",),
        following("evaluate", target_range="as_given"),
        observed("target_range", "as_given"),
        {**PROBABILITIES, "targets": (TargetForm.DISTRIBUTION,)},
        {"target_range": "clipped_in_dtype"},
    ),
)

SPECIAL_FAULTS = (
    Fault("nan_read_as_zero", "NaN read as 0", CE, ("nan-propagates",), given(lambda x: np.where(np.isnan(x), 0, x))),
    Fault(
        "nan_skipped",
        "NaN taken for a masked class",
        Loss.LOG_SUM_EXP,
        ("nan-propagates",),
        given(lambda x: np.where(np.isnan(x), -INF, x)),
    ),
    Fault(
        "nan_loss_zero",
        "a loss of NaN returned as 0",
        BCE,
        ("nan-propagates",),
        after("terms", lambda v, b: np.nan_to_num(v, nan=0.0, posinf=INF, neginf=-INF)),
        features=ALL,
    ),
    Fault(
        "infinity_has_limit",
        "the limit at a logit of inf, where NaN is promised",
        CE,
        ("infinite-logit",),
        following("evaluate", infinite_logit="limit"),
        observed("infinite_logit", "limit"),
        LABELS,
    ),
    Fault(
        "infinity_nan",
        "NaN at a logit of inf, where the limit is promised",
        CE,
        ("infinite-logit",),
        following("evaluate", infinite_logit="nan"),
        observed("infinite_logit", "(as_difference, )?nan"),
        LABELS,
        {"infinite_logit": "limit"},
    ),
    Fault(
        "infinity_is_largest",
        "inf read as the largest number",
        Loss.SOFTMAX,
        ("infinite-logit",),
        given(lambda x: np.nan_to_num(x, nan=NAN, posinf=np.finfo(x.dtype).max, neginf=-INF)),
        "infinite_logit is documented as 'nan'; observed: limit",
    ),
    Fault(
        "minus_infinity_finite",
        "-inf read as -1e4",
        CE,
        ("negative-infinity",),
        given(lambda x: np.where(x == -INF, -1e4, x)),
    ),
    Fault(
        "minus_infinity_nan",
        "-inf gives NaN",
        Loss.LOG_SUM_EXP,
        ("negative-infinity",),
        given(lambda x: np.where(x == -INF, NAN, x)),
    ),
    Fault(
        "minus_infinity_zero",
        "-inf read as 0",
        Loss.LOG_SIGMOID,
        ("negative-infinity",),
        given(lambda x: np.where(x == -INF, 0, x)),
    ),
)

FAULTS = (*FORM_FAULTS, *SPECIAL_FAULTS)
"""Every fault of these."""
