"""The fast tier: its enclosures hold the exact tier's, in every regime, also with the worst libm it is proven for."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from containment import OTHERS, QUESTIONS, REGIMES, SIZES, WORST, disagree, question, strays, worst_numpy

from lossconform.reference import bounds, double_double_losses, fast, fast_binary, fast_sums, pairs, running, tiers
from lossconform.reference.bounds import Bounds
from lossconform.reference.canonical import Canonical, canonical
from lossconform.reference.case import Case, Loss, TargetForm
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import evaluate
from lossconform.reference.formats import FORMATS
from lossconform.reference.losses import FAMILIES
from lossconform.reference.policy import Policy
from lossconform.reference.selftest import selftest

CE = Loss.SOFTMAX_CROSS_ENTROPY
SMALL = ("float32", "bfloat16", "float16")


def in_rows(problem: Canonical, part: Enclosure, *, value: bool) -> Enclosure:
    """Return the exact tier's answer in rows; class axis 1 and two axes only."""
    n, c = problem.x.shape
    return part.reshape((n, problem.entries if value else c))


def check(case: Case, *bounds: Bounds | None) -> None:
    """Assert that tiers' bounds hold the exact ones on the rows that they cover, and round like them."""
    problem = canonical(case, Policy())
    exact = evaluate(case)
    for found in bounds:
        assert found is not None
        at = found.covered
        for mine, its, value in ((found.value, exact.value, True), (found.gradient, exact.gradient, False)):
            if mine is None or its is None:
                continue
            whole = in_rows(problem, its, value=value)
            a, b = (Enclosure(p.h[at], p.lo[at], p.hi[at]) for p in (mine, whole))
            assert not strays(a, b).any()
            assert not disagree(a, b, case.format).any()


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", [*QUESTIONS, *OTHERS])
def test_it_and_double_double_hold_the_exact_answer(name: str, regime: str) -> None:
    for dtype in (*SMALL, "float64"):
        for c in SIZES:
            case = question(name, REGIMES[regime], dtype, c)
            problem = canonical(case, Policy())
            found = [fast.evaluate(problem, careful=careful) for careful in (False, True)[: 1 + (name == "soft")]]
            if dtype in ("float64", "float32"):
                found.append(double_double_losses.evaluate(problem))
            check(case, *found)


@pytest.mark.parametrize("name", ["index", "soft", "log-sum-exp", "softmax"])
def test_it_covers_whatever_is_finite(name: str) -> None:
    for regime in REGIMES.values():
        if regime.id == "masked with -inf":
            continue
        found = fast.evaluate(canonical(question(name, regime, "float32", 10), Policy()))
        assert found is not None
        assert found.covered.all()


class TestWorstLibm:
    """exp, log and log1p wrong by what the assumption allows, and subnormals flushed: the proof must still hold."""

    @pytest.fixture(params=WORST, autouse=True)
    def _libm(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (fast_sums, fast_binary, running):
            monkeypatch.setattr(module, "np", worst_numpy(request.param))

    @pytest.mark.parametrize("name", [*(q for q in QUESTIONS if q not in {"weighted", "smoothed", "where"}), *OTHERS])
    def test_it_still_holds_the_exact_answer(self, name: str) -> None:
        for regime in ("moderate", "confident correct", "confident wrong", "near ties", "large offset"):
            for dtype, c in (("float32", 2), ("float64", 2), ("float64", 10), ("bfloat16", 3)):
                case = question(name, REGIMES[regime], dtype, c, seed=1)
                check(case, fast.evaluate(canonical(case, Policy())))

    @pytest.mark.parametrize("c", [2, 3, 10, 200])
    def test_exponentials_just_above_powers_of_two(self, c: int) -> None:
        # There 3 ULP are nearly 6u, and with d = x - m rounded by half its spacing the bound is nearly reached.
        rows = []
        for k in (1, 2, 30, 600, 1000):
            d = -k * math.log(2.0)
            row = np.full(c, d) * (1 - 1e-13)
            row[0] = 0.0
            rows += [row, row + 2.0**-30 * k]
        x = np.array(rows)
        for labels in (np.zeros(len(x), int), np.ones(len(x), int)):
            check_case = Case(loss=CE, prediction=x, target=labels, target_form=TargetForm.INDEX)
            check(check_case, fast.evaluate(canonical(check_case, Policy())))

    @pytest.mark.parametrize("c", [3, 200, 2000])
    def test_a_sum_of_exponentials_that_are_flushed(self, c: int) -> None:
        x = np.full((1, c), -708.5)
        x[0, 0] = 0.0
        case = Case(loss=CE, prediction=x, target=np.array([0]), target_form=TargetForm.INDEX)
        check(case, fast.evaluate(canonical(case, Policy())))


class TestRoundedDifference:
    """In float64 x - m is rounded: the bound |d| u is nearly reached where exp of the difference is all there is."""

    def test_two_classes_far_apart(self) -> None:
        g = np.random.default_rng(8)
        top = g.uniform(1e-3, 1, 400)
        x = np.stack([top, -np.round(g.uniform(1, 700, 400), 2)], axis=1)
        for labels in (np.zeros(400, int), np.ones(400, int)):
            case = Case(loss=CE, prediction=x, target=labels, target_form=TargetForm.INDEX)
            check(case, fast.evaluate(canonical(case, Policy())))


class TestMidpoints:
    """m - x_y at a rounding midpoint with a tail of any size: decided without the exact tier."""

    @pytest.mark.parametrize("gap", [30.0, 100.0, 700.0, 1e4, 1e30])
    def test_index(self, gap: float) -> None:
        x = np.array([[128.5, -128.5, -gap]])
        case = Case(loss=CE, prediction=x, target=np.array([1]), target_form=TargetForm.INDEX)
        found = fast.evaluate(canonical(case, Policy()), gradient=False)
        assert found is not None
        low, high = found.value.rounded(FORMATS["bfloat16"])
        assert float(low[0, 0]) == float(high[0, 0]) == 258.0

    @pytest.mark.parametrize("dtype", SMALL)
    def test_every_value_is_decided(self, dtype: str) -> None:
        for name in ("index", "one-hot", "soft", "log-sum-exp"):
            for regime in REGIMES.values():
                case = question(name, regime, dtype, 10, rows=300)
                finite = np.isfinite(evaluate(case, gradient=False).value.h) if name == "soft" else True
                left = tiers.examine(case, gradient=False)[1].rows.get("exact", 0)
                assert left == 0 or not np.all(finite), (name, regime.id)


def fraction(numbers: Any) -> Fraction:
    """Return the exact sum of numbers."""
    return sum(map(Fraction, numbers.tolist()), Fraction(0))


class TestSums:
    """Folding: every term goes through depth(n) additions."""

    @pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 31, 32, 33, 255, 1000, 2051])
    def test_fold(self, n: int) -> None:
        g = np.random.default_rng(n)
        x = np.exp(g.normal(0, 8, (50, n)))
        for order in ("C", "F"):
            found = pairs.fold(np.array(x, order=order))
            for row, s in zip(x, found, strict=True):
                exact = math.fsum(row)
                assert abs(s - exact) <= (pairs.depth(n) * bounds.U + bounds.U) * exact

    @pytest.mark.parametrize("n", [1, 2, 7, 100])
    def test_fold_pairs(self, n: int) -> None:
        g = np.random.default_rng(n)
        x = g.normal(0, 1, (50, n)) * 10.0 ** g.integers(-12, 13, (50, n))
        s, c, lost = pairs.fold_pairs(x)
        for row, a, b, bound in zip(x, s, c, lost, strict=True):
            rest = math.fsum([*row, -a, -b])
            assert abs(rest) <= bound
            assert bound <= 2.0**-90 * np.abs(row).sum()

    @pytest.mark.parametrize("n", [1, 2, 3, 40])
    @pytest.mark.parametrize("spread", [0, 5, 20, 60])
    def test_sums_and_means_of_enclosures(self, n: int, spread: int) -> None:
        g = np.random.default_rng([n, spread])
        h = g.normal(0, 1, (60, n)) * 10.0 ** g.uniform(-spread, spread, (60, n))
        lo = np.abs(h) * g.choice([0.0, -(2.0**-60), -(2.0**-104)], (60, n))
        hi = lo + np.abs(h) * g.choice([0.0, 2.0**-60, 2.0**-100], (60, n))
        whole = pairs.sum_of(h, lo, hi)
        for parts, by in ((whole, 1), (pairs.divided(*whole, 3), 3), (pairs.divided(*whole, 8), 8)):
            for k in range(60):
                least, most = (fraction(h[k]) + fraction(part[k]) for part in (lo, hi))
                at, low, high = (Fraction(part[k]) for part in parts)
                assert at + low <= least / by <= most / by <= at + high
                slack = (abs(least) + fraction(hi[k] - lo[k])) / 2**95 + fraction(np.abs(h[k])) / 2**100
                assert (high - low) * by - (most - least) <= slack

    def test_a_sum_without_loss_is_known_to_be_exact(self) -> None:
        s, c, lost = pairs.fold_pairs(np.array([[2.0**60, 1.0, 2.0**-40, 3.0]]))
        assert (s[0], c[0], lost[0]) == (2.0**60, 4 + 2.0**-40, 0.0)

    @pytest.mark.parametrize("seed", range(20))
    def test_a_product_is_exact(self, seed: int) -> None:
        g = np.random.default_rng(seed)
        a, b = g.normal(0, 1, (2, 50)) * 10.0 ** g.integers(-90, 90, (2, 50))
        p, e = pairs.product(a, b)
        for u, v, h, low in zip(a.tolist(), b.tolist(), p.tolist(), e.tolist(), strict=True):
            m, n = u.as_integer_ratio(), v.as_integer_ratio()
            k, q = h.as_integer_ratio(), low.as_integer_ratio()
            assert m[0] * n[0] * k[1] * q[1] == (k[0] * q[1] + q[0] * k[1]) * m[1] * n[1]


class TestEdges:
    """What is not covered is left alone, what is ignored is exactly 0."""

    def bounds_of(self, x: Any, **options: Any) -> Bounds:
        case = Case(loss=CE, prediction=np.array(x), target_form=TargetForm.INDEX, **options)
        found = fast.evaluate(canonical(case, Policy()))
        assert found is not None
        return found

    @pytest.mark.parametrize("row", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf], [-math.inf, 0.0]])
    def test_special_values_are_left_to_the_exact_tier(self, row: list[float]) -> None:
        found = self.bounds_of([row, [1.0, 2.0]], target=np.array([0, 0]))
        assert found.covered.tolist() == [False, True]

    def test_ignored_rows(self) -> None:
        found = self.bounds_of([[math.nan, 0.0], [1.0, 2.0]], target=np.array([-100, 0]), ignore_index=-100)
        assert found.covered.tolist() == [True, True]
        assert (found.value.h[0, 0], found.value.lo[0, 0], found.value.hi[0, 0]) == (0, 0, 0)

    def test_one_class_is_exactly_nothing(self) -> None:
        found = self.bounds_of([[3.7]], target=np.array([0]))
        assert (found.value.h[0, 0], found.value.lo[0, 0], found.value.hi[0, 0]) == (0, 0, 0)

    def test_weights_of_extreme_size_are_left_alone(self) -> None:
        found = self.bounds_of([[1.0, 2.0]] * 2, target=np.array([0, 0]), sample_weight=np.array([1e-300, 1.0]))
        assert found.covered.tolist() == [False, True]

    def test_it_knows_every_loss(self) -> None:
        assert set(fast.FAMILIES) == set(double_double_losses.FAMILIES) == set(FAMILIES)

    def test_no_rows(self) -> None:
        empty = Case(loss=Loss.LOG_SUM_EXP, prediction=np.zeros((0, 3)))
        assert fast.evaluate(canonical(empty, Policy())) is None


@pytest.mark.sweep
def test_fifty_thousand_classes() -> None:
    for regime in ("moderate", "spike and tail", "near ties"):
        case = question("index", REGIMES[regime], "float32", 50_000, rows=2)
        check(case, fast.evaluate(canonical(case, Policy())))


def test_blocks_do_not_change_the_answer() -> None:
    case = question("index", REGIMES["moderate"], "float32", 10, rows=12_000)
    problem = canonical(case, Policy())
    whole, some = fast.evaluate(problem), fast.evaluate(bounds.take(problem, np.arange(5000, 5010)))
    assert whole is not None
    assert some is not None
    np.testing.assert_array_equal(whole.value.h[5000:5010], some.value.h)
    assert whole.gradient is not None
    assert some.gradient is not None
    np.testing.assert_array_equal(whole.gradient.hi[5000:5010], some.gradient.hi)


@pytest.mark.parametrize("name", [*QUESTIONS, *OTHERS])
def test_arrays_that_blocks_use_again_keep_nothing(name: str) -> None:
    problem = canonical(question(name, REGIMES["moderate"], "float32", 1000, rows=70), Policy())
    for tier in (fast.evaluate, double_double_losses.evaluate):
        whole = tier(problem)
        assert whole is not None
        assert whole.gradient is not None
        for i in (0, 33, 69):
            alone = tier(bounds.take(problem, slice(i, i + 1)))
            assert alone is not None
            assert alone.gradient is not None
            np.testing.assert_allclose(whole.value.h[i], alone.value.h[0], rtol=1e-12)
            np.testing.assert_allclose(whole.gradient.h[i], alone.gradient.h[0], rtol=1e-12)


def test_this_machine_is_as_assumed() -> None:
    checks = selftest(300)
    assert [c.name for c in checks] == ["exp", "log", "log1p", "exp(0) = 1"]
    assert all(c.ok for c in checks), checks


def test_the_self_test_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossconform.reference import selftest as module

    bad = dict(module.FUNCTIONS)
    bad["exp"] = (lambda x: np.exp(x) * (1 + 2.0**-49), *bad["exp"][1:])
    monkeypatch.setattr(module, "FUNCTIONS", bad)
    assert [c.ok for c in module.selftest(100)] == [False, True, True, True]
