"""Faults of the value: shifts, logarithms, epsilons, clips, low precision, saturation, scale, branches."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from lossconform.adapters.miniatures.correct import INF, Parts
from lossconform.adapters.miniatures.fault import (
    CE,
    LABELS,
    Fault,
    after,
    given,
    instead,
)
from lossconform.adapters.miniatures.loss import Batch, Floats
from lossconform.reference.case import Loss

VALUE = ("value",)
BFLOAT16 = ml_dtypes.bfloat16


def _through(dtype: Any) -> Any:
    """Return a rounding through another dtype."""
    return lambda array, *_: array.astype(dtype).astype(array.dtype)


def _minus_log(change: Any) -> Any:
    """Return a cross-entropy by the logarithm of a changed softmax."""

    def from_logits(self: Any, batch: Batch) -> Floats:
        q = self.parts(batch)
        t = batch.t * batch.weight
        p = change(self.p(q)).astype(t.dtype)
        return self.add(np.where(t != 0, -t * np.log(p), 0).astype(t.dtype))

    return from_logits


def _lse_first(self: Any, batch: Batch) -> Floats:
    q = self.parts(batch)
    t = batch.t * batch.weight
    return self.add(np.where(t != 0, t * ((q.m + self.log_total(q)) - batch.x), 0).astype(t.dtype))


def _ties_once(q: Parts, batch: Batch) -> Parts:
    others = np.where(q.d == 0, 0, q.e).astype(q.e.dtype)
    q.rest = others.sum(axis=1, keepdims=True)
    return q


def _without(place: Any) -> Any:
    """Return a sum that leaves classes out."""

    def change(q: Parts, batch: Batch) -> Parts:
        e = q.e.copy()
        e[:, place] = 0
        q.rest = e.sum(axis=1, keepdims=True) - np.where(e.max(axis=1, keepdims=True) == 1, 1, 0).astype(e.dtype)
        return q

    return change


def _first_block(array: Floats) -> Floats:
    """Sum all but what is left over after blocks of eight."""
    whole = array.shape[-1] // 8 * 8 or array.shape[-1]
    return array[..., :whole].sum(axis=-1, keepdims=True)


SOFTMAX = (
    Fault("no_shift", "logits are not shifted", CE, VALUE, instead("highest", lambda self, x: 0 * x[:, :1])),
    Fault(
        "shift_by_mean", "shifted by the mean", CE, VALUE, instead("highest", lambda self, x: x.mean(1, keepdims=True))
    ),
    Fault("shift_by_first", "shifted by the first logit", CE, VALUE, instead("highest", lambda self, x: x[:, :1])),
    Fault("shift_by_least", "shifted by the least", CE, VALUE, instead("highest", lambda self, x: x.min(1)[:, None])),
    Fault(
        "shift_of_batch",
        "shifted by the largest logit of all rows",
        CE,
        VALUE,
        after("highest", lambda m, x: np.full_like(m, m.max(initial=-INF))),
    ),
    Fault("log_of_softmax", "log of the softmax", CE, VALUE, instead("from_logits", _minus_log(lambda p: p))),
    Fault(
        "epsilon_in_softmax",
        "log(p + 1e-12)",
        CE,
        VALUE,
        instead("from_logits", _minus_log(lambda p: p + p.dtype.type(1e-12))),
    ),
    Fault(
        "softmax_clipped",
        "log of p clipped at 1e-7",
        CE,
        VALUE,
        instead("from_logits", _minus_log(lambda p: p.clip(1e-7))),
    ),
    Fault(
        "epsilon_in_sum",
        "log(S + 1e-5)",
        CE,
        VALUE,
        instead("log_total", lambda self, q: np.log(q.top + q.rest + np.float32(1e-5))),
    ),
    Fault(
        "lse_first",
        "LSE - x: the shift is undone first",
        CE,
        VALUE,
        instead("from_logits", _lse_first),
        "backward-stable",
    ),
    Fault("exp_in_bfloat16", "exponentials in bfloat16", CE, VALUE, after("exp", _through(BFLOAT16))),
    Fault("exp_in_float16", "exponentials in float16", CE, VALUE, after("exp", _through(np.float16))),
    Fault("sum_in_bfloat16", "sums kept in bfloat16", CE, VALUE, after("add", _through(BFLOAT16))),
    Fault("sum_in_float16", "sums kept in float16", CE, VALUE, after("add", _through(np.float16))),
    Fault("logits_in_bfloat16", "logits rounded to bfloat16", CE, VALUE, given(_through(BFLOAT16))),
    Fault("logits_in_float16", "logits rounded to float16", CE, VALUE, given(_through(np.float16))),
    Fault(
        "float64_in_float32",
        "float64 computed in float32",
        CE,
        VALUE,
        instead("working", lambda self, dtype: np.dtype(np.float32)),
        dtype="float64",
    ),
    Fault(
        "arithmetic_in_bfloat16",
        "bfloat16 accumulated in bfloat16",
        CE,
        VALUE,
        instead("add", lambda self, a: np.add.accumulate(a.astype(BFLOAT16), axis=-1)[..., -1:].astype(a.dtype)),
        dtype="bfloat16",
        features=LABELS,
    ),
    Fault(
        "exp_saturates",
        "exp of nothing below -10",
        CE,
        VALUE,
        after("exp", lambda e, d: np.maximum(e, np.exp(e.dtype.type(-10)))),
    ),
    Fault("loss_capped", "no loss above 50", CE, VALUE, after("from_logits", lambda v, b: np.minimum(v, 50))),
    Fault("loss_floored", "no loss below 1e-5", CE, VALUE, after("from_logits", lambda v, b: np.maximum(v, 1e-5))),
    Fault("logits_clipped", "logits clipped to 30", CE, VALUE, given(lambda x: x.clip(-30, 30))),
    Fault("logits_capped", "logits softly capped at 100", CE, VALUE, given(lambda x: 100 * np.tanh(x / 100))),
    Fault("negative_logits_lost", "negative logits read as 0", CE, VALUE, given(lambda x: np.maximum(x, 0))),
    Fault("magnitudes", "the sign of logits lost", CE, VALUE, given(np.abs)),
    Fault(
        "zero_means_absent",
        "a logit of exactly 0 taken for padding",
        CE,
        VALUE,
        given(lambda x: np.where(x == 0, -INF, x)),
    ),
    Fault("temperature", "a temperature of 1.0001", CE, VALUE, given(lambda x: x * x.dtype.type(1.0001))),
    Fault("scaled_1e6", "1e-6 too large", CE, VALUE, after("from_logits", lambda v, b: v * (1 + v.dtype.type(1e-6)))),
    Fault("scaled_1e4", "1e-4 too small", CE, VALUE, after("from_logits", lambda v, b: v * v.dtype.type(1 - 1e-4))),
    Fault("offset_1e5", "1e-5 too large", CE, VALUE, after("from_logits", lambda v, b: v + v.dtype.type(1e-5))),
    Fault("negated", "the sign of the loss", CE, VALUE, after("from_logits", lambda v, b: -v)),
    Fault(
        "in_bits", "logarithms to base 2", CE, VALUE, after("from_logits", lambda v, b: v / v.dtype.type(math.log(2)))
    ),
    Fault("exp_to_base_2", "exponentials to base 2", CE, VALUE, instead("exp", lambda self, d: np.exp2(d))),
    Fault("ties_once", "equal largest logits counted once", CE, VALUE, after("parts", _ties_once)),
    Fault("last_class_lost", "the last class not summed", CE, VALUE, after("parts", _without(-1))),
    Fault("first_class_lost", "the first class not summed", CE, VALUE, after("parts", _without(0))),
    Fault("beyond_512_lost", "classes from 512 on not summed", CE, VALUE, after("parts", _without(slice(512, None)))),
    Fault(
        "remainder_lost",
        "classes after the last block of eight not summed",
        CE,
        VALUE,
        instead("add", lambda self, a: _first_block(a)),
    ),
    Fault(
        "linear_log1p",
        "log1p R taken as R below 0.01",
        CE,
        VALUE,
        instead("log_total", lambda self, q: np.where(q.rest < 0.01, q.rest, np.log1p(q.rest))),
    ),
)

FUNCTIONS = (
    Fault(
        "lse_no_shift",
        "log-sum-exp not shifted",
        Loss.LOG_SUM_EXP,
        VALUE,
        instead("highest", lambda self, x: 0 * x[:, :1]),
    ),
    Fault(
        "lse_is_max",
        "only the largest logit",
        Loss.LOG_SUM_EXP,
        VALUE,
        instead("log_total", lambda self, q: 0 * q.rest),
    ),
    Fault(
        "softmax_no_shift", "softmax not shifted", Loss.SOFTMAX, VALUE, instead("highest", lambda self, x: 0 * x[:, :1])
    ),
    Fault(
        "softmax_epsilon",
        "1e-5 in the softmax's divisor",
        Loss.SOFTMAX,
        VALUE,
        instead("p", lambda self, q: q.e / (q.top + q.rest + np.float32(1e-5))),
    ),
    Fault(
        "softmax_flushed",
        "probabilities below 1e-7 read as 0",
        Loss.SOFTMAX,
        VALUE,
        after("p", lambda p, q: np.where(p < 1e-7, 0, p).astype(p.dtype)),
    ),
    Fault("softmax_in_float16", "softmax in float16", Loss.SOFTMAX, VALUE, after("p", _through(np.float16))),
    Fault(
        "log_softmax_of_softmax",
        "log of the softmax",
        Loss.LOG_SOFTMAX,
        VALUE,
        instead("values", lambda self, b: np.log(self.p(self.parts(b)))),
    ),
    Fault(
        "log_softmax_epsilon",
        "log(softmax + 1e-6)",
        Loss.LOG_SOFTMAX,
        VALUE,
        instead("values", lambda self, b: np.log(self.p(self.parts(b)) + b.x.dtype.type(1e-6))),
    ),
    Fault(
        "entropy_of_nothing", "0 log 0 is NaN", Loss.ENTROPY, VALUE, instead("spread", lambda self, q: self.p(q) * q.d)
    ),
    Fault(
        "entropy_in_bits",
        "entropy in bits",
        Loss.ENTROPY,
        VALUE,
        after("values", lambda v, b: v / v.dtype.type(math.log(2))),
    ),
    Fault("entropy_not_averaged", "log S alone", Loss.ENTROPY, VALUE, after("spread", lambda v, q: 0 * v)),
)

FAULTS = (*SOFTMAX, *FUNCTIONS)
"""Every fault of the value."""
