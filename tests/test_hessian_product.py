"""Hessian-vector products: the exact tier against the second evaluation, and what is exact of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from containment import OTHERS, QUESTIONS, REGIMES, disagree, question, strays, undecided
from drawn import questions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from independent import second
from mpmath import mp, mpf
from test_independent import LARGE, MANY, WANTED, hold

from lossconform.reference import float_hessian, tiers
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case, Form, Loss, TargetForm, rows
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import evaluate
from lossconform.reference.formats import FORMATS
from lossconform.reference.losses import FAMILIES, HESSIANS
from lossconform.reference.policy import Policy

DIRECTIONS = {
    "normal": lambda g, shape: g.normal(0, 1, shape),
    "few values": lambda g, shape: g.choice([0.0, 1.0, -1.0, 2.0, 3.0], shape),
    "one entry": lambda g, shape: np.eye(int(np.prod(shape)))[g.integers(0, np.prod(shape))].reshape(shape),
    "constant": lambda g, shape: np.full(shape, 0.3),
    "many scales": lambda g, shape: g.normal(0, 1, shape) * 10.0 ** g.integers(-30, 31, shape),
}


def product(case: Case, policy: Policy | None = None) -> Enclosure:
    """Return the Hessian-vector product of a case."""
    found = evaluate(case, policy, gradient=False).hessian_product
    assert found is not None
    assert found.shape == case.prediction.shape
    return found


def agree(case: Case, policy: Policy, wanted: Any = None) -> None:
    """Assert that the exact tier and the second evaluation agree."""
    other = second(case, policy, wanted)
    assert other.hessian_product is not None
    if any(mp.isinf(v) for v in other.value.values()):
        return  # the slope at an infinite loss is in the table of special values
    entries = list(np.ndindex(case.prediction.shape)) if wanted is None else list(wanted)
    found, gradient = product(case, policy), evaluate(case, policy).gradient
    assert gradient is not None
    nowhere = np.isnan(gradient.h)
    assert np.isnan(found.h[nowhere]).all()
    hold(found, {index: other.hessian_product.get(index, mpf(0)) for index in entries if not nowhere[index]})


def test_every_loss_has_one() -> None:
    assert set(HESSIANS) == set(FAMILIES)


@pytest.mark.parametrize(("loss", "form"), sorted(FAMILIES), ids=str)
def test_small_cases_with_every_option(loss: Loss, form: Form) -> None:
    @settings(derandomize=True, deadline=None, database=None, max_examples=200, suppress_health_check=list(HealthCheck))
    @given(questions(loss, form), st.sampled_from(sorted(DIRECTIONS)), st.integers(0, 2**32 - 1))
    def check(question: tuple[Case, Policy], name: str, seed: int) -> None:
        case, policy = question
        direction = DIRECTIONS[name](np.random.default_rng(seed), case.prediction.shape)
        agree(case.replace(direction=direction), policy)

    check()


@pytest.mark.parametrize("loss", [Loss.LOG_SUM_EXP, Loss.SOFTMAX_CROSS_ENTROPY, Loss.ENTROPY, Loss.SOFTMAX], ids=str)
@pytest.mark.parametrize("name", MANY)
def test_many_classes(loss: Loss, name: str) -> None:
    x = MANY[name].copy()
    x[0, [3, 200, 399]] = [x[0, 3] if np.isfinite(x[0, 3]) else 0.5, 1.5, 0.25]
    target = np.array([3]) if loss is Loss.SOFTMAX_CROSS_ENTROPY else None
    form = TargetForm.INDEX if target is not None else TargetForm.NONE
    up = np.arange(400.0)[None] % 3 if loss is Loss.SOFTMAX else np.array([1.0])
    case = Case(loss=loss, prediction=x, target=target, target_form=form, cotangent=up)
    agree(case.replace(direction=LARGE.normal(0, 1, (1, 400))), Policy(), WANTED)


def compare(case: Case, policy: Policy | None = None) -> None:
    """Assert that each tier's bounds hold the exact ones and round like them, and that what all give is decided."""
    policy = policy or Policy()
    exact, problem = product(case, policy), canonical(case, policy)
    whole = Enclosure(*(rows(case, part) for part in (exact.h, exact.lo, exact.hi)))
    for tier in (float_hessian.FAST, float_hessian.DOUBLE_DOUBLE):
        found = float_hessian.evaluate(problem, tier)
        if found is None:
            continue
        at = found.covered
        mine, its = (Enclosure(p.h[at], p.lo[at], p.hi[at]) for p in (found.value, whole))
        assert not strays(mine, its).any()
        assert not disagree(mine, its, case.format).any()
    both = tiers.evaluate(case, policy, gradient=False).hessian_product
    assert both is not None
    assert not strays(both, exact).any()
    assert not (undecided(both, case.format) & ~undecided(exact, case.format)).any()


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", [*QUESTIONS, *OTHERS])
def test_the_tiers_hold_the_exact_answer(name: str, regime: str) -> None:
    for k, dtype in enumerate(FORMATS):
        for c in (1, 2, 3, 10):
            case = question(name, REGIMES[regime], dtype, c, rows=6)
            direction = DIRECTIONS[sorted(DIRECTIONS)[(k + c) % 5]](np.random.default_rng(c), case.prediction.shape)
            compare(case.replace(direction=direction))
