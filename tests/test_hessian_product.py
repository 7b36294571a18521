"""Hessian-vector products: the exact tier against the second evaluation, and what is exact of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from containment import OTHERS, QUESTIONS, REGIMES, WORST, disagree, question, strays, undecided, worst_numpy
from drawn import questions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from independent import second
from mpmath import mp, mpf
from test_independent import LARGE, MANY, WANTED, hold

from lossconform.cut import take_classes, take_rows
from lossconform.reference import fast_binary, fast_sums, float_hessian, running, tiers
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case, Form, Loss, TargetForm, rows
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import evaluate
from lossconform.reference.float_arithmetic import DOUBLE_DOUBLE, FAST, Arithmetic
from lossconform.reference.formats import FORMATS
from lossconform.reference.losses import FAMILIES, HESSIANS
from lossconform.reference.policy import Policy
from lossconform.reference.serial import case_from_json, case_to_json

CE = Loss.SOFTMAX_CROSS_ENTROPY

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


@pytest.mark.parametrize(("loss", "form"), sorted(HESSIANS), ids=str)
def test_small_cases_with_every_option(loss: Loss, form: Form) -> None:
    @settings(derandomize=True, deadline=None, database=None, max_examples=100, suppress_health_check=list(HealthCheck))
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


def held(case: Case, tier: Arithmetic[Any], policy: Policy | None = None) -> Enclosure:
    """Assert that a tier's bounds hold the exact ones and round like them on the rows that it covers; return those."""
    policy = policy or Policy()
    exact = product(case, policy)
    found = float_hessian.evaluate(canonical(case, policy), tier)
    if found is not None:
        whole = Enclosure(*(rows(case, part) for part in (exact.h, exact.lo, exact.hi)))
        at = found.covered
        mine, its = (Enclosure(p.h[at], p.lo[at], p.hi[at]) for p in (found.value, whole))
        assert not strays(mine, its).any()
        assert not disagree(mine, its, case.format).any()
    return exact


def compare(case: Case, policy: Policy | None = None) -> None:
    """Assert that each tier's bounds hold the exact ones, and that what all of them give is decided."""
    held(case, FAST, policy)
    exact = held(case, DOUBLE_DOUBLE, policy)
    both = tiers.evaluate(case, policy, gradient=False).hessian_product
    assert both is not None
    assert not strays(both, exact).any()
    assert not (undecided(both, case.format) & ~undecided(exact, case.format)).any()


@pytest.mark.parametrize(("loss", "form"), sorted(HESSIANS), ids=str)
def test_the_tiers_with_any_options(loss: Loss, form: Form) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(questions(loss, form), st.sampled_from(sorted(DIRECTIONS)), st.integers(0, 2**32 - 1))
    def run(question: tuple[Case, Policy], name: str, seed: int) -> None:
        case, policy = question
        direction = DIRECTIONS[name](np.random.default_rng(seed), case.prediction.shape)
        compare(case.replace(direction=direction), policy)

    run()


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", [*QUESTIONS, *OTHERS])
def test_the_tiers_hold_the_exact_answer(name: str, regime: str) -> None:
    for k, dtype in enumerate(FORMATS):
        for c in (1, 2, 3, 10):
            case = question(name, REGIMES[regime], dtype, c, rows=6)
            direction = DIRECTIONS[sorted(DIRECTIONS)[(k + c) % 5]](np.random.default_rng(c), case.prediction.shape)
            compare(case.replace(direction=direction))


class TestWorstLibm:
    """exp, log and log1p wrong by what the assumption allows, and subnormals flushed: the bounds must still hold."""

    @pytest.fixture(params=WORST, autouse=True)
    def _libm(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (fast_sums, fast_binary, running):
            monkeypatch.setattr(module, "np", worst_numpy(request.param))

    @pytest.mark.parametrize("name", ["index", "softmax", "log-softmax", "soft", "log-sigmoid", "binary"])
    def test_they_still_hold_the_exact_answer(self, name: str) -> None:
        for regime in ("moderate", "confident correct", "confident wrong", "near ties", "large offset"):
            for dtype, c in (("float32", 2), ("float64", 2), ("float64", 10), ("bfloat16", 3)):
                case = question(name, REGIMES[regime], dtype, c, seed=1)
                for seed, draw in enumerate(DIRECTIONS.values()):
                    direction = draw(np.random.default_rng(seed), case.prediction.shape)
                    held(case.replace(direction=direction), FAST)

    def test_exponentials_just_above_powers_of_two(self) -> None:
        # There 3 ULP are nearly 6u, and with d = x - m rounded by half its spacing the bound is nearly reached.
        x = np.array([[0.0, -k * np.log(2.0) * (1 - 1e-13)] for k in (1, 2, 30, 600, 1000)])
        case = Case(loss=Loss.LOG_SUM_EXP, prediction=x, direction=np.array([[1.0, 0.0]] * len(x)))
        held(case, FAST)
        held(case.replace(loss=Loss.LOG_SIGMOID), FAST)


class TestExactZeros:
    """0 where it is a theorem, and only there."""

    def test_a_class_whose_direction_is_the_mean_of_ties(self) -> None:
        # Logits 0, 0 and 5: of v = 1, 3, 2 the third is the mean of the first two, and of itself.
        case = Case(
            loss=Loss.LOG_SUM_EXP, prediction=np.array([[0.0, 0.0, 5.0]]), direction=np.array([[1.0, 3.0, 2.0]])
        )
        found = product(case)
        assert (found.h[0, 2], found.lo[0, 2], found.hi[0, 2]) == (0, 0, 0)
        assert np.all(found.lo[0, :2] < found.hi[0, :2])

    def test_a_mean_that_is_only_nearly_there(self) -> None:
        logits = np.array([[0.0, 2.0**-52, 5.0]])
        case = Case(loss=Loss.LOG_SUM_EXP, prediction=logits, direction=np.array([[1.0, 3.0, 2.0]]))
        found = product(case)
        assert 0 < abs(found.h[0, 2]) < 1e-15
        assert found.h[0, 2] + found.hi[0, 2] < 0

    def test_what_takes_more_bits_than_the_first_try_to_tell_from_zero(self) -> None:
        near = 2.0**-300
        mean = Case(loss=Loss.LOG_SUM_EXP, prediction=np.array([[0.0, near, 5.0]]))
        found = product(mean.replace(direction=np.array([[1.0, 3.0, 2.0]])))
        assert -near < found.h[0, 2] + found.hi[0, 2] < 0
        # At the first class 2 A B, where A is exp(0) - exp(near) over S; neither end of the row has a part in it.
        x, v, c = [5.0, 0.0, near, 1.0, -5.0], [0.0, 1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]
        found = product(
            Case(loss=Loss.SOFTMAX, prediction=np.array([x]), direction=np.array([v]), cotangent=np.array([c]))
        )
        assert -near < found.h[0, 0] + found.hi[0, 0] < 0

    def test_a_softmax_whose_second_derivative_cancels(self) -> None:
        # Two classes: p'' = p (1 - p) (1 - 2 p), which is 0 at ties.
        case = Case(loss=Loss.SOFTMAX, prediction=np.array([[0.3, 0.3]]), direction=np.array([[1.0, 0.0]]))
        found = product(case.replace(cotangent=np.array([[1.0, 0.0]])))
        assert [part.tolist() for part in (found.h, found.lo, found.hi)] == [[[0, 0]]] * 3

    def test_a_softmax_in_which_groups_of_ties_cancel(self) -> None:
        # Each of two groups holds a and -a with the same factor, so that all of v is 0 in the mean, and the last stands
        # still: p_j (0 - 0) - cov(v, c), and c is constant in each group.
        x, v, c = [0.0, 0.0, 1.0, 1.0, 2.0], [1.0, -1.0, 2.0, -2.0, 0.0], [1.0, 1.0, 3.0, 3.0, 0.0]
        case = Case(loss=Loss.SOFTMAX, prediction=np.array([x]), direction=np.array([v]), cotangent=np.array([c]))
        found = product(case)
        assert (found.h[0, 4], found.lo[0, 4], found.hi[0, 4]) == (0, 0, 0)
        assert np.all(found.h[0, :4] != 0)


class TestCounts:
    """Which tier decided what."""

    def test_the_cheapest(self) -> None:
        g = np.random.default_rng(0)
        x, v = g.normal(0, 3, (50, 7)), g.normal(0, 1, (50, 7))
        for dtype, tier in (("float32", "fast"), ("float64", "double-double")):
            case = Case(loss=Loss.LOG_SUM_EXP, prediction=x.astype(dtype), direction=v)
            assert tiers.examine(case)[1].products == {tier: 50}

    def test_row_by_row(self) -> None:
        x = np.array([[1.0, 2.0], [np.nan, 0.0], [0.0, np.inf], [3.0, 1.0]], np.float32)
        counts = tiers.examine(Case(loss=Loss.SOFTMAX, prediction=x, direction=np.ones_like(x)))[1]
        assert counts.products == {"fast": 2, "exact": 2}
        assert tiers.examine(Case(loss=Loss.SOFTMAX, prediction=x))[1].products == {}

    def test_nothing_need_be_decided(self) -> None:
        case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.eye(3), direction=np.eye(3))
        found, counts = tiers.examine(case, decide="nothing")
        assert counts.products == {"fast": 3}
        assert found.hessian_product is not None
        assert not strays(found.hessian_product, product(case)).any()


def test_cutting_and_writing_keep_the_direction() -> None:
    x = np.arange(6.0).reshape(2, 3)
    case = Case(loss=Loss.LOG_SUM_EXP, prediction=x, direction=-x)
    rows_kept, classes_kept = take_rows(case, [1]).direction, take_classes(case, [0, 2])
    assert rows_kept is not None
    assert rows_kept.tolist() == [[-3, -4, -5]]
    assert classes_kept is not None
    assert classes_kept.direction is not None
    assert classes_kept.direction.tolist() == [[0, -2], [-3, -5]]
    again = case_from_json(case_to_json(case)).direction
    assert again is not None
    assert again.tolist() == (-x).tolist()


@pytest.mark.parametrize(("loss", "form"), [(Loss.LOG_SUM_EXP, Form.LOGITS), (CE, Form.LOG_PROBABILITIES)], ids=str)
def test_a_cotangent_of_the_wrong_shape_is_refused(loss: Loss, form: Form) -> None:
    target = {"target": np.array([0]), "target_form": TargetForm.INDEX} if loss is CE else {}
    x = np.zeros((1, 2))
    case = Case(loss=loss, form=form, prediction=x, cotangent=np.ones(3), direction=x, **target)  # type: ignore[arg-type]
    for ask in (evaluate, tiers.evaluate):
        with pytest.raises(ValueError, match="cotangent: shape"):
            ask(case, gradient=False)
