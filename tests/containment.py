"""Helpers for the tests of the tiers: cases over regimes, and whether one enclosure holds another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from lossconform.reference.bounds import TINY
from lossconform.reference.case import Array, Case, Form, Loss, TargetForm
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS, Format, dtype_of, round_to, two_sum
from lossconform.strategies.regimes import ALL, Regime

SIZES = {1: 3, 2: 24, 3: 16, 10: 12, 1000: 1}
"""Rows for each number of classes."""

REGIMES = {regime.id: regime for regime in ALL}


def strays(outer: Enclosure, inner: Enclosure) -> Array:
    """Return where an enclosure does not hold another, by more than that one's own width."""
    with np.errstate(all="ignore"):
        s, e = two_sum(inner.h, -outer.h)
        slack = 2 * (inner.hi - inner.lo) + 2.0**-104 * np.abs(inner.h)
        below = s + (e + inner.lo) < outer.lo - slack
        above = s + (e + inner.hi) > outer.hi + slack
    odd = ~np.isfinite(outer.h) | ~np.isfinite(inner.h)
    same = (outer.h == inner.h) | (np.isnan(outer.h) & np.isnan(inner.h))
    return np.asarray(np.where(odd, ~same, below | above))


def disagree(mine: Enclosure, exact: Enclosure, fmt: Format) -> Array:
    """Return where an enclosure is decided and rounds to something that nothing in the exact tier's does."""
    low, high = mine.rounded(fmt)
    least, most = exact.rounded(fmt)
    return np.asarray((low == high) & ~((least <= low) & (low <= most)))


def undecided(mine: Enclosure, fmt: Format) -> Array:
    """Return where the bounds round to different numbers."""
    low, high = mine.rounded(fmt)
    return np.asarray((low != high) & ~np.isnan(mine.h))


WORST = ("up", "down", "either", "flushed")


def worst_numpy(kind: str) -> SimpleNamespace:
    """Return NumPy with an exp, log and log1p as wrong as the fast tier assumes, or with subnormal results flushed."""
    g = np.random.default_rng(3)

    def worse(name: str) -> Any:
        function = getattr(np, name)

        def call(x: Any, out: Any = None) -> Any:
            y = np.array(function(x))
            sign = {"up": 1, "down": -1, "flushed": 1}.get(kind) or g.choice([-1, 1], y.shape)
            # The right answer is within half an ULP of y, or one at most: 3 more make no more than 4.
            moved = y + sign * 3 * np.spacing(np.abs(y))
            y = np.where((y != 0) & (np.asarray(x) != 0) & np.isfinite(y), moved, y)
            if kind == "flushed":
                y = np.where(np.abs(y) < TINY, 0.0, y)
            if out is None:
                return y
            out[...] = y
            return out

        return call

    return SimpleNamespace(**{**vars(np), **{name: worse(name) for name in ("exp", "log", "log1p")}})


def logits(regime: Regime, dtype: str, n: int, c: int, seed: int) -> Array:
    """Return the logits of a regime."""
    rng = np.random.default_rng([seed, c, ALL.index(regime)])
    fmt = FORMATS[dtype]
    x = round_to(regime.fill(rng, n, c, fmt), fmt)
    return np.asarray(x.astype(dtype_of(dtype)))


def labels(regime: Regime, x: Array, seed: int) -> Array:
    """Return labels as the regime wants them."""
    wide = x.astype(np.float64)
    if regime.label == "top":
        return np.asarray(wide.argmax(axis=1))
    if regime.label == "bottom":
        return np.asarray(wide.argmin(axis=1))
    return np.asarray(np.random.default_rng([seed, 5]).integers(0, x.shape[1], size=(x.shape[0],)))


def _index(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    return {"target": y, "target_form": TargetForm.INDEX}


def _weighted(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    weights = {
        "class_weight": g.choice([0.0, 1.0, 0.3, 2.0, 1e-3], x.shape[1]),
        "sample_weight": g.choice([0.0, 1.0, 0.7, 3.0], x.shape[0]),
    }
    y = np.where(g.random(len(y)) < 0.2, -100, y)
    return {"target": y, "target_form": TargetForm.INDEX, "ignore_index": -100, **weights}


def _soft(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    taking = np.isfinite(x.astype(np.float64))
    t = np.where(taking & (g.random(x.shape) < 0.7), g.integers(0, 65, x.shape) / 64, 0.0)
    return {"target": t, "target_form": TargetForm.DISTRIBUTION}


def _one_hot(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    return {"target": (np.arange(x.shape[1]) == y[:, None]).astype(np.float64), "target_form": TargetForm.ONE_HOT}


def _smoothed(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    return {**_index(x, y, g), "label_smoothing": 0.1}


def _where(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    where = g.random(x.shape) < 0.7
    where[np.arange(len(y)), y] = True
    return {**_index(x, y, g), "where": where}


def _binary(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    return {"target": g.choice([0.0, 1.0, 0.5, 0.3, 0.0625], x.shape), "target_form": TargetForm.BINARY}


def _focal(gamma: float) -> Any:
    def options(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
        return {**_binary(x, y, g), "gamma": gamma, "alpha": 0.25}

    return options


def _wide(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    return {"cotangent": g.choice([0.5, 1.0, 2.0, -1.0], x.shape)}


def _narrow(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    return {"cotangent": g.choice([0.5, 1.0, 2.0, -1.0, 0.1], x.shape[:1])}


CE = Loss.SOFTMAX_CROSS_ENTROPY
KL, BCE = Loss.KL_DIVERGENCE, Loss.BINARY_CROSS_ENTROPY


def _distribution(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    t = g.integers(0, 17, x.shape) / 64
    close = x.astype(np.float64)
    near = np.isfinite(close) & (close >= 0) & (close <= 1) & (g.random(x.shape) < 0.3)
    return {"target": np.where(near, close, t), "target_form": TargetForm.DISTRIBUTION}


def _logs(x: Array, y: Array, g: np.random.Generator) -> dict[str, Any]:
    t = -np.round(g.exponential(2, x.shape) * 64) / 64
    return {"target": np.where(g.random(x.shape) < 0.2, 0.0, t), "target_form": TargetForm.LOG_DISTRIBUTION}


OTHERS: dict[str, tuple[Loss, Form, Any]] = {
    "log-probabilities": (CE, Form.LOG_PROBABILITIES, _index),
    "weighted log-probabilities": (CE, Form.LOG_PROBABILITIES, _weighted),
    "soft log-probabilities": (CE, Form.LOG_PROBABILITIES, _soft),
    "probabilities": (CE, Form.PROBABILITIES, _index),
    "weighted probabilities": (CE, Form.PROBABILITIES, _weighted),
    "one-hot probabilities": (CE, Form.PROBABILITIES, _one_hot),
    "soft probabilities": (CE, Form.PROBABILITIES, _soft),
    "smoothed probabilities": (CE, Form.PROBABILITIES, _smoothed),
    "binary probabilities": (BCE, Form.PROBABILITIES, _binary),
    "divergence": (KL, Form.PROBABILITIES, _distribution),
    "focal probabilities": (Loss.FOCAL, Form.PROBABILITIES, _focal(1.5)),
    "divergence from logarithms": (KL, Form.LOG_PROBABILITIES, _distribution),
    "divergence of logarithms": (KL, Form.PROBABILITIES, _logs),
    "divergence of logarithms from logarithms": (KL, Form.LOG_PROBABILITIES, _logs),
}
"""Losses of other predictions, made from the logits of a regime."""

QUESTIONS: dict[str, tuple[Loss, Any]] = {
    "log-sum-exp": (Loss.LOG_SUM_EXP, _narrow),
    "softmax": (Loss.SOFTMAX, _wide),
    "log-softmax": (Loss.LOG_SOFTMAX, _wide),
    "index": (CE, _index),
    "weighted": (CE, _weighted),
    "one-hot": (CE, _one_hot),
    "soft": (CE, _soft),
    "smoothed": (CE, _smoothed),
    "where": (CE, _where),
    "log-sigmoid": (Loss.LOG_SIGMOID, _wide),
    "binary": (Loss.BINARY_CROSS_ENTROPY, _binary),
    "entropy": (Loss.ENTROPY, _narrow),
    "focal": (Loss.FOCAL, _focal(2.0)),
}
"""Losses of logits with their options."""


def question(name: str, regime: Regime, dtype: str, c: int, *, rows: int | None = None, seed: int = 0) -> Case:
    """Return a case of a regime."""
    x = logits(regime, dtype, rows or SIZES[c], c, seed)
    if name in OTHERS:
        return _formed(name, regime, x, seed)
    loss, options = QUESTIONS[name]
    if loss in (Loss.LOG_SIGMOID, Loss.BINARY_CROSS_ENTROPY, Loss.FOCAL):
        x = np.where(np.isfinite(x.astype(np.float64)), x, 1.0).astype(x.dtype)
    g = np.random.default_rng([seed, 9])
    fields = options(x, labels(regime, x, seed), g)
    return Case(loss=loss, prediction=x, **fields)


def _formed(name: str, regime: Regime, x: Array, seed: int) -> Case:
    """Return a case whose prediction is made from logits."""
    loss, form, options = OTHERS[name]
    wide = np.clip(np.where(np.isfinite(x.astype(np.float64)), x.astype(np.float64), -30.0), -600.0, 600.0)
    d = wide - wide.max(axis=1, keepdims=True)
    total = np.exp(d).sum(axis=1, keepdims=True)
    log_p = d - np.log(total)
    formed = log_p if form is Form.LOG_PROBABILITIES else np.exp(log_p)
    if loss in (BCE, Loss.FOCAL):
        formed = 1 / (1 + np.exp(-wide))
    fmt = FORMATS[str(x.dtype)]
    prediction = round_to(formed, fmt).astype(x.dtype)
    fields = options(prediction, labels(regime, x, seed), np.random.default_rng([seed, 9]))
    return Case(loss=loss, form=form, prediction=prediction, **fields)
