"""The reference against the second evaluation: the answer lies within the enclosure, and the enclosure is narrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from drawn import questions
from hypothesis import HealthCheck, given, settings
from independent import second
from mpmath import mp, mpf

from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import evaluate
from lossconform.reference.losses import FAMILIES
from lossconform.reference.policy import Policy

EXAMPLES = 300
SMALLEST = mpf(2) ** -1074
OVERFLOW = mpf(2) ** 1024


def hold(enclosure: Enclosure, wanted: dict[tuple[int, ...], Any]) -> None:
    """Assert that each wanted number lies in the enclosure, and that this says something."""
    for index, v in wanted.items():
        h, lo, hi = (float(part[index]) for part in (enclosure.h, enclosure.lo, enclosure.hi))
        if mp.isnan(v) or abs(v) >= OVERFLOW:
            assert str(h) == str(float(v)), f"{index}: {h} for {v}"
            continue
        assert math.isfinite(h), f"{index}: {h} for {mp.nstr(v, 20)}"
        slack = mpf(10) ** -350 * max(mpf(1), abs(v))
        low, high = mpf(h) + mpf(lo), mpf(h) + mpf(hi)
        assert low - slack <= v <= high + slack, f"{index}: {mp.nstr(v, 40)} not in {h!r} + [{lo!r}, {hi!r}]"
        assert high - low <= max(abs(v) * mpf(2) ** -100, 4 * SMALLEST), f"{index}: wide, {h!r} + [{lo!r}, {hi!r}]"


def agree(case: Case, policy: Policy, wanted: Sequence[tuple[int, ...]] | None = None) -> None:
    """Assert that the reference and the second evaluation agree on a case."""
    other = second(case, policy, wanted)
    result = evaluate(case, policy)
    hold(result.value, other.value)
    assert result.gradient is not None
    assert result.gradient.shape == case.prediction.shape
    if any(mp.isinf(v) for v in other.value.values()):
        return  # the slope at an infinite loss is in the table of special values
    entries = list(np.ndindex(case.prediction.shape)) if wanted is None else list(wanted)
    hold(result.gradient, {index: other.gradient.get(index, mpf(0)) for index in entries})


@pytest.mark.parametrize(("loss", "form"), sorted(FAMILIES), ids=lambda v: str(v))
def test_small_cases_with_every_option(loss: Loss, form: Form) -> None:
    @settings(
        derandomize=True,
        deadline=None,
        database=None,
        max_examples=EXAMPLES,
        suppress_health_check=list(HealthCheck),
    )
    @given(questions(loss, form))
    def check(question: tuple[Case, Policy]) -> None:
        agree(*question)

    check()


LARGE = np.random.default_rng(7)
MANY = {
    "normal": LARGE.normal(0, 4, (1, 400)),
    "spike and tail": np.where(np.arange(400) == 3, 40.0, LARGE.normal(0, 0.01, (1, 400))),
    "ties": LARGE.choice([0.0, 1.0], (1, 400)),
    "all tied": np.full((1, 400), 0.1),
    "near ties": 1.0 + LARGE.integers(0, 2, (1, 400)) * 2.0**-52,
    "masked": np.where(LARGE.random((1, 400)) < 0.9, -np.inf, LARGE.normal(0, 4, (1, 400))),
    "linear": np.arange(400.0)[None] / 7,
}
WANTED = [(0, 3), (0, 200), (0, 399)]


@pytest.mark.parametrize("loss", [Loss.LOG_SUM_EXP, Loss.SOFTMAX_CROSS_ENTROPY, Loss.ENTROPY, Loss.SOFTMAX], ids=str)
@pytest.mark.parametrize("name", MANY)
def test_many_classes(loss: Loss, name: str) -> None:
    """Three entries of the gradient, because dual numbers have a slope for each."""
    x = MANY[name].copy()
    x[0, [3, 200, 399]] = [x[0, 3] if np.isfinite(x[0, 3]) else 0.5, 1.5, 0.25]
    target = np.array([3]) if loss is Loss.SOFTMAX_CROSS_ENTROPY else None
    form = TargetForm.INDEX if target is not None else TargetForm.NONE
    up = np.zeros((1, 400)) if loss is Loss.SOFTMAX else np.array([1.0])
    up[0] = np.arange(400) % 3 if loss is Loss.SOFTMAX else 1.0
    agree(Case(loss=loss, prediction=x, target=target, target_form=form, cotangent=up), Policy(), WANTED)


CANCELLING = {
    # log p + log q of two rows that almost cancel: the sum has far fewer bits than its terms.
    "log_sum_exp": Case(
        loss=Loss.LOG_SUM_EXP,
        prediction=np.array([[1e-8, -40.0], [-1e-8, -40.0]]),
        reduction=Reduction.SUM,
    ),
    "log_sum_exp, far offsets": Case(
        loss=Loss.LOG_SUM_EXP,
        prediction=np.array([[1e300, 1.0], [-1e300, -np.inf], [2.0**-60, -30.0]]),
        reduction=Reduction.SUM,
    ),
    "divergence": Case(
        loss=Loss.KL_DIVERGENCE,
        form=Form.PROBABILITIES,
        prediction=np.array([[0.5, 0.5]]),
        target=np.array([[0.5 + 2.0**-50, 0.5 - 2.0**-50]]),
        target_form=TargetForm.DISTRIBUTION,
        reduction=Reduction.SUM,
    ),
    "divergence, equal": Case(
        loss=Loss.KL_DIVERGENCE,
        form=Form.PROBABILITIES,
        prediction=np.array([[0.3, 0.7]]),
        target=np.array([[0.3, 0.7]]),
        target_form=TargetForm.DISTRIBUTION,
        reduction=Reduction.SUM,
    ),
    "softmax, one ULP apart": Case(loss=Loss.SOFTMAX, prediction=np.array([[1.0, 1 + 2.0**-52, 1.0]])),
    "binary, slope near 0": Case(
        loss=Loss.BINARY_CROSS_ENTROPY,
        prediction=np.array([[np.log(3.0)]]),
        target=np.array([[0.75]]),
        target_form=TargetForm.BINARY,
    ),
}


@pytest.mark.parametrize("name", CANCELLING)
def test_what_cancels_keeps_its_bits(name: str) -> None:
    agree(CANCELLING[name], Policy())


def test_what_cancels_to_nothing_is_exact() -> None:
    divergence = evaluate(CANCELLING["divergence, equal"])
    assert [v.item() for v in (divergence.value.h, divergence.value.lo, divergence.value.hi)] == [0, 0, 0]
    halves = Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        form=Form.PROBABILITIES,
        prediction=np.array([[2.0], [0.5]]),
        target=np.ones((2, 1)),
        target_form=TargetForm.ONE_HOT,
        reduction=Reduction.SUM,
    )
    value = evaluate(halves).value  # log 2 - log 2: balls cannot prove it, but say that nothing is left in float64
    assert value.h.item() == 0
    assert -1e-320 < value.lo.item() <= 0 <= value.hi.item() < 1e-320
    up = np.array([[1.0, 3.0, 2.0]])
    slope = evaluate(Case(loss=Loss.SOFTMAX, prediction=np.array([[0.0, 0.0, 5.0]]), cotangent=up)).gradient
    assert slope is not None
    assert (slope.h[0, 2], slope.lo[0, 2], slope.hi[0, 2]) == (0, 0, 0)
