"""Numbers with running error bounds hold what they stand for."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

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
            ones = kind.exact(np.ones((8, 5)))
            inside(x.over(y * y + ones), [a / (b * b + 1) for a, b in zip(p, q, strict=True)])

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
