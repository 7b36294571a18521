"""Losses of probabilities under every policy of their range and sum, in both float64 tiers."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from containment import disagree, strays

from lossconform.adapters.contract import Contract
from lossconform.profiles import Profile
from lossconform.reference import double_double_losses, exact, fast, float_hessian, tiers
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.float_arithmetic import DOUBLE_DOUBLE, FAST
from lossconform.reference.policy import CHOICES, Policy
from lossconform.strategies.regimes import Regime, fill, regimes

CE, BCE, FOCAL = Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY, Loss.FOCAL
SMALL = ("float32", "bfloat16", "float16")

POLICIES = {
    CE: ("probability_range", "probability_sum", "zero_times_infinity"),
    BCE: ("probability_range", "zero_times_infinity"),
    FOCAL: ("probability_range", "focal_target", "focal_range"),
}
TARGETS = {
    CE: (TargetForm.INDEX, TargetForm.ONE_HOT, TargetForm.DISTRIBUTION),
    BCE: (TargetForm.BINARY,),
    FOCAL: (TargetForm.BINARY,),
}
ALL = [
    (loss, Policy(**dict(zip(names, values, strict=True))))
    for loss, names in POLICIES.items()
    for values in product(*(CHOICES[name] for name in names))
]


def named(value: Loss | Policy) -> str:
    """Return what a test is called after."""
    if isinstance(value, Loss):
        return str(value)
    default = Policy()
    return ", ".join(v for name, v in vars(value).items() if v != getattr(default, name)) or "default"


def cases(loss: Loss, policy: Policy, rows: int, dtypes: tuple[str, ...]) -> list[tuple[Regime, Case]]:
    """Return a packed case of each regime and target, the dtypes in turn; each policy starts with another one."""
    options = {"gamma"} if loss is FOCAL else set()
    contract = cast(Contract, SimpleNamespace(loss=loss, reductions=(Reduction.NONE,), options=options))
    profile = cast(Profile, SimpleNamespace(rows=rows, classes=10, many=40))
    places = product(regimes(contract, Form.PROBABILITIES), TARGETS[loss])
    return [
        (regime, fill(regime, contract, Form.PROBABILITIES, form, dtypes[turn % len(dtypes)], profile, 1, turn))
        for turn, (regime, form) in enumerate(places, ALL.index((loss, policy)))
    ]


def rows_of(part: Enclosure, n: int) -> Enclosure:
    """Return an enclosure with a row each."""
    return part.reshape((n, part.h.size // n))


@pytest.mark.parametrize(("loss", "policy"), ALL, ids=named)
def test_they_hold_the_exact_answer(loss: Loss, policy: Policy) -> None:
    for _, case in cases(loss, policy, 8, (*SMALL, "float64")):
        problem, wanted = canonical(case, policy), exact.evaluate(case, policy)
        n = problem.x.shape[0]
        for tier in (fast.evaluate, double_double_losses.evaluate):
            found: Any = tier(problem)
            for mine, its in ((found.value, wanted.value), (found.gradient, wanted.gradient)):
                assert its is not None
                whole, at = rows_of(its, n), found.covered
                a, b = (Enclosure(p.h[at], p.lo[at], p.hi[at]) for p in (mine, whole))
                assert not strays(a, b).any()
                assert not disagree(a, b, case.format).any()


@pytest.mark.parametrize(("loss", "policy"), ALL, ids=named)
def test_so_do_their_hessian_vector_products(loss: Loss, policy: Policy) -> None:
    g, covered = np.random.default_rng(4), 0
    for _, plain in cases(loss, policy, 8, (*SMALL, "float64")):
        case = plain.replace(direction=g.normal(0, 1, plain.prediction.shape).astype(plain.prediction.dtype))
        problem = canonical(case, policy)
        wanted = exact.hessian_product(problem)
        for tier in (FAST, DOUBLE_DOUBLE):
            found = float_hessian.evaluate(problem, tier)
            assert found is not None
            at = found.covered
            a, b = (Enclosure(p.h[at], p.lo[at], p.hi[at]) for p in (found.value, wanted))
            assert not strays(a, b).any()
            assert not disagree(a, b, case.format).any()
            covered += int(at.sum())
    assert covered > 40


@pytest.mark.parametrize(("loss", "policy"), ALL, ids=named)
def test_small_formats_leave_no_finite_loss(loss: Loss, policy: Policy) -> None:
    for regime, case in cases(loss, policy, 150, SMALL):
        found, counts = tiers.examine(case, policy, gradient=False)
        value = rows_of(found.value, case.prediction.shape[0]).h
        # What is 0 times an infinite logarithm is the exact tier's.
        endless = policy.probability_range in ("as_given", "clipped_in_dtype")
        ends = (case.prediction == 0) | (case.prediction == 1)
        odd = (~np.isfinite(value) | (ends if endless else np.zeros(ends.shape, bool))).any(axis=1)
        assert counts.rows.get("exact", 0) <= odd.sum(), (regime.id, case.dtype)


def test_a_row_that_is_nearly_certain_is_beside_a_midpoint() -> None:
    # log1p(r) of r = 257 * 2^-80 is below r, which is halfway between two numbers of bfloat16; so is its half.
    x = np.zeros((1, 3), "bfloat16")
    x[0] = [1, 2.0**-72, 2.0**-80]
    case = Case(loss=CE, form=Form.PROBABILITIES, prediction=x, target=np.array([0]), target_form=TargetForm.INDEX)
    policy = Policy(probability_sum="renormalised")
    found, counts = tiers.examine(case, policy, gradient=False)
    assert counts.rows == {"double-double": 1}
    assert float(found.value.rounded(case.format)[0][0]) == 2.0**-72
    assert float(exact.evaluate(case, policy).value.rounded(case.format)[0][0]) == 2.0**-72


@pytest.mark.parametrize("gamma", [0.125, 0.5, 2.0])
def test_a_target_next_to_a_half_has_no_factor_at_the_ends(gamma: float) -> None:
    # Read as a logit the factor is 0 or 1 there, however little the target leans.
    t = 0.5 + np.array([[2.0**-40, -(2.0**-40), 2.0**-52, -(2.0**-53), 0.0]])
    case = Case(
        loss=FOCAL,
        form=Form.PROBABILITIES,
        prediction=np.concatenate([np.ones_like(t), np.zeros_like(t)]),
        target=np.concatenate([t, t]),
        target_form=TargetForm.BINARY,
        gamma=gamma,
    )
    policy = Policy(probability_range="log_clamped", focal_target="logit")
    wanted = exact.evaluate(case, policy, gradient=False).value
    for tier in (fast.evaluate, double_double_losses.evaluate):
        found: Any = tier(canonical(case, policy), gradient=False)
        assert not strays(found.value, wanted)[found.covered].any()
    assert found.covered.all()
