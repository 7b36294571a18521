"""Regimes: named regions of input space, filled row by row with NumPy for the checks of accuracy.

Each regime makes logits; other forms of prediction are made from those, rounded into the dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from lossconform.adapters.contract import Contract
from lossconform.profiles import Profile
from lossconform.reference.case import BINARY, FUNCTIONS, Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.formats import FORMATS, Float64, Format, dtype_of, round_to
from lossconform.strategies.cases import GAMMAS

SEEDS = st.binary(min_size=4, max_size=4).filter(any).map(int.from_bytes)
"""Seeds of packed cases: not integers, of which Hypothesis prefers small ones, nor 0, which it always tries first."""

Generator = np.random.Generator
Fill = Callable[[Generator, int, int, Format], Float64]


@dataclass(frozen=True)
class Regime:
    """A named region of input space.

    Attributes:
        id: its name.
        meaning: what is special about it.
        fill: returns logits of shape (n, c) for a format.
        label: which class is the label: 'any', 'top' or 'bottom'.
        many: whether it has many classes.
        elements: the same for losses of which every element is a row of its own; None if it is no other.
        forms: the forms of prediction that it makes sense for.
    """

    id: str
    meaning: str
    fill: Fill
    label: str = "any"
    many: bool = False
    elements: Fill | None = None
    forms: tuple[Form, ...] = (Form.LOGITS, Form.LOG_PROBABILITIES, Form.PROBABILITIES)


def _moderate(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    return rng.normal(0, 3, (n, c))


def _offset(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    size = 2.0 ** (fmt.precision // 2)
    return rng.normal(0, 3, (n, c)) + rng.choice([-size, size], (n, 1)) * rng.uniform(1, 2, (n, 1))


def _confident(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    x = rng.normal(0, 1, (n, c))
    # Of four gaps three to where log1p and its like change branch, one to beyond where its exponential underflows.
    far = -1.25 * np.log(fmt.smallest)
    top = np.resize([16.0, min(32.0, far), 16.0, far], n)
    x[np.arange(n), rng.integers(0, c, n)] += rng.uniform(np.where(top == 16, 8, 12), top)
    return x


def _each_confident(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    each = _confident(rng, n * c, 1, fmt).reshape(n, c)
    result: Float64 = each * rng.choice([-1.0, 1.0], (n, c))
    return result


def _ties(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    return rng.integers(-1, 2, (n, c)).astype(np.float64)


def _near_ties(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    base = rng.uniform(1, 2, (n, 1))
    return base + rng.integers(-3, 4, (n, c)) * 2 * fmt.unit_roundoff


def _spike(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    x = np.repeat(rng.uniform(-12, -2, (n, 1)), c, axis=1)
    x[np.arange(n), rng.integers(0, c, n)] = 0.0
    return x


def _huge(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    # Small enough that a row of losses still sums without overflow.
    return rng.uniform(-1, 1, (n, c)) * fmt.finite_max / (4 * c)


def _subnormal(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    return rng.integers(-8, 9, (n, c)).astype(np.float64) * fmt.smallest


def _masked(rng: Generator, n: int, c: int, fmt: Format) -> Float64:
    x = rng.normal(0, 3, (n, c))
    return np.where((rng.uniform(size=(n, c)) < 0.3) & (x < x.max(axis=1, keepdims=True)), -np.inf, x)


ALL = (
    Regime("moderate", "logits of a few units", _moderate),
    Regime("large offset", "every logit of a row shifted far away", _offset, forms=(Form.LOGITS,)),
    Regime("confident correct", "the label far above: a tiny loss", _confident, "top", elements=_each_confident),
    Regime("confident wrong", "the label far below: a large loss", _confident, "bottom", elements=_each_confident),
    Regime("ties", "several equal logits", _ties),
    Regime("near ties", "logits a few spacings apart", _near_ties),
    Regime("many classes", "a thousand classes and more", _moderate, many=True),
    Regime("spike and tail", "one large logit and a long flat tail", _spike, many=True),
    Regime("huge", "logits so large that their row of losses barely sums", _huge, forms=(Form.LOGITS,)),
    Regime("subnormal", "logits below the smallest normal number", _subnormal, forms=(Form.LOGITS,)),
    Regime("masked with -inf", "classes excluded by a logit of -inf", _masked, label="top", forms=(Form.LOGITS,)),
)
"""Every regime, in the order in which reports show them."""

ELEMENTWISE_REGIMES = frozenset(
    {"moderate", "confident correct", "confident wrong", "ties", "near ties", "huge", "subnormal", "many classes"}
)
"""The regimes that mean something where every element is its own row."""


def _elementwise(contract: Contract) -> bool:
    return contract.loss in BINARY or contract.loss is Loss.LOG_SIGMOID


def regimes(contract: Contract, form: Form, *, many: bool = True) -> list[Regime]:
    """Return the regimes that suit a loss function's form of prediction; those with many classes only if wanted."""
    suiting = [r for r in ALL if form in r.forms and (not _elementwise(contract) or r.id in ELEMENTWISE_REGIMES)]
    return [r for r in suiting if many or not r.many]


def apart(contract: Contract) -> bool:
    """Whether nothing is made of the elements of a row together: however many, they are the same question."""
    one_by_one = _elementwise(contract) and contract.policy().class_axis_reduction == "none"
    return one_by_one and contract.reductions[0] is Reduction.NONE


def fill(
    regime: Regime,
    contract: Contract,
    form: Form,
    target_form: TargetForm,
    dtype: str,
    profile: Profile,
    seed: int,
    turn: int = 0,
) -> Case:
    """Return a packed case of a regime: every row a question of its own. In turn each has every gamma."""
    place = ALL.index(regime)
    rng = np.random.default_rng([seed, place])
    fmt = FORMATS[dtype]
    # Of many classes a label looks at one, so there are several rows; other targets look at all.
    few = 4 if target_form is TargetForm.INDEX else 1
    n, c = (few, profile.many) if regime.many else (profile.rows, profile.classes)
    filled = regime.elements if regime.elements is not None and _elementwise(contract) else regime.fill
    x = round_to(filled(rng, n, c, fmt), fmt)
    binary = contract.loss in BINARY
    prediction = round_to(formed(x, form, binary), fmt).astype(dtype_of(dtype))
    target = None
    if contract.loss not in FUNCTIONS:
        target = _target(rng, regime, x, target_form, dtype)
    return Case(
        loss=contract.loss,
        prediction=prediction,
        form=form,
        target=target,
        target_form=TargetForm.NONE if target is None else target_form,
        reduction=contract.reductions[0],
        gamma=GAMMAS[(place + turn) % len(GAMMAS)] if "gamma" in contract.options else 0.0,
    )


def cotangent(case: Case, shape: tuple[int, ...], seed: int) -> Case:
    """Return the case with an upstream gradient that is not all ones."""
    if case.reduction is not Reduction.NONE:
        return case
    rng = np.random.default_rng([seed, 77])
    # None is below 1: a slope that is beyond the format, and scaled afterwards, is then infinite exactly too.
    values = rng.choice([1.0, 2.0, -1.0, -2.0], shape)
    return case.replace(cotangent=values.astype(case.prediction.dtype))


def formed(x: Float64, form: Form, binary: bool) -> Float64:
    """Return logits as the form of prediction asked for, in float64."""
    if form is Form.LOGITS:
        return x
    result: Float64
    with np.errstate(over="ignore"):
        if binary:
            result = 1 / (1 + np.exp(-x))
            return result
        d = x - x.max(axis=1, keepdims=True)
        e = np.exp(d)
        total = e.sum(axis=1, keepdims=True)
    result = e / total if form is Form.PROBABILITIES else d - np.log(total)
    return result


def _labels(rng: Generator, regime: Regime, x: Float64) -> NDArray[np.int64]:
    if regime.label == "any":
        drawn: NDArray[np.int64] = rng.integers(0, x.shape[1], size=(x.shape[0],))
        return drawn
    return np.asarray(np.argmax(x, axis=1) if regime.label == "top" else np.argmin(x, axis=1), dtype=np.int64)


def _target(rng: Generator, regime: Regime, x: Float64, form: TargetForm, dtype: str) -> Array:
    """Return a target that every format holds exactly and whose rows sum to exactly 1."""
    n, c = x.shape
    if form is TargetForm.INDEX:
        return _labels(rng, regime, x)
    if form is TargetForm.BINARY:
        if regime.label == "any":
            return np.asarray(rng.integers(0, 17, (n, c)) / 16, dtype=dtype_of(dtype))
        return np.asarray((x > 0) == (regime.label == "top"), dtype=dtype_of(dtype))
    if form is TargetForm.ONE_HOT:
        one_hot: Array = np.eye(c)[_labels(rng, regime, x)].astype(dtype_of(dtype))
        return one_hot
    allowed = np.isfinite(x)
    target = np.zeros((n, c))
    for i in range(n):
        classes = np.flatnonzero(allowed[i])
        if regime.label != "any":
            classes = classes[[int(np.argmax(x[i, classes]) if regime.label == "top" else np.argmin(x[i, classes]))]]
        target[i, classes] = rng.multinomial(64, np.full(len(classes), 1 / len(classes))) / 64
    if form is TargetForm.LOG_DISTRIBUTION:
        with np.errstate(divide="ignore"):
            # A target of 0 is -inf there, which is a question of meaning; accuracy is asked at finite ones.
            target = np.log(np.maximum(target, 2.0**-12))
        return round_to(target, FORMATS[dtype]).astype(dtype_of(dtype))
    return target.astype(dtype_of(dtype))
