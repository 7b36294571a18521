"""Grades: their order, their edges, and what they say of softmax cross-entropies of known quality."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lossconform.profiles import PROFILES
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case, Form, Loss, TargetForm
from lossconform.reference.condition import conditions
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import evaluate
from lossconform.reference.formats import FORMATS, dtype_of, neighbours, round_to
from lossconform.reference.grades import Condition, Grade, allowed, grade
from lossconform.reference.policy import Policy
from lossconform.strategies.regimes import ALL, fill

F32 = FORMATS["float32"]
BOUNDED = (Grade.FAITHFUL, Grade.ACCURATE, Grade.SHIFT_STABLE, Grade.BACKWARD_STABLE, Grade.SEQUENTIAL)
WORDS = settings(derandomize=True, deadline=None, database=None, max_examples=200)


def exactly(x: float, low: float = 0.0) -> Enclosure:
    return Enclosure(np.array(x), np.array(low), np.array(low))


def condition(base: float = 1.0, shift: float = 0.0, terms: float = 0.0, n: int = 10) -> Condition:
    return Condition(*(np.array(v) for v in (base, shift, terms)), n, np.array(0.0), 1, np.array(F32.tiny))


def graded(answer: float, exact: Enclosure, c: Condition | None = None) -> Grade:
    return Grade(int(grade(np.array(answer), exact, c or condition(), F32)))


@pytest.mark.parametrize(
    ("answer", "exact", "expected"),
    [
        (1.0, 1.0, Grade.CORRECTLY_ROUNDED),
        (np.nan, np.nan, Grade.CORRECTLY_ROUNDED),
        (np.inf, np.inf, Grade.CORRECTLY_ROUNDED),
        (0.0, -0.0, Grade.CORRECTLY_ROUNDED),
        (np.inf, 2.0**128, Grade.CORRECTLY_ROUNDED),
        (np.nan, 1.0, Grade.BROKEN),
        (1.0, np.nan, Grade.BROKEN),
        (np.nan, np.inf, Grade.BROKEN),
        (np.inf, np.nan, Grade.BROKEN),
        (np.inf, 1.0, Grade.BROKEN),
        (-np.inf, np.inf, Grade.BROKEN),
        (1.0, np.inf, Grade.BROKEN),
        (1.0, 2.0**200, Grade.BROKEN),
        (2.0, 1.0, Grade.INACCURATE),
        (-1.0, 1.0, Grade.INACCURATE),
    ],
)
def test_edges(answer: float, exact: float, expected: Grade) -> None:
    assert graded(answer, exactly(exact)) is expected


def test_an_overflow_next_to_the_largest_number_is_not_broken() -> None:
    assert graded(np.inf, exactly(F32.finite_max)) <= Grade.ACCURATE


def test_faithful_is_next_to_the_exact_number() -> None:
    x = round_to(np.array(1 / 3), F32)
    down, up = neighbours(x, F32)
    exact = exactly(float(x), 1e-9)
    assert graded(float(x), exact) is Grade.CORRECTLY_ROUNDED
    assert graded(float(up), exact) is Grade.FAITHFUL
    assert graded(float(down), exact) is Grade.ACCURATE


def test_either_neighbour_is_right_where_the_enclosure_leaves_it_open() -> None:
    tie = 1 + F32.unit_roundoff
    open_ = Enclosure(np.array(tie), np.array(-1e-20), np.array(1e-20))
    assert graded(1.0, open_) is Grade.CORRECTLY_ROUNDED
    assert graded(1 + 2 * F32.unit_roundoff, open_) is Grade.CORRECTLY_ROUNDED


@WORDS
@given(
    exact=st.floats(-1e6, 1e6),
    base=st.floats(0, 1e3),
    shift=st.floats(0, 1e3),
    terms=st.floats(0, 1e3),
    n=st.integers(1, 10**6),
)
def test_a_worse_grade_allows_more(exact: float, base: float, shift: float, terms: float, n: int) -> None:
    c = condition(base, shift, terms, n)
    bounds = [float(allowed(g, exactly(exact), c, F32)) for g in BOUNDED]
    assert bounds[0] <= bounds[1]
    assert bounds[2] <= bounds[3] <= bounds[4]


@WORDS
@given(exact=st.floats(-1e30, 1e30), errors=st.tuples(st.floats(0, 1e30), st.floats(0, 1e30)), base=st.floats(0, 1e9))
def test_a_larger_error_has_no_better_grade(exact: float, errors: tuple[float, float], base: float) -> None:
    small, large = sorted(errors)
    first, second = (
        graded(exact + small, exactly(exact), condition(base)),
        graded(exact + large, exactly(exact), condition(base)),
    )
    assert first <= second


Logits = NDArray[np.float32]


def shifted(x: Logits, y: NDArray[np.int64]) -> Logits:
    d = x - x.max(axis=1, keepdims=True)
    return np.log(np.exp(d).sum(axis=1)) - d[np.arange(len(y)), y]


def lse_first(x: Logits, y: NDArray[np.int64]) -> Logits:
    m = x.max(axis=1, keepdims=True)
    return (m[:, 0] + np.log(np.exp(x - m).sum(axis=1))) - x[np.arange(len(y)), y]


def unshifted(x: Logits, y: NDArray[np.int64]) -> Logits:
    return np.log(np.exp(x).sum(axis=1)) - x[np.arange(len(y)), y]


def log_of_softmax(x: Logits, y: NDArray[np.int64]) -> Logits:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return -np.log((e / e.sum(axis=1, keepdims=True))[np.arange(len(y)), y])


def clipped(x: Logits, y: NDArray[np.int64]) -> Logits:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = np.clip(e / e.sum(axis=1, keepdims=True), np.float32(1e-7), np.float32(1 - 1e-7))
    return -np.log(p[np.arange(len(y)), y])


def worst(loss: Callable[[Logits, NDArray[np.int64]], Logits], name: str) -> Grade:
    from lossconform.adapters.contract import Contract, Source

    contract = Contract(loss=Loss.SOFTMAX_CROSS_ENTROPY, source=Source("", "", "", ""), targets=(TargetForm.INDEX,))
    regime = next(r for r in ALL if r.id == name)
    seen = Grade.CORRECTLY_ROUNDED
    for seed in range(4):
        case = fill(regime, contract, Form.LOGITS, TargetForm.INDEX, "float32", PROFILES["quick"], seed)
        assert case.target is not None
        with np.errstate(all="ignore"):
            answer = loss(case.prediction, case.target)
        value, _ = conditions(canonical(case, Policy()))
        got = grade(answer.astype(np.float64), evaluate(case, gradient=False).value, value, F32)
        seen = max(seen, Grade(int(got.max())))
    return seen


@pytest.mark.parametrize("name", [regime.id for regime in ALL])
def test_a_shifted_cross_entropy_is_shift_stable_everywhere(name: str) -> None:
    assert worst(shifted, name) <= Grade.SHIFT_STABLE


@pytest.mark.parametrize(
    ("loss", "name", "expected"),
    [
        (lse_first, "large offset", Grade.BACKWARD_STABLE),
        (unshifted, "large offset", Grade.BROKEN),
        (unshifted, "huge", Grade.BROKEN),
        (log_of_softmax, "confident wrong", Grade.BROKEN),
        (log_of_softmax, "huge", Grade.BROKEN),
        (clipped, "confident wrong", Grade.INACCURATE),
    ],
)
def test_a_fault_has_its_grade(loss: Callable[[Logits, NDArray[np.int64]], Logits], name: str, expected: Grade) -> None:
    assert worst(loss, name) is expected


def softplus(x: Logits, t: Logits) -> Logits:
    """The form that optax documents: log1p of either sign."""
    tail = np.log1p(np.exp(-np.abs(x)))
    return t * (np.maximum(-x, 0) + tail) + (1 - t) * (np.maximum(x, 0) + tail)


def documented(x: Logits, t: Logits) -> Logits:
    """max(x, 0) - x t + log1p(e^-|x|)."""
    return (np.maximum(x, 0) - x * t) + np.log1p(np.exp(-np.abs(x)))


def log_of_sum(x: Logits, t: Logits) -> Logits:
    """The same with log(1 + e^-|x|)."""
    return (np.maximum(x, 0) - x * t) + np.log(1 + np.exp(-np.abs(x)))


def of_log_sigmoid(x: Logits, t: Logits) -> Logits:
    """(1 - t) x - log sigmoid(x), PyTorch's."""
    return (1 - t) * x - (np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))))


@pytest.mark.parametrize(
    ("loss", "hard", "relative"),
    [
        (softplus, True, True),
        (softplus, False, True),
        (documented, True, True),
        (log_of_sum, True, False),
        (log_of_sum, False, False),
        (of_log_sigmoid, True, False),
    ],
)
def test_a_binary_loss_is_relatively_accurate_or_not(
    loss: Callable[[Logits, Logits], Logits], hard: bool, relative: bool
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 12, (4, 500)).astype(np.float32)
    t = (rng.integers(0, 2, x.shape) if hard else rng.integers(0, 17, x.shape) / 16).astype(np.float32)
    case = Case(loss=Loss.BINARY_CROSS_ENTROPY, prediction=x, target=t, target_form=TargetForm.BINARY)
    value, _ = conditions(canonical(case, Policy()))
    got = grade(loss(x, t).astype(np.float64), evaluate(case, gradient=False).value, value, F32).max()
    assert got <= Grade.SHIFT_STABLE if relative else got == Grade.BACKWARD_STABLE


def test_every_dtype_has_a_format() -> None:
    case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.zeros((1, 2), dtype_of("bfloat16")))
    assert case.format is FORMATS["bfloat16"]
