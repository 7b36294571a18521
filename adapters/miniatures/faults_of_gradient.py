"""Faults of the gradient: sign, scale, saturation, detached parts, masks, precision. The value is right throughout."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from lossconform.adapters.miniatures.correct import INF, NAN
from lossconform.adapters.miniatures.fault import (
    BCE,
    CE,
    KL,
    LABELS,
    PROBABILITIES,
    SOFT,
    Fault,
    after,
    batch_changed,
    correct,
    instead,
)
from lossconform.adapters.miniatures.loss import Batch, Floats
from lossconform.reference.case import Form, Loss, TargetForm

GRADIENT = ("gradient",)
LOG_FORM = {"forms": (Form.LOG_PROBABILITIES,), "targets": (TargetForm.DISTRIBUTION,)}


def slope(change: Any) -> Any:
    """Change the gradient; `change` gets it, the batch and the factors."""
    return after("slopes", change)


def _saturates(g: Floats, batch: Batch, _: Floats) -> Floats:
    return np.where(np.abs(g) < 1e-3, 0, g).astype(g.dtype)


def _shift_attached(g: Floats, batch: Batch, factors: Floats) -> Floats:
    """The largest logit's own slope is not taken back."""
    top = np.zeros_like(g)
    np.put_along_axis(top, np.argmax(batch.x, axis=1)[:, None], 1, axis=1)
    return g + top * factors


def _ties_shared(g: Floats, batch: Batch, _: Floats) -> Floats:
    """Only the first of several equal largest logits has a slope."""
    x = np.where(batch.where, batch.x, -INF)
    first = np.zeros(x.shape, bool)
    np.put_along_axis(first, np.argmax(x, axis=1)[:, None], True, axis=1)
    return np.where((x == x.max(axis=1, keepdims=True)) & ~first, 0, g).astype(g.dtype)


def _masked_nan(g: Floats, batch: Batch, _: Floats) -> Floats:
    return np.where(batch.x == -INF, NAN, g).astype(g.dtype)


def _masked_leak(g: Floats, batch: Batch, factors: Floats) -> Floats:
    return np.where(batch.where, g, factors / 4).astype(g.dtype)


def _zero_total(self: Any, batch: Batch, factors: Floats) -> Floats:
    q = self.parts(batch)
    return self.p(q) * factors * (1 - self.p(q))


def _without_target(self: Any, batch: Batch) -> Floats:
    return self.add(batch.t * batch.weight) * self.p(self.parts(batch))


def _without_p(self: Any, batch: Batch) -> Floats:
    return -(batch.t * batch.weight)


def _hard_sigmoid(self: Any, z: Floats) -> Floats:
    return np.clip(z / 6 + z.dtype.type(0.5), 0, 1)


def _in_low(dtype: Any) -> Any:
    return lambda g, *_: g.astype(dtype).astype(g.dtype)


def _unscaled(self: Any, batch: Batch, values: Floats) -> Any:
    value, _ = correct(self, "reduce", batch, values)
    return value, 1.0


def _ignored_slope(self: Any, batch: Batch, factors: Floats) -> Floats:
    """Ignored rows have the gradient of a row without a target."""
    return np.where(batch.kept[:, None], correct(self, "slopes", batch, factors), self.p(self.parts(batch)) * factors)


def _whatever_kept(self: Any, batch: Batch, array: Floats) -> Floats:
    settled = correct(self, "settle", batch, array)
    return array if array.shape == batch.x.shape else settled


SOFTMAX = (
    Fault("gradient_negated", "the sign of every gradient", CE, GRADIENT, slope(lambda g, *_: -g), "gradient"),
    Fault("gradient_halved", "half of every gradient", CE, GRADIENT, slope(lambda g, *_: g / 2), "gradient"),
    Fault(
        "gradient_scaled", "1e-5 too large", CE, GRADIENT, slope(lambda g, *_: g * g.dtype.type(1 + 1e-5)), "gradient"
    ),
    Fault("gradient_zero", "no gradient at all", CE, GRADIENT, slope(lambda g, *_: 0 * g), "gradient"),
    Fault("gradient_saturates", "0 below 1e-3", CE, GRADIENT, slope(_saturates), "gradient"),
    Fault("gradient_clipped", "clipped to a half", CE, GRADIENT, slope(lambda g, *_: g.clip(-0.5, 0.5)), "gradient"),
    Fault("gradient_in_bfloat16", "rounded to bfloat16", CE, GRADIENT, slope(_in_low(ml_dtypes.bfloat16)), "gradient"),
    Fault("gradient_in_float16", "rounded to float16", CE, GRADIENT, slope(_in_low(np.float16)), "gradient"),
    Fault("gradient_of_shift", "the shift is differentiated", CE, GRADIENT, slope(_shift_attached), "gradient"),
    Fault(
        "gradient_without_target", "p alone", CE, GRADIENT, instead("from_logits_slope", _without_target), "gradient"
    ),
    Fault("gradient_without_p", "-t alone", CE, GRADIENT, instead("from_logits_slope", _without_p), "gradient"),
    Fault(
        "gradient_of_first_tie", "equal largest logits: the first alone", CE, GRADIENT, slope(_ties_shared), "gradient"
    ),
    Fault("gradient_of_masked_nan", "NaN where a logit is -inf", CE, GRADIENT, slope(_masked_nan), "gradient"),
    Fault("gradient_rows_reversed", "the rows exchanged", CE, GRADIENT, slope(lambda g, *_: g[::-1]), "gradient"),
    Fault(
        "gradient_classes_reversed", "the classes exchanged", CE, GRADIENT, slope(lambda g, *_: g[:, ::-1]), "gradient"
    ),
    Fault(
        "upstream_lost",
        "the upstream gradient not used",
        CE,
        GRADIENT,
        after("upstream", lambda c, *_: np.ones_like(c)),
        "gradient",
    ),
    Fault(
        "upstream_of_first_row",
        "every row has the first row's upstream gradient",
        CE,
        GRADIENT,
        after("upstream", lambda c, *_: 0 * c + c.flat[0]),
        "gradient",
    ),
    Fault(
        "upstream_magnitude",
        "the sign of the upstream gradient lost",
        CE,
        GRADIENT,
        after("upstream", lambda c, *_: np.abs(c)),
        "gradient",
    ),
    Fault(
        "gradient_not_averaged",
        "a mean's gradient not divided",
        CE,
        ("reduction",),
        instead("reduce", _unscaled),
        "gradient",
    ),
    Fault(
        "gradient_of_where", "masked classes have a gradient", CE, ("ignore-where",), slope(_masked_leak), "gradient"
    ),
    Fault(
        "gradient_of_ignored",
        "ignored rows have a gradient",
        CE,
        ("ignore-index",),
        {"slopes": _ignored_slope, "settle": _whatever_kept},
        "gradient",
        LABELS,
    ),
    Fault(
        "gradient_as_if_one",
        "targets taken to sum to 1",
        CE,
        ("unnormalised-target",),
        batch_changed("from_logits_slope", lambda b: {"t": b.t / b.t.sum(axis=1, keepdims=True)}),
        "target_sum",
        SOFT,
    ),
    Fault(
        "gradient_of_mean_target",
        "p - t for soft labels of any sum",
        CE,
        ("unnormalised-target",),
        instead("from_logits_slope", lambda self, b: b.row_weight[:, None] * self.p(self.parts(b)) - b.t * b.weight),
        "assumed_one",
        SOFT,
    ),
    Fault(
        "gradient_unweighted",
        "class weights not in the gradient",
        CE,
        ("class-weight",),
        batch_changed("slopes", lambda b: {"weight": np.ones_like(b.weight)}),
        "gradient",
    ),
    Fault(
        "gradient_without_sample_weight",
        "sample weights not in the gradient",
        CE,
        ("sample-weight",),
        batch_changed("slopes", lambda b: {"weight": b.weight / b.row_weight[:, None]}),
        "gradient",
    ),
    Fault(
        "gradient_unsmoothed",
        "smoothing not in the gradient",
        CE,
        ("label-smoothing",),
        batch_changed("slopes", lambda b: {"t": (b.t == b.t.max(axis=1, keepdims=True)).astype(b.t.dtype)}),
        "gradient",
        LABELS,
    ),
)

OTHERS = (
    Fault(
        "softmax_diagonal",
        "the diagonal of the derivative alone",
        Loss.SOFTMAX,
        GRADIENT,
        instead("slopes", _zero_total),
        "gradient",
    ),
    Fault(
        "log_softmax_detached",
        "the normaliser detached",
        Loss.LOG_SOFTMAX,
        GRADIENT,
        instead("slopes", lambda self, b, c: c + 0 * b.x),
        "gradient",
    ),
    Fault(
        "lse_unnormalised",
        "exponentials not divided by their sum",
        Loss.LOG_SUM_EXP,
        GRADIENT,
        instead("slopes", lambda self, b, c: self.parts(b).e * c),
        "gradient",
    ),
    Fault("entropy_detached", "p detached", Loss.ENTROPY, GRADIENT, slope(lambda g, b, c: g / 2), "gradient"),
    Fault("sigmoid_hard", "a piecewise linear sigmoid", BCE, GRADIENT, instead("sigmoid", _hard_sigmoid), "gradient"),
    Fault(
        "binary_at_zero",
        "no gradient at a logit of exactly 0",
        BCE,
        GRADIENT,
        slope(lambda g, b, c: np.where(b.x == 0, 0, g).astype(g.dtype)),
        "gradient",
    ),
    Fault(
        "binary_saturates",
        "no gradient beyond 5",
        BCE,
        GRADIENT,
        slope(lambda g, b, c: np.where(np.abs(b.x) > 5, 0, g).astype(g.dtype)),
        "gradient",
    ),
    Fault(
        "binary_negative_half",
        "the negative term detached",
        BCE,
        GRADIENT,
        instead("derivatives", lambda self, b: -self.weights(b)[0] * self.sigmoid(-b.x)),
        "gradient",
    ),
    Fault(
        "log_sigmoid_slope",
        "sigmoid(z), not sigmoid(-z)",
        Loss.LOG_SIGMOID,
        GRADIENT,
        instead("derivatives", lambda self, b: self.sigmoid(b.x)),
        "gradient",
    ),
    Fault(
        "probability_slope_epsilon",
        "-t / (q + 1e-6)",
        CE,
        GRADIENT,
        instead("from_probabilities_slope", lambda self, b: -b.t * b.weight / (b.x + b.x.dtype.type(1e-6))),
        "gradient",
        PROBABILITIES,
    ),
    Fault(
        "probability_slope_past_clip",
        "a gradient where clipped",
        CE,
        GRADIENT,
        instead("from_probabilities_slope", lambda self, b: -b.t * b.weight / self.read(b)[0]),
        "gradient",
        PROBABILITIES,
        {"probability_range": "clipped"},
    ),
    Fault("divergence_slope_sign", "t, not -t", KL, GRADIENT, slope(lambda g, *_: -g), "gradient", LOG_FORM),
    Fault(
        "divergence_slope_of_log",
        "-log t, not -t",
        KL,
        GRADIENT,
        instead("derivatives", lambda self, b: -b.t * b.weight),
        "gradient",
        {"forms": (Form.LOG_PROBABILITIES,), "targets": (TargetForm.LOG_DISTRIBUTION,)},
    ),
    Fault(
        "divergence_slope_undivided",
        "-t, not -t / q",
        KL,
        GRADIENT,
        instead("derivatives", lambda self, b: -self.mass(b) * b.weight),
        "gradient",
        PROBABILITIES,
    ),
)

FAULTS = (*SOFTMAX, *OTHERS)
"""Every fault of the gradient."""
