"""Sums without error, and distances in ULP, against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from drawn_floats import equal, floats64
from hypothesis import given, settings
from hypothesis import strategies as st
from rationals import spacing

from lossconform.reference.formats import FORMATS, distance, neighbours, round_to, two_sum

INF = math.inf
MOST = FORMATS["float64"].finite_max
repeatable = settings(derandomize=True, deadline=None, database=None, max_examples=500)


@repeatable
@given(floats64(), floats64())
def test_two_sum_is_exact(a: float, b: float) -> None:
    s, e = two_sum(a / 4, b / 4)
    assert Fraction(s) + Fraction(e) == Fraction(a / 4) + Fraction(b / 4)
    assert s == a / 4 + b / 4


@pytest.mark.parametrize("name", sorted(FORMATS))
class TestDistance:
    """Distance is total, signed, and in the spacing at the exact number."""

    def test_of_special_values(self, name: str) -> None:
        fmt = FORMATS[name]
        for a, h, wanted in (
            (math.nan, math.nan, 0.0),
            (INF, INF, 0.0),
            (-INF, -INF, 0.0),
            (0.0, -0.0, 0.0),
            (-0.0, 0.0, 0.0),
            (math.nan, 1.0, INF),
            (1.0, math.nan, INF),
            (math.nan, INF, INF),
            (INF, math.nan, INF),
        ):
            assert distance(a, h, 0.0, fmt) == wanted

    def test_overflow_counts_as_the_next_power_of_two(self, name: str) -> None:
        fmt = FORMATS[name]
        top = fmt.finite_max
        assert distance(INF, top, 0.0, fmt) == 1
        assert distance(-INF, -top, 0.0, fmt) == -1
        assert distance(top, INF, 0.0, fmt) == -1
        assert distance(-top, INF, 0.0, fmt) == -(2.0 ** (fmt.precision + 1) - 1)

    def test_of_numbers_beyond_the_format(self, name: str) -> None:
        fmt = FORMATS[name]
        if name != "float64":
            for beyond in (2.0 ** (fmt.max_exponent + 1), 2.0 ** (fmt.max_exponent + 5) * 1.25):
                assert distance(INF, beyond, 0.0, fmt) == 0
                assert distance(-INF, -beyond, -1e-9, fmt) == 0
                assert distance(fmt.finite_max, beyond, 0.0, fmt) == -1

    def test_below_the_smallest_normal_number_the_spacing_is_the_subnormal_one(self, name: str) -> None:
        fmt = FORMATS[name]
        assert distance(3 * fmt.smallest, fmt.smallest, 0.0, fmt) == 2
        assert distance(0.0, fmt.tiny, 0.0, fmt) == -(2.0 ** (fmt.precision - 1))
        assert distance(0.0, 0.0, fmt.smallest if name == "float64" else fmt.smallest / 4, fmt) < 0

    def test_neighbours_are_one_apart(self, name: str) -> None:
        fmt = FORMATS[name]
        x = round_to(np.array([1.0, 1.5, 3.0, 0.1, -7.0, fmt.tiny, fmt.smallest, fmt.finite_max / 2]), fmt)
        down, up = neighbours(x, fmt)
        assert np.all((distance(up, x, 0.0, fmt) == 1) | (x < 0))
        power = np.frexp(np.abs(x))[0] == 0.5
        normal_power = power & (np.abs(x) > fmt.tiny)
        equal(distance(down, x, 0.0, fmt), np.where(normal_power, -0.5, -1.0))

    def test_sees_the_low_part(self, name: str) -> None:
        fmt = FORMATS[name]
        assert distance(1.0, 1.0, 2.0**-60, fmt) == -(2.0 ** (fmt.precision - 1 - 60))
        assert distance(1.0, 1.0, -(2.0**-60), fmt) == 2.0 ** (fmt.precision - 1 - 60)
        big = 2.0**fmt.max_exponent
        assert distance(big, big, big * 2.0**-60, fmt) == -(2.0 ** (fmt.precision - 1 - 60))

    def test_from_infinity_to_a_number(self, name: str) -> None:
        for side in (1, -1):
            assert distance(0.0, side * INF, 0.0, FORMATS[name]) == -side * 2.0 ** FORMATS[name].precision

    def test_of_an_overflow_to_the_smallest_numbers(self, name: str) -> None:
        fmt = FORMATS[name]
        for h in (0.0, fmt.smallest, -fmt.smallest, fmt.tiny):
            wanted = (Fraction(2) ** (fmt.max_exponent + 1) - Fraction(h)) / Fraction(fmt.smallest)
            for side in (1, -1):
                exact = side * (float(wanted) if name != "float64" else INF)
                assert distance(side * INF, side * h, 0.0, fmt) == pytest.approx(exact, rel=1e-15)


@repeatable
@given(
    floats64(),
    floats64(),
    st.one_of(st.none(), st.integers(-3, 3)),
    st.sampled_from([0.0, 0.5, -0.5, 0.25, -0.3, 2.0**-40]),
)
def test_distance_as_fractions_do(far: float, h: float, steps: int | None, part: float) -> None:
    low, answer = math.ulp(h) * part, far if steps is None else h
    for _ in range(abs(steps or 0)):
        answer = math.nextafter(answer, math.copysign(INF, steps or 0))
    for fmt in FORMATS.values():
        beyond = Fraction(2) ** (fmt.max_exponent + 1)
        a, t = (min(max(Fraction(min(max(v, -MOST), MOST)), -beyond), beyond) for v in (answer, h))
        exact = (a - t - (Fraction(low) if abs(t) < beyond else 0)) / spacing(Fraction(h), fmt)
        got = float(distance(answer, h, low, fmt))
        if math.isinf(got):
            assert abs(exact) > Fraction(2) ** 1023
            assert (got > 0) is (exact > 0)
        else:
            assert abs(Fraction(got) - exact) <= abs(exact) / 2**50
        assert float(distance(-answer, -h, -low, fmt)) == -got
