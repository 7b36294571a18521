"""Losses in NumPy that tests bring along, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lossconform.reference.case import Array, Case, Loss, TargetForm

HERE = Path(__file__).parent


EXAMPLES = HERE.parent / "docs" / "examples"


STATED: Any = {
    "loss": "softmax_cross_entropy",
    "targets": ["index"],
    "arguments": {"prediction": "x", "target": "y"},
    "dtypes": ["float32"],
    "class_axis": "rows",
}


def rows(x: Array, y: Array) -> tuple[Array, Array]:
    """Return loss and gradient of each row, in float64."""
    z = x.astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    at = np.arange(len(y)), y
    slope = p.copy()
    slope[at] -= 1
    return np.log(e.sum(axis=1)) + z.max(axis=1) - z[at], slope


def plain(x: Array, y: Array) -> tuple[Array, Array]:
    """Refuse labels that are no class."""
    if ((y < 0) | (y >= x.shape[1])).any():
        raise ValueError("a label is not a class")
    value, slope = rows(x, y)
    return value.astype(x.dtype), slope.astype(x.dtype)


def scaled(x: Array, y: Array) -> tuple[Array, Array]:
    """Have a gradient of the wrong sign."""
    value, slope = plain(x, y)
    return value, -slope


def weighted_mean(x: Array, y: Array, weight: Array | None = None, reduction: str = "mean") -> tuple[Array, Array]:
    """Divide by the number of rows, whatever the weights."""
    value, slope = rows(x, y)
    w = np.ones(len(y)) if weight is None else weight.astype(np.float64)[y]
    value, slope = value * w, slope * w[:, None]
    if reduction == "none":
        return value.astype(x.dtype), slope.astype(x.dtype)
    n = len(y) if reduction == "mean" else 1
    return (value.sum() / n).astype(x.dtype), (slope / n).astype(x.dtype)


class Smoothed:
    """A class, made with its options and called with its arrays."""

    def __init__(self, ignore_index: int | None = None) -> None:
        self.ignore_index = ignore_index

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array]:
        kept = np.ones(len(y), bool) if self.ignore_index is None else y != self.ignore_index
        value, slope = rows(x, np.where(kept, y, 0))
        return (value * kept).astype(x.dtype), (slope * kept[:, None]).astype(x.dtype)


def index_case(label: int = 0) -> Case:
    return Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction=np.array([[0.0, 1.0, 2.0]], np.float32),
        target=np.array([label]),
        target_form=TargetForm.INDEX,
    )


def told(**changes: Any) -> Any:
    return {**STATED, **changes}
