"""Numbers with running error bounds hold what they stand for."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx

from lossconform.reference.real import rational
from lossconform.reference.running import Double, Single


class TestRunning:
    """Sums, products, quotients and folds of numbers with errors, against rationals."""

    @pytest.mark.parametrize("kind", [Single, Double])
    @pytest.mark.parametrize("spread", [0, 3, 30])
    def test_against_rationals(self, kind: type[Any], spread: int) -> None:
        g = np.random.default_rng(spread)

        def drawn() -> tuple[Any, list[Fraction]]:
            a, b, c = (g.normal(0, 1, (8, 5)) * 10.0 ** g.integers(-spread, spread + 1, (8, 5)) for _ in range(3))
            c = np.where(g.random(c.shape) < 0.2, 0.0, c)
            exact = [Fraction(p) - Fraction(q) for p, q in zip(a.ravel(), b.ravel(), strict=True)]
            number = kind.difference(a, b) * kind.exact(c)
            return number, [e * Fraction(v) for e, v in zip(exact, c.ravel(), strict=True)]

        for _ in range(20):
            (x, p), (y, q) = drawn(), drawn()
            inside(x + y, [a + b for a, b in zip(p, q, strict=True)])
            inside(x - y, [a - b for a, b in zip(p, q, strict=True)])
            inside(x * y, [a * b for a, b in zip(p, q, strict=True)])
            inside(x.folded(), [sum(p[k : k + 5], Fraction(0)) for k in range(0, 40, 5)])
            squares = x * x
            inside(squares.folded(), [sum((a * a for a in p[k : k + 5]), Fraction(0)) for k in range(0, 40, 5)])
            ones = kind.exact(np.ones((8, 5)))
            inside(x.over(y * y + ones), [a / (b * b + 1) for a, b in zip(p, q, strict=True)])

    @pytest.mark.parametrize("kind", [Single, Double])
    @pytest.mark.parametrize("function", ["exp", "log", "log1p"])
    @pytest.mark.parametrize("size", [-30, -3, 0, 2])
    def test_functions_against_arb(self, kind: type[Any], function: str, size: int) -> None:
        g = np.random.default_rng(size + 50)
        a = np.abs(g.normal(0, 1, (1, 60))) * 10.0**size
        rough = kind.difference(a, a * g.choice([0.25, 0.5, 1 - 1e-9], a.shape))
        for third in (kind.exact(np.ones_like(a)), kind.exact(np.ones_like(a)).over(kind.exact(np.full_like(a, 3.0)))):
            number = rough * third
            number = -number if function == "exp" else number
            found = getattr(number, function)()
            holds(found, number, function)

    @pytest.mark.parametrize("kind", [Single, Double])
    def test_exponentials_far_below_and_just_above_nothing(self, kind: type[Any]) -> None:
        x = np.array([[-1e300, -1e30, -800.0, -745.2, -709.5, -708.0, -690.5, 0.0]])
        third = kind.exact(np.ones_like(x)).over(kind.exact(np.full_like(x, 3.0)))
        for number in (kind.exact(x), kind.exact(x) * (third + third + third)):
            with np.errstate(over="ignore"):
                found = number.exp()
            assert np.isfinite(found.error).all()
            holds(found, number, "exp")
        one = kind.exact(np.zeros((1, 1))).exp()
        assert (one.h.item(), one.error.item()) == (1.0, 0.0)
        above = (third + third + third) - kind.exact(np.ones_like(x))  # 0 or a little more, which is taken for 0
        holds(above.exp(), type(above)(*(np.zeros_like(part) for part in vars(above).values())), "exp")

    @pytest.mark.parametrize("kind", [Single, Double])
    def test_functions_of_exact_numbers_are_exact_where_the_result_is(self, kind: type[Any]) -> None:
        for found in (kind.exact(np.ones((1, 2))).log(), kind.exact(np.zeros((1, 2))).log1p()):
            assert not found.h.any()
            assert not found.error.any()

    @pytest.mark.parametrize("kind", [Single, Double])
    def test_a_logarithm_of_what_may_be_zero_has_no_bound(self, kind: type[Any]) -> None:
        with np.errstate(all="ignore"):
            for number in (kind.exact(np.zeros((1, 1))), kind.exact(np.full((1, 1), -1.0))):
                assert np.isnan(number.log().enclosure().h).all()

    @pytest.mark.parametrize("kind", [Single, Double])
    @pytest.mark.parametrize("q", [Fraction(0), Fraction(1), Fraction(1, 3), Fraction(2, 10**9), Fraction(3, 1 << 90)])
    def test_rationals(self, kind: type[Any], q: Fraction) -> None:
        number = kind.rational(q)
        inside(number, [q])
        stands_for = sum((Fraction(part.item()) for name, part in vars(number).items() if name != "error"), Fraction(0))
        assert (number.error.item() == 0) == (stands_for == q)

    def test_pairs_know_what_is_exact(self) -> None:
        a, b = Double.exact(np.array([[0.1, 3.0, 1e-200]])), Double.exact(np.array([[0.7, 5.0, 1e-200]]))
        assert (a + b).error.tolist() == [[0, 0, 0]]
        product = (a * b).error[0]
        assert product[:2].tolist() == [0, 0]
        assert product[2] > 0
        assert ((a + b) * b).error[0, 0] > 0

    @pytest.mark.parametrize("kind", [Single, Double])
    def test_what_is_exactly_zero_stays_so(self, kind: type[Any]) -> None:
        rough = kind.exact(np.full((1, 2), 1 / 3)).over(kind.exact(np.full((1, 2), 3.0)))
        none = kind.difference(np.full((1, 2), 0.1), np.full((1, 2), 0.1))
        for number in (none, none * rough, none + none, none.folded(), rough.zero_where(np.full((1, 2), True))):
            assert not number.h.any()
            assert not number.error.any()

    @pytest.mark.parametrize("kind", [Single, Double])
    def test_a_divisor_that_may_be_zero_gives_no_bound(self, kind: type[Any]) -> None:
        small = kind.exact(np.full((1, 1), 1e-200))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = kind.exact(np.ones((1, 1))).over(small * small).enclosure()
        assert np.isnan(found.h).all()


def inside(number: Any, exact: list[Fraction]) -> None:
    """Assert that exact numbers lie in an enclosure, and that it is narrow beside the largest of them."""
    found = number.enclosure()
    size = max(map(abs, exact))
    for h, lo, hi, e in zip(found.h.ravel(), found.lo.ravel(), found.hi.ravel(), exact, strict=True):
        assert Fraction(h) + Fraction(lo) <= e <= Fraction(h) + Fraction(hi)
        assert Fraction(hi) - Fraction(lo) <= size * Fraction(2) ** (-45 if isinstance(number, Single) else -94)


def holds(found: Any, number: Any, function: str) -> None:
    """Assert that the function of whatever lies within a number's error lies within that of what was found."""
    before, ctx.prec = ctx.prec, 300
    try:
        for k in range(number.h.size):
            parts = {name: float(part.ravel()[k]) for name, part in vars(number).items()}
            middle = arb(rational(parts["h"])) + arb(rational(parts.get("low", 0.0)))
            for end in (middle - arb(rational(parts["error"])), middle + arb(rational(parts["error"]))):
                wanted = getattr(end, function)()
                its = {name: rational(float(part.ravel()[k])) for name, part in vars(found).items()}
                away = abs(wanted - arb(its["h"]) - arb(its.get("low", its["h"] - its["h"])))
                assert away <= arb(its["error"]) * (1 + arb(2) ** -40), (function, parts, its)
    finally:
        ctx.prec = before
