"""Rounding, neighbours and distances against tables of every number of a format, and against fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossconform.reference.formats import (
    FORMATS,
    QUANTISED,
    Format,
    distance,
    dtype_of,
    format_of,
    neighbours,
    round_sum,
    round_to,
    two_sum,
    ulp,
)

EVERY = {**FORMATS, **QUANTISED}
DTYPES: dict[str, Any] = {
    "bfloat16": ml_dtypes.bfloat16,
    "float16": np.float16,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
}
"""The formats that have a table: every number, from its bits. Widening them to float64 rounds nothing."""

INF = math.inf
repeatable = settings(derandomize=True, deadline=None, database=None, max_examples=500)


def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the finite numbers >= 0 of a format in order, and whether the last bit of each is 0."""
    bits = np.dtype(DTYPES[name]).itemsize * 8
    patterns = np.arange(2 ** (bits - 1), dtype=f"uint{bits}")
    with np.errstate(invalid="ignore"):  # NaN
        values = patterns.view(DTYPES[name]).astype(np.float64)
    finite = np.isfinite(values)
    assert np.all(np.diff(values[finite]) > 0)
    return values[finite], (patterns % 2 == 0)[finite]


def nearest(q: Fraction, fmt: Format) -> float:
    """Round a rational to nearest even in a format, with integers only."""
    if q == 0:
        return 0.0
    size = abs(q)
    e = size.numerator.bit_length() - size.denominator.bit_length()
    while Fraction(2) ** e > size:
        e -= 1
    while Fraction(2) ** (e + 1) <= size:
        e += 1
    quantum = Fraction(2) ** (max(e, fmt.min_exponent) - fmt.precision + 1)
    n, rest = divmod(size, quantum)
    n += rest * 2 > quantum or (rest * 2 == quantum and n % 2 == 1)
    result = n * quantum
    if result > Fraction(fmt.finite_max):
        return math.copysign(INF, q) if fmt.infinities else math.nan
    return float(result) if q > 0 else -float(result)


def equal(got: Any, wanted: Any) -> None:
    """Assert that two arrays hold the same numbers; NaN is NaN, the sign of 0 counts for nothing."""
    np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("side", [1.0, -1.0])
class TestEveryMidpoint:
    """Every midpoint of two neighbours, and what lies next to it."""

    @pytest.fixture
    def gaps(self, name: str) -> tuple[np.ndarray, ...]:
        """The numbers below and above each midpoint, the midpoint, and which of the two is even."""
        values, even = table(name)
        fmt = EVERY[name]
        above = [INF] if fmt.infinities else [math.nan]
        # The power of two beyond the format is where its next number would be.
        beyond = values[-1] + (values[-1] - values[-2])
        assert not fmt.infinities or beyond == 2.0 ** (fmt.max_exponent + 1)
        middle = (values + np.append(values[1:], beyond)) / 2
        upper = np.append(values[1:], above)
        return values, upper, middle, np.where(even, values, upper)

    def test_itself(self, name: str, side: float, gaps: tuple[np.ndarray, ...]) -> None:
        _, _, middle, tie = gaps
        equal(round_to(side * middle, EVERY[name]), side * tie)
        equal(round_sum(side * middle, 0.0, EVERY[name]), side * tie)

    def test_one_float64_spacing_off(self, name: str, side: float, gaps: tuple[np.ndarray, ...]) -> None:
        lower, upper, middle, _ = gaps
        equal(round_to(side * np.nextafter(middle, INF), EVERY[name]), side * upper)
        equal(round_to(side * np.nextafter(middle, -INF), EVERY[name]), side * lower)

    @pytest.mark.parametrize("low", [5e-324, 1e-300, 2.0**-160])
    def test_a_low_part(self, name: str, side: float, gaps: tuple[np.ndarray, ...], low: float) -> None:
        lower, upper, middle, _ = gaps
        low_ = np.minimum(low, middle * 2.0**-54)
        for sign in (-1, 0, 1):  # the infinitesimal is less than any low part
            equal(round_sum(side * middle, side * low_, EVERY[name], sign), side * upper)
            equal(round_sum(side * middle, -side * low_, EVERY[name], sign), side * lower)

    def test_an_infinitesimal(self, name: str, side: float, gaps: tuple[np.ndarray, ...]) -> None:
        lower, upper, middle, _ = gaps
        equal(round_sum(side * middle, 0.0, EVERY[name], int(side)), side * upper)
        equal(round_sum(side * middle, 0.0, EVERY[name], -int(side)), side * lower)

    def test_a_midpoint_made_of_two_parts(self, name: str, side: float, gaps: tuple[np.ndarray, ...]) -> None:
        lower, upper, middle, tie = gaps
        for h, low in (
            (np.nextafter(middle, INF), middle - np.nextafter(middle, INF)),
            (np.nextafter(middle, -INF), middle - np.nextafter(middle, -INF)),
        ):
            equal(round_sum(side * h, side * low, EVERY[name]), side * tie)
            equal(round_sum(side * h, side * low, EVERY[name], int(side)), side * upper)
            equal(round_sum(side * h, side * low, EVERY[name], -int(side)), side * lower)

    def test_numbers_of_the_format_stay(self, name: str, side: float, gaps: tuple[np.ndarray, ...]) -> None:
        values = side * gaps[0]
        equal(round_to(values, EVERY[name]), values)
        for sign in (-1, 1):
            equal(round_sum(values, 0.0, EVERY[name], sign), values)
        equal(np.signbit(round_to(values, EVERY[name])), np.full(values.shape, side < 0))

    def test_neighbours(self, name: str, side: float, gaps: tuple[np.ndarray, ...]) -> None:
        lower, upper, _, _ = gaps
        down, up = neighbours(side * lower, EVERY[name])
        outward, inward = (up, down) if side > 0 else (down, up)
        equal(outward, side * upper)
        equal(inward[1:], side * lower[:-1])
        equal(inward[0], -side * lower[1])

    def test_ulp(self, name: str, side: float, gaps: tuple[np.ndarray, ...]) -> None:
        lower, _, middle, _ = gaps
        spacing = np.append(np.diff(lower), lower[-1] - lower[-2])
        equal(ulp(side * lower, EVERY[name]), spacing)
        equal(ulp(side * middle, EVERY[name]), spacing)


EXPONENTS = st.integers(-1074, 1023)


@st.composite
def floats64(draw: st.DrawFn) -> float:
    """Few significant bits, anywhere in the range of float64: near ties and thresholds of every format."""
    fmt = EVERY[draw(st.sampled_from(sorted(EVERY)))]
    bits = draw(st.integers(1, min(fmt.precision + 1, 53)))
    anywhere = st.one_of(EXPONENTS, st.integers(fmt.min_exponent - 60, fmt.min_exponent + 3), st.just(fmt.max_exponent))
    n = draw(st.integers(2 ** (bits - 1), 2**bits - 1))
    x = math.ldexp(n, max(-1074, min(1023 - bits, draw(anywhere) - bits + 1)))
    for _ in range(draw(st.integers(0, 1))):
        x = math.nextafter(x, draw(st.sampled_from([0.0, INF])))
    return min(x, FORMATS["float64"].finite_max) * draw(st.sampled_from([1, -1]))


@pytest.mark.parametrize("name", sorted(EVERY))
def test_rounding_one_number_as_fractions_do(name: str) -> None:
    @repeatable
    @given(floats64())
    def check(x: float) -> None:
        equal(round_to(x, EVERY[name]), nearest(Fraction(x), EVERY[name]))

    check()


@pytest.mark.parametrize("name", sorted(EVERY))
def test_rounding_a_sum_as_fractions_do(name: str) -> None:
    fmt = EVERY[name]

    @repeatable
    @given(floats64(), st.sampled_from([0.5, 0.25, 0.3, 1e-3, 2.0**-60, 1.0, 0.0]), st.sampled_from([-1, 1]), SIGNS)
    def check(h: float, part: float, side: int, sign: int) -> None:
        low = math.ulp(h) * part * side
        exact = Fraction(h) + Fraction(low) + sign * Fraction(1, 2**1200)
        equal(round_sum(h, low, fmt, sign), nearest(exact, fmt))

    check()


SIGNS = st.sampled_from([-1, 0, 1])


@repeatable
@given(floats64())
def test_float32_as_numpy_casts(x: float) -> None:
    with np.errstate(over="ignore"):
        equal(round_to(x, FORMATS["float32"]), np.float64(np.float32(x)))


def test_float32_as_numpy_casts_many() -> None:
    g = np.random.default_rng(3)
    patterns = g.integers(0, 2**64, 200_000, dtype=np.uint64)
    x = np.concatenate([patterns.view(np.float64), np.ldexp(g.normal(0, 1, 100_000), g.integers(-160, 130, 100_000))])
    x = x[np.isfinite(x)]
    with np.errstate(over="ignore"):
        equal(round_to(x, FORMATS["float32"]), x.astype(np.float32).astype(np.float64))


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_overflow_begins_half_a_spacing_beyond(name: str) -> None:
    fmt = FORMATS[name]
    half = ulp(np.array(fmt.finite_max), fmt) / 2
    for side in (1, -1):
        top = side * fmt.finite_max
        equal(round_sum(top, side * half, fmt), side * INF)
        equal(round_sum(top, side * half, fmt, -side), top)
        equal(round_sum(top, side * half / 2, fmt, side), top)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_nan_and_infinities_pass_through(name: str) -> None:
    special = np.array([math.nan, INF, -INF])
    for sign in (-1, 0, 1):
        equal(round_sum(special, 0.0, FORMATS[name], sign), special)
    down, up = neighbours(special, FORMATS[name])
    top = FORMATS[name].finite_max
    equal(up, [math.nan, INF, -top])
    equal(down, [math.nan, top, -INF])


def test_a_format_without_infinities_overflows_to_nan() -> None:
    fmt = QUANTISED["float8_e4m3fn"]
    equal(round_to([448.0, 464.0, 464.1, 1e9, INF, -INF], fmt), [448.0, 448.0] + [math.nan] * 4)


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

    def test_as_fractions_do(self, name: str) -> None:
        fmt = FORMATS[name]

        @settings(repeatable, max_examples=400)
        @given(floats64(), floats64())
        def check(a: float, h: float) -> None:
            if abs(a) > fmt.finite_max or abs(h) > fmt.finite_max:
                return
            got = float(distance(a, h, 0.0, fmt))
            exact = (Fraction(a) - Fraction(h)) / Fraction(float(ulp(np.array(h), fmt)))
            assert math.isinf(got) or abs(Fraction(got) - exact) <= abs(exact) * Fraction(1, 2**51)
            assert not math.isinf(got) or abs(exact) > Fraction(2) ** 1023
            assert float(distance(-a, -h, 0.0, fmt)) == -got

        check()


def test_dtypes_and_formats_name_each_other() -> None:
    for name, fmt in FORMATS.items():
        assert format_of(dtype_of(name)) is fmt
        assert fmt.name == name
        info = ml_dtypes.finfo(dtype_of(name))
        assert (float(info.max), float(info.tiny)) == (fmt.finite_max, fmt.tiny)
        assert float(info.smallest_subnormal) == fmt.smallest
        assert float(info.eps) == 2 * fmt.unit_roundoff


@pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.complex128, ml_dtypes.float8_e5m2, np.longdouble])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match="expected one of float64, float32, bfloat16, float16"):
        format_of(dtype)


def test_a_format_without_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="float8_e5m2"):
        dtype_of("float8_e5m2")
