"""Faults of reductions, axes, empty batches and dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossconform.adapters.miniatures.fault import (
    ALL,
    CE,
    KL,
    LABELS,
    NOTHING,
    Fault,
    Patch,
    after,
    batch_changed,
    correct,
    following,
    given,
    instead,
    observed,
)
from lossconform.adapters.miniatures.loss import Batch, Floats
from lossconform.reference.case import Form, Loss, TargetForm

ONE_HOT = {"forms": (Form.LOGITS,), "targets": (TargetForm.INDEX, TargetForm.ONE_HOT, TargetForm.DISTRIBUTION)}


def _reduce(kind: str, change: Any) -> Any:
    """Change what one reduction does; `change` gets value, scale, batch and values."""

    def reduce(self: Any, batch: Batch, values: Floats) -> Any:
        value, scale = correct(self, "reduce", batch, values)
        return change(value, scale, batch, values) if batch.reduction == kind else (value, scale)

    return {"reduce": reduce}


def _as(one: str, other: str) -> Any:
    """Take one reduction for another."""
    return batch_changed("reduce", lambda b: {"reduction": other if b.reduction == one else b.reduction})


def _axis(place: int) -> Any:
    """Take another axis for that of the classes."""

    def called(self: Any, prediction: Floats, *, axis: int = -1, cotangent: Floats | None = None, **rest: Any) -> Any:
        return correct(self, "__call__", prediction, None, axis=place, cotangent=cotangent, **rest)

    return {"__call__": called}


def _last_of_three() -> Patch:
    def called(self: Any, prediction: Floats, *, axis: int = -1, cotangent: Floats | None = None, **rest: Any) -> Any:
        place = 1 if prediction.ndim == 3 and axis in (2, -1) else axis
        return correct(self, "__call__", prediction, None, axis=place, cotangent=cotangent, **rest)

    return {"__call__": called}


FAULTS = (
    Fault("sum_is_mean", "the sum is a mean", CE, ("reduction",), _as("sum", "mean"), features=LABELS),
    Fault(
        "mean_is_sum",
        "the mean is a sum",
        CE,
        ("reduction", "mean-denominator"),
        _as("mean", "sum"),
        f"(value|gradient|{NOTHING})",
        LABELS,
    ),
    Fault(
        "batch_mean_is_mean",
        "the batch mean divides by elements",
        KL,
        ("reduction",),
        _as("batch_mean", "mean"),
        features=ALL,
    ),
    Fault("none_is_sum", "nothing left unreduced", CE, ("reduction",), _as("none", "sum"), features=LABELS),
    Fault(
        "none_keeps_axis",
        "the class axis kept with length 1",
        CE,
        ("reduction",),
        _reduce("none", lambda v, s, b, values: (values, s)),
        "shape",
        LABELS,
    ),
    Fault(
        "sum_of_first",
        "the sum lacks the last row",
        CE,
        ("reduction",),
        _reduce("sum", lambda v, s, b, values: (values[:-1].sum(), s)),
        features=LABELS,
    ),
    Fault(
        "mean_over_classes",
        "the mean divides by rows and classes",
        CE,
        ("reduction", "mean-denominator"),
        _reduce("mean", lambda v, s, b, values: (v / b.x.shape[1], s)),
        f"(value|gradient|{NOTHING})",
        LABELS,
    ),
    Fault(
        "mean_squared_scale",
        "the mean's gradient divided twice",
        CE,
        ("reduction", "mean-denominator"),
        _reduce("mean", lambda v, s, b, values: (v, s * s)),
        f"(gradient|{NOTHING})",
        LABELS,
    ),
    Fault(
        "mean_by_weights",
        "the mean divides by weights",
        CE,
        ("mean-denominator",),
        following("denominator", mean_denominator="weights"),
        observed("mean_denominator", "weights"),
        LABELS,
    ),
    Fault(
        "mean_by_rows",
        "the weighted mean divides by rows",
        CE,
        ("mean-denominator", "class-weight"),
        following("denominator", mean_denominator="elements"),
        "(value|gradient|observed: elements)",
        LABELS,
        {"mean_denominator": "weights"},
    ),
    Fault(
        "weighted_mean_by_rows",
        "the mean by sample weights divides by rows",
        CE,
        ("sample-weight",),
        _as("weighted_mean", "mean"),
    ),
    Fault(
        "rows_crossed",
        "every row with every label",
        CE,
        ("reduction", "label-forms"),
        _reduce("none", lambda v, s, b, values: (values + 0 * values.T, s)),
        "shape",
        ONE_HOT,
    ),
    Fault(
        "empty_is_zero",
        "the mean of no rows is 0",
        CE,
        ("empty-batch",),
        following("evaluate", empty_mean="zero"),
        observed("empty_mean", "zero"),
        LABELS,
    ),
    Fault(
        "empty_is_nan",
        "the mean of no rows is NaN",
        CE,
        ("empty-batch",),
        following("evaluate", empty_mean="nan"),
        observed("empty_mean", "nan"),
        LABELS,
        {"empty_mean": "zero"},
    ),
    Fault("empty_raises", "no rows are refused", CE, ("empty-batch",), given(lambda x: x - x.max()), "refused", LABELS),
    Fault("axis_always_last", "the class axis taken to be the last", Loss.LOG_SOFTMAX, ("class-axis",), _axis(-1)),
    Fault("axis_always_first", "the class axis taken to be the first", Loss.SOFTMAX, ("class-axis",), _axis(0)),
    Fault(
        "axis_not_restored",
        "rows put back as if the classes came last",
        CE,
        ("class-axis",),
        instead("unrows", lambda self, b, a: a.reshape(b.shape)),
        "gradient",
    ),
    Fault(
        "dtype_widened",
        "the value in float64",
        CE,
        ("dtype",),
        after("answer", lambda a, b, v: a.astype(np.float64) if a.ndim < 2 else a),
        "dtype float64",
    ),
    Fault(
        "dtype_of_gradient",
        "the gradient in float64",
        CE,
        ("gradient",),
        after("answer", lambda a, b, v: a.astype(np.float64) if a.ndim > 1 else a),
        "gradient has dtype float64",
    ),
    Fault(
        "dtype_narrowed",
        "bfloat16 answered in float32",
        CE,
        ("dtype",),
        after("answer", lambda a, b, v: a.astype(np.float32)),
        "dtype float32",
        dtype="bfloat16",
    ),
    Fault(
        "upstream_lost_when_reduced",
        "the upstream gradient of a single value not used",
        CE,
        ("reduction",),
        after("upstream", lambda c, *_: np.ones_like(c) if c.ndim == 0 else c),
        "gradient",
        LABELS,
    ),
    Fault(
        "last_axis_of_three",
        "of three axes the last is taken for the one before",
        Loss.SOFTMAX,
        ("class-axis",),
        _last_of_three(),
    ),
)
"""Every fault of these."""
