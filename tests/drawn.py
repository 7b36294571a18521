"""Cases for the tests of the reference: Hypothesis draws the structure, NumPy fills the numbers from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from numpy.random import Generator

from lossconform.reference.case import FUNCTIONS, Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.formats import FORMATS, Format, dtype_of, neighbours
from lossconform.reference.policy import CHOICES, Policy

Fill = Callable[[Generator, tuple[int, ...], Format], Array]
SHAPES = ((1, 1), (1, 2), (2, 3), (3, 4), (2, 5))
CE, BCE, KL = Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY, Loss.KL_DIVERGENCE
FOCAL = Loss.FOCAL


def _normal(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    return np.asarray(g.normal(0, 3, shape))


def _huge(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    top = {"float64": 1e300, "float16": 6e4}.get(fmt.name, 1e38)
    return np.asarray(np.where(g.random(shape) < 0.5, top, -top) * g.choice([1.0, 0.5, 1e-3], shape))


def _subnormal(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    return g.integers(-5, 6, shape) * fmt.smallest


def _ties(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    return g.choice([0.0, -1.0, 2.5], shape)


def _all_ties(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    return np.broadcast_to(g.normal(0, 10, (shape[0],) + (1,) * (len(shape) - 1)), shape)


def _near_ties(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    x = np.broadcast_to(g.choice([1.0, -0.75, 16.0, 0.1], shape[:1]), shape[::-1]).T.astype(dtype_of(fmt.name))
    below, above = neighbours(x.astype(np.float64), fmt)
    return np.where(g.random(shape) < 0.3, below, np.where(g.random(shape) < 0.5, above, x.astype(np.float64)))


def _masked(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    x = np.where(g.random(shape) < 0.4, -np.inf, g.normal(0, 3, shape))
    x[:1] = x[:, :1] = x[..., :1] = 0.5  # never a whole row, whichever axis the classes are on
    return x


def _offset(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    return np.asarray(g.choice([1e4, -3e4, 2.0**12]) + np.round(g.normal(0, 40, shape)))


def _confident(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    return np.where(g.random(shape) < 0.4, g.choice([20.0, 90.0, 104.0, 700.0, 740.0]), g.normal(0, 1, shape))


LOGITS: dict[str, Fill] = {
    "normal": _normal,
    "huge": _huge,
    "subnormal": _subnormal,
    "ties": _ties,
    "all-ties": _all_ties,
    "near-ties": _near_ties,
    "masked": _masked,
    "offset": _offset,
    "confident": _confident,
}


def _probabilities(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    return g.random(shape)


def _edge(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    below_one = 1 - fmt.unit_roundoff
    return g.choice([fmt.tiny, fmt.smallest, below_one, 0.5, 1e-7, 3e-8, 1 - 1e-7, 1 - 2e-8], shape)


def _halves(g: Generator, shape: tuple[int, ...], fmt: Format) -> Array:
    x = g.choice([0.0, 0.25, 0.5, 1.0], shape)
    x[:1] = x[:, :1] = x[..., :1] = 0.5  # never a row of zeros
    return x


PROBABILITIES: dict[str, Fill] = {"uniform": _probabilities, "edge": _edge, "halves": _halves}
FILLS = {
    Form.LOGITS: LOGITS,
    Form.LOG_PROBABILITIES: {k: LOGITS[k] for k in ("normal", "huge", "subnormal", "ties", "offset")},
    Form.PROBABILITIES: PROBABILITIES,
}
TARGETS = {
    CE: (TargetForm.INDEX, TargetForm.ONE_HOT, TargetForm.DISTRIBUTION),
    BCE: (TargetForm.BINARY, TargetForm.DISTRIBUTION, TargetForm.ONE_HOT),
    KL: (TargetForm.DISTRIBUTION, TargetForm.LOG_DISTRIBUTION),
    FOCAL: (TargetForm.BINARY,),
}
POLICIES: dict[Loss, dict[str, Sequence[str]]] = {
    CE: {
        "smoothing": ("all_classes", "other_classes"),
        "smoothing_weight": ("each_class", "label_class"),
        "target_sum": ("as_given", "assumed_one"),
        "negative_label": ("nan", "zero", "wrapped", "clamped"),
        "label_too_large": ("nan", "zero", "clamped"),
    },
    BCE: {"class_axis_reduction": ("none", "sum", "mean")},
    FOCAL: {
        "class_axis_reduction": ("none", "sum", "mean"),
        "focal_target": tuple(CHOICES["focal_target"]),
        "focal_range": tuple(CHOICES["focal_range"]),
    },
    KL: {"class_axis_reduction": ("none", "sum", "mean"), "target_range": ("as_given", "clipped_in_dtype")},
}


def _policy(draw: DrawFn, loss: Loss, form: Form) -> Policy:
    choices: dict[str, Sequence[str]] = {
        "mean_denominator": ("elements", "kept", "weights", "batch"),
        "zero_denominator": ("nan", "zero"),
        **POLICIES.get(loss, {}),
    }
    if form is Form.PROBABILITIES:
        choices["probability_range"] = tuple(CHOICES["probability_range"])
        if loss is CE:
            choices["probability_sum"] = tuple(CHOICES["probability_sum"])
    return Policy(**{name: draw(st.sampled_from(list(values))) for name, values in choices.items()})


def _target(g: Generator, form: TargetForm, shape: tuple[int, ...], axis: int) -> Array:
    c = shape[axis]
    batch = shape[:axis] + shape[axis + 1 :]
    if form is TargetForm.INDEX:
        return np.asarray(g.choice([*range(c), *range(c), -1, c], batch))
    if form is TargetForm.ONE_HOT:
        return np.moveaxis(np.eye(c)[g.integers(0, c, batch)], -1, axis)
    if form is TargetForm.BINARY:
        return g.choice([0.0, 1.0, 0.5, 0.3], shape)
    if form is TargetForm.LOG_DISTRIBUTION:
        return np.asarray(-g.exponential(2, shape) * g.choice([0.0, 1.0, 1.0, 30.0], shape))
    t = np.where(g.random(shape) < 0.3, 0.0, g.random(shape))
    return t if g.random() < 0.3 else t / np.maximum(t.sum(axis=axis, keepdims=True), 0.25)


def _weights(g: Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(g.choice([0.0, 1.0, 2.0, 0.3, 1e-3], shape))


def _options(draw: DrawFn, g: Generator, loss: Loss, form: Form, target: TargetForm, case: dict[str, Any]) -> None:
    """Add some of the options that the loss has."""
    shape, axis = case["prediction"].shape, case["class_axis"]
    batch = shape[:axis] + shape[axis + 1 :]
    coin = st.integers(0, 2).map(lambda k: k == 2)
    if loss not in FUNCTIONS and draw(coin):
        case["sample_weight"] = _weights(g, batch)
    if loss in (CE, BCE, FOCAL):
        if draw(coin):
            case["class_weight"] = _weights(g, (shape[axis],))
        if draw(coin):
            case["label_smoothing"] = draw(st.sampled_from([0.1, 0.5, 1.0]))
    if loss is FOCAL:
        case["gamma"] = draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5, 10.0]))
        case["alpha"] = draw(st.sampled_from([None, 0.0, 0.25, 1.0]))
    if loss is BCE and draw(coin):
        case["pos_weight"] = _weights(g, (shape[axis],))
    if target is TargetForm.INDEX:
        case["ignore_index"] = draw(st.sampled_from([None, -100, 0]))
        if case["ignore_index"] is not None:
            case["target"] = np.where(g.random(batch) < 0.4, case["ignore_index"], case["target"])
    masks = form is Form.LOGITS and loss not in (BCE, FOCAL, Loss.LOG_SIGMOID)
    if (masks or loss is KL) and draw(coin):
        where = g.random(shape) < 0.7
        np.moveaxis(where, axis, 0)[0] = True
        case["where"] = where


@st.composite
def questions(draw: DrawFn, loss: Loss, form: Form) -> tuple[Case, Policy]:
    """Draw a case and a policy that gives it an answer."""
    g = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fmt = FORMATS[draw(st.sampled_from(sorted(FORMATS)))]
    shape: tuple[int, ...] = draw(st.sampled_from(SHAPES))
    axis = draw(st.sampled_from([1, 1, 0]))
    if draw(st.integers(0, 5)) == 5:
        shape, axis = (2, 3, 2), draw(st.integers(0, 2))
    fills = FILLS[form]
    x = fills[draw(st.sampled_from(sorted(fills)))](g, shape, fmt)
    if loss in (BCE, FOCAL, Loss.LOG_SIGMOID):
        x = np.where(np.isfinite(x), x, 1.0)
    target = draw(st.sampled_from(TARGETS[loss])) if loss in TARGETS else TargetForm.NONE
    fields: dict[str, Any] = {
        "loss": loss,
        "form": form,
        "prediction": x.astype(dtype_of(fmt.name)),
        "class_axis": axis,
        "target_form": target,
        "reduction": draw(st.sampled_from(list(Reduction))),
    }
    if target is not TargetForm.NONE:
        fields["target"] = _target(g, target, shape, axis)
        if target is not TargetForm.INDEX:
            fields["target"] = fields["target"].astype(dtype_of(fmt.name))
    _options(draw, g, loss, form, target, fields)
    policy = _policy(draw, loss, form)
    # Their slopes at 0 and 1 are in the table of special values.
    if "log_clamped" in policy.probability_range or (loss is FOCAL and form is Form.PROBABILITIES):
        x = np.where((x == 0) | (x == 1), 0.75, x).astype(dtype_of(fmt.name))
        fields["prediction"] = np.where((x == 0) | (x == 1), x.dtype.type(0.75), x)
    if draw(st.booleans()):
        fields["cotangent"] = _cotangent(g, Case(**fields), policy)
    return Case(**fields), policy


def _cotangent(g: Generator, case: Case, policy: Policy) -> Array:
    wide = case.loss in (Loss.SOFTMAX, Loss.LOG_SOFTMAX, Loss.LOG_SIGMOID)
    if case.loss in (BCE, KL, FOCAL):
        wide = policy.class_axis_reduction == "none"
    shape = case.prediction.shape if wide else case.batch_shape
    return np.asarray(g.choice([1.0, 0.0, -2.0, 0.3], () if case.reduction is not Reduction.NONE else shape))
