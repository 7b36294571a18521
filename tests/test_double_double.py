"""Double-double: the arithmetic against Arb, and what the tier decides; its enclosures are asked in `test_fast`."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from containment import REGIMES, question, undecided
from flint import arb, ctx

from lossconform.reference import double_double as dd
from lossconform.reference import double_double_losses
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Array, Case, Loss, Reduction, TargetForm
from lossconform.reference.exact import evaluate
from lossconform.reference.formats import FORMATS, Float64
from lossconform.reference.policy import Policy
from lossconform.reference.real import rational

CE = Loss.SOFTMAX_CROSS_ENTROPY


def relative(high: Float64, low: Float64, function: str, x: Float64, x_low: Float64) -> Float64:
    """Return the relative errors of pairs, as bounds that Arb proves."""
    before, ctx.prec = ctx.prec, 256
    try:
        errors = []
        for h, e, a, b in zip(high.tolist(), low.tolist(), x.tolist(), x_low.tolist(), strict=True):
            wanted = getattr(arb(rational(a)) + arb(rational(b)), function)()
            errors.append(float(abs((arb(rational(h)) + arb(rational(e))) / wanted - 1).upper()))
    finally:
        ctx.prec = before
    return np.array(errors)


def lows(g: np.random.Generator, x: Array) -> Float64:
    """Return second parts of pairs, some 0, some half a spacing."""
    return np.asarray(np.spacing(x) * g.choice([0.0, 0.5, -0.5, 0.3, -0.01], x.shape) * (x != 0))


class TestFunctions:
    """exp and log1p are within their bounds everywhere that they are used."""

    STEP = math.log(2.0) / dd.STEPS

    @pytest.mark.parametrize("kind", ["wide", "moderate", "small", "at the edges of cells", "in their middle"])
    def test_exp(self, kind: str) -> None:
        g = np.random.default_rng(2)
        samples: dict[str, Callable[[], Any]] = {
            "wide": lambda: g.uniform(0, 630, 1500),
            "moderate": lambda: g.exponential(4, 1500),
            "small": lambda: 10.0 ** g.uniform(-300, -3, 1500),
            "at the edges of cells": lambda: (g.integers(0, 40_000, 1500) + 0.5) * self.STEP,
            "in their middle": lambda: g.integers(0, 40_000, 1500) * self.STEP,
        }
        x = -np.abs(samples[kind]())
        low = lows(g, x)
        high, rest = dd.exp(x.copy(), low.copy())
        assert relative(high, rest, "exp", x, low).max() <= dd.EXP
        assert np.all(np.abs(rest) <= np.spacing(high))

    def test_exp_of_nothing_is_one(self) -> None:
        high, low = dd.exp(np.zeros(3), np.zeros(3))
        assert high.tolist() == [1, 1, 1]
        assert low.tolist() == [0, 0, 0]

    def test_exp_ends_before_it_underflows(self) -> None:
        x = np.array([-1e300, -np.inf, -745.0, dd.LEAST])
        high, low = dd.exp(x, np.zeros(4))
        assert np.all((high >= 0) & (high + np.abs(low) <= dd.FLOOR / 16))

    @pytest.mark.parametrize("kind", ["all", "probabilities", "just below one", "just above one"])
    def test_log(self, kind: str) -> None:
        g = np.random.default_rng(5)
        samples: dict[str, Callable[[], Any]] = {
            "all": lambda: 10.0 ** g.uniform(-250, 250, 1500),
            "probabilities": lambda: g.uniform(0, 1, 1500),
            "just below one": lambda: 1 - 10.0 ** g.uniform(-16, -2, 1500),
            "just above one": lambda: 1 + 10.0 ** g.uniform(-16, -2, 1500),
        }
        x = samples[kind]()
        low = np.where(x == 1, 0.0, lows(g, x))
        high, rest = dd.log(x, low)
        at = x != 1
        assert relative(high[at], rest[at], "log", x[at], low[at]).max() <= dd.LOG1P
        assert not high[~at].any()

    @pytest.mark.parametrize("kind", ["all", "moderate", "tiny", "where the table begins", "near ties of cells"])
    def test_log1p(self, kind: str) -> None:
        g = np.random.default_rng(4)
        samples: dict[str, Callable[[], Any]] = {
            "all": lambda: 10.0 ** g.uniform(-15, 125, 1500),
            "moderate": lambda: g.uniform(0, 6, 1500),
            "tiny": lambda: 10.0 ** g.uniform(-280, -10, 1500),
            "where the table begins": lambda: 2.0**-11 * g.uniform(0.99, 2.01, 1500),
            "near ties of cells": lambda: np.abs((g.integers(1, 1536, 1500) + 0.5) / 1024 + g.normal(0, 1e-12, 1500)),
        }
        x = samples[kind]()
        low = lows(g, x)
        high, rest = dd.log1p(x, low)
        assert relative(high, rest, "log1p", x, low).max() <= dd.LOG1P

    def test_log1p_of_nothing_is_nothing(self) -> None:
        high, low = dd.log1p(np.zeros(2), np.zeros(2))
        assert high.tolist() == low.tolist() == [0, 0]


class TestArithmetic:
    """Products, quotients and sums of pairs, against rationals."""

    @pytest.mark.parametrize("name", ["times", "over", "plus"])
    def test_it_is_within_its_bound(self, name: str) -> None:
        g = np.random.default_rng(6)
        a, c = g.uniform(0.5, 4, (2, 400)) * 10.0 ** g.integers(-30, 30, (2, 400))
        b, d = lows(g, a), lows(g, c)
        high, low = getattr(dd, name)((a, b), (c, d))
        for k in range(400):
            x, y = Fraction(a[k]) + Fraction(b[k]), Fraction(c[k]) + Fraction(d[k])
            wanted = {"times": x * y, "over": x / y, "plus": x + y}[name]
            error = abs((Fraction(high[k]) + Fraction(low[k])) / wanted - 1)
            assert error <= Fraction(dd.ROUND)

    @pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
    def test_fold(self, n: int) -> None:
        g = np.random.default_rng(n)
        x = np.exp(g.normal(0, 6, (20, n)))
        low = lows(g, x)
        high, rest = dd.fold(x.copy(), low.copy())
        bound = Fraction((n.bit_length() + 3) ** 2) / 2**106
        for k in range(20):
            exact = sum(map(Fraction, x[k].tolist())) + sum(map(Fraction, low[k].tolist()))
            assert abs((Fraction(high[k]) + Fraction(rest[k])) / exact - 1) <= bound

    def test_a_rational_as_a_pair(self) -> None:
        for q in (Fraction(1, 3), Fraction(1, 10**12), Fraction(7)):
            high, low = dd.pair_of(q)
            assert abs((Fraction(high) + Fraction(low)) / q - 1) <= Fraction(1, 2**106)


@pytest.mark.parametrize("name", ["index", "smoothed", "weighted", "log-sum-exp", "log-softmax"])
def test_it_decides_float64(name: str) -> None:
    for regime in ("moderate", "large offset", "ties", "near ties", "subnormal", "spike and tail"):
        case = question(name, REGIMES[regime], "float64", 10, rows=50)
        found = double_double_losses.evaluate(canonical(case, Policy()), gradient=False)
        assert found is not None
        mine = found.value.h[found.covered], found.value.lo[found.covered], found.value.hi[found.covered]
        low, high = type(found.value)(*mine).rounded(FORMATS["float64"])
        # What is exactly 0 is not told from what is nearly.
        assert np.all((low == high) | (np.abs(mine[0]) < 1e-290)), regime


def test_a_float64_midpoint() -> None:
    x = np.array([[2.0**53, -1.0]])
    case = Case(loss=CE, prediction=x, target=np.array([1]), target_form=TargetForm.INDEX)
    found = double_double_losses.evaluate(canonical(case, Policy()), gradient=False)
    assert found is not None
    low, high = found.value.rounded(FORMATS["float64"])
    assert float(low[0, 0]) == float(high[0, 0]) == 2.0**53 + 2


def test_scaled_gradients() -> None:
    for name in ("index", "soft", "log-sum-exp"):
        case = question(name, REGIMES["moderate"], "float64", 3).replace(reduction=Reduction.MEAN, cotangent=None)
        check_mean(case)


def check_mean(case: Case) -> None:
    """Assert that the slopes of a mean are held and decided."""
    found = double_double_losses.evaluate(canonical(case, Policy()))
    exact = evaluate(case)
    assert found is not None
    assert found.gradient is not None
    assert exact.gradient is not None
    assert not undecided(found.gradient, case.format)[found.covered].any()
    np.testing.assert_array_equal(
        found.gradient.rounded(case.format)[0][found.covered], exact.gradient.rounded(case.format)[0][found.covered]
    )
