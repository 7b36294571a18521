"""Other ways of computing the same: methods that correct but unusual losses have in place of the plain ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lossconform.adapters.miniatures.correct import INF, Parts
from lossconform.adapters.miniatures.fault import Patch, correct
from lossconform.adapters.miniatures.loss import Batch, Floats, Result

BLOCK = 64
"""Classes at a time: one at a time is plain summation, which the bar of accuracy does not pass."""


def online(self: Any, batch: Batch) -> Parts:
    """One pass over blocks of classes: the sum is rescaled whenever a larger logit comes along."""
    q: Parts = correct(self, "parts", batch)
    x = np.where(batch.where, batch.x, -INF).astype(batch.x.dtype)
    m = x[:, :1].copy()
    total = np.zeros_like(m)
    for i in range(0, x.shape[1], BLOCK):
        block = x[:, i : i + BLOCK]
        higher = np.maximum(m, block.max(axis=1, keepdims=True))
        scale = np.where(m == -INF, 0, np.exp(m - higher)).astype(x.dtype)
        total = total * scale + np.where(block == -INF, 0, np.exp(block - higher)).sum(axis=1, keepdims=True)
        m = higher
    q.rest = (total - 1).astype(x.dtype)
    return q


def chunked(array: Floats) -> Floats:
    """Sum blocks of seven, then the blocks."""
    blocks = [array[..., i : i + 7].sum(axis=-1, keepdims=True) for i in range(0, array.shape[-1], 7)]
    return np.concatenate(blocks, axis=-1).sum(axis=-1, keepdims=True) if blocks else array.sum(axis=-1, keepdims=True)


def backwards(array: Floats) -> Floats:
    """Sum from the end."""
    return np.sum(np.ascontiguousarray(array[..., ::-1]), axis=-1, keepdims=True)


def pairwise(array: Floats) -> Floats:
    """Halve until one is left."""
    while array.shape[-1] > 1:
        if array.shape[-1] % 2:
            array = np.concatenate([array, np.zeros_like(array[..., :1])], axis=-1)
        array = array[..., ::2] + array[..., 1::2]
    return array if array.shape[-1] else np.zeros((*array.shape[:-1], 1), array.dtype)


def kahan(array: Floats) -> Floats:
    """Carry along what each addition loses, in 64 lanes and then over those."""
    n = array.shape[-1]
    lanes = np.zeros((*array.shape[:-1], -(-n // BLOCK) * BLOCK), array.dtype)
    lanes[..., :n] = array
    return _compensated(_compensated(lanes.reshape(*array.shape[:-1], lanes.shape[-1] // BLOCK, BLOCK), -2), -1)


def _compensated(array: Floats, axis: int) -> Floats:
    terms = np.moveaxis(array, axis, 0)
    total = np.zeros(terms.shape[1:], array.dtype)
    lost = total.copy()
    for value in terms:
        term = value - lost
        new = total + term
        lost = np.where(np.isfinite(new), (new - total) - term, 0).astype(array.dtype)
        total = new
    return total[..., None] if axis == -1 else total


def exact(array: Floats) -> Floats:
    """Sum without any rounding but the last."""
    if not array.size:
        return array.sum(axis=-1, keepdims=True)
    flat = array.reshape(-1, array.shape[-1])
    finite = np.isfinite(flat).all(axis=1)
    exact = [math.fsum(row.astype(np.float64)) if ok else row.sum() for row, ok in zip(flat, finite, strict=True)]
    return np.array(exact).astype(array.dtype).reshape(*array.shape[:-1], 1)


def sequential(array: Floats) -> Floats:
    """Add one number after the other, and round after each."""
    start = np.zeros((*array.shape[:-1], 1), array.dtype)
    return np.add.accumulate(np.concatenate([start, array], axis=-1), axis=-1)[..., -1:]


def in_own_dtype(self: Any, batch: Batch, values: Floats) -> Floats:
    """Return the sum of values in the dtype of the answer, rounded to it after each addition."""
    return sequential(values.reshape(1, -1).astype(batch.dtype))[0, 0].astype(values.dtype)


def divided_first(self: Any, batch: Batch, values: Floats) -> tuple[Floats, float]:
    """Return the mean as the sum of shares, which never grows beyond it."""
    value, scale = correct(self, "reduce", batch, values)
    if value.ndim or batch.reduction == "sum" or not np.isfinite(scale):
        return value, scale
    return np.asarray(self.total(batch, values * values.dtype.type(scale))), scale


def base_two(self: Any, d: Floats) -> Floats:
    """Return exp d as a power of two of d split in two, as kernels do."""
    whole = np.rint(np.where(np.isfinite(d), d, 0) / math.log(2))
    whole = np.clip(whole, -1100, 0)
    # The product of `whole` with the first part of log 2 is exact, so that the rest keeps its digits.
    high = np.float64(0.693145751953125) if d.dtype == np.float32 else np.float64(0.6931471803691238)
    low = math.log(2) - float(high)
    rest = (d - whole * d.dtype.type(high)) - whole * d.dtype.type(low)
    result = np.ldexp(np.exp2(rest * d.dtype.type(1 / math.log(2))), whole.astype(np.int32))
    return np.where(d == -INF, 0, np.where(np.isnan(d), d, result)).astype(d.dtype)


def direct(self: Any, q: Parts) -> Floats:
    """Return log S of the whole sum: no relative accuracy near 0, yet as stable as what it is added to."""
    return np.log(q.top + q.rest)


def through_logs(self: Any, q: Parts) -> Floats:
    """Return p as exp(d - log S)."""
    return np.exp(q.d - self.log_total(q))


def reordered(self: Any, batch: Batch, cotangent: Floats | None) -> Result:
    """Compute the rows in another order, and put the answers back."""
    order = np.arange(len(batch.x))[::-1]
    for name in ("x", "where", "t", "weight", "row_weight", "label_weight", "kept", "counted", "nan_rows"):
        setattr(batch, name, getattr(batch, name)[order])
    outer = batch.shape[: batch.axis] + batch.shape[batch.axis + 1 :]
    if cotangent is not None and cotangent.ndim:
        cotangent = cotangent.reshape(-1)[order].reshape(outer)
    value, slope = correct(self, "evaluate", batch, cotangent)
    if value.ndim:
        value = value.reshape(-1)[order].reshape(outer)
    return value, self.unrows(batch, self.rows(slope, batch.axis)[order])


def two_pass(self: Any, q: Parts) -> Floats:
    """Divide by the sum in a second pass and renormalise."""
    p = q.e / (q.top + q.rest)
    return p / self.add(p)


def documented_form(self: Any, batch: Batch) -> Floats:
    """Return z - z t + log1p(exp(-|z|)), the form TensorFlow documents, weighted."""
    if batch.form != "logits":
        return correct(self, "terms", batch)
    a, b = self.weights(batch)
    z, tail = batch.x, np.log1p(np.exp(-np.abs(batch.x)))
    return (a + b) * (np.maximum(z, 0) + tail) - a * z if np.isfinite(z).all() else correct(self, "terms", batch)


def by_sign(self: Any, z: Floats) -> Floats:
    """Return the logistic function through expit of either sign."""
    return np.where(z >= 0, 1 / (1 + np.exp(-z)), np.exp(z) / (1 + np.exp(z))).astype(z.dtype)


def summing(function: Callable[[Floats], Floats]) -> Patch:
    """Return the patch that sums in another way."""
    return {"add": lambda self, array: function(array)}
