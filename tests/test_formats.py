"""Rounding, neighbours and spacings against tables of every number of a format, and against fractions."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawn_floats import EVERY, equal, floats64
from hypothesis import given, settings
from hypothesis import strategies as st
from rationals import nearest

from lossconform.reference.formats import (
    FORMATS,
    QUANTISED,
    dtype_of,
    format_of,
    neighbours,
    round_sum,
    round_to,
    ulp,
)

DTYPES: dict[str, Any] = {
    "bfloat16": ml_dtypes.bfloat16,
    "float16": np.float16,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
}
"""The formats that have a table: every number, from its bits. Widening them to float64 rounds nothing."""

INF = math.inf
SIGNS = st.sampled_from([-1, 0, 1])
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

    def test_what_pulls_from_one_spacing_off_reaches_no_midpoint(
        self, name: str, side: float, gaps: tuple[np.ndarray, ...]
    ) -> None:
        lower, upper, middle, _ = gaps
        for low, sign in ((middle * 2.0**-56, 0), (0 * middle, 1)):
            below, above = np.nextafter(middle, -INF), np.nextafter(middle, INF)
            equal(round_sum(side * below, side * low, EVERY[name], int(side) * sign), side * lower)
            equal(round_sum(side * above, -side * low, EVERY[name], -int(side) * sign), side * upper)

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


@repeatable
@given(floats64())
def test_rounding_one_number_as_fractions_do(x: float) -> None:
    equal([round_to(x, fmt) for fmt in EVERY.values()], [nearest(Fraction(x), fmt) for fmt in EVERY.values()])


PARTS = st.sampled_from([0.5, 0.25, 0.3, 1e-3, 2.0**-60, 1.0, 0.0])


@repeatable
@given(floats64(), PARTS, st.sampled_from([-1, 1]), SIGNS)
def test_rounding_a_sum_as_fractions_do(h: float, part: float, side: int, sign: int) -> None:
    low = math.ulp(h) * part * side
    exact = Fraction(h) + Fraction(low) + sign * Fraction(1, 2**1200)
    equal([round_sum(h, low, fmt, sign) for fmt in EVERY.values()], [nearest(exact, fmt) for fmt in EVERY.values()])


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


@repeatable
@given(floats64())
def test_float64_has_the_neighbours_that_numpy_says(x: float) -> None:
    down, up = neighbours(x, FORMATS["float64"])
    assert (float(down), float(up)) == (math.nextafter(x, -INF), math.nextafter(x, INF))
    assert round_to(x, FORMATS["float64"]) == x


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_beyond_the_largest_number_lies_the_infinity(name: str) -> None:
    top = FORMATS[name].finite_max
    down, up = neighbours([top, -top], FORMATS[name])
    assert up[0] == -down[1] == INF


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_smallest_numbers_stay(name: str) -> None:
    few = np.arange(-5.0, 6.0) * FORMATS[name].smallest
    for sign in (-1, 0, 1):
        equal(round_sum(few, 0.0, FORMATS[name], sign), few)


def test_a_format_is_immutable_and_compared_by_its_numbers() -> None:
    fmt = FORMATS["float32"]
    assert dataclasses.replace(fmt) == fmt
    assert len({fmt, dataclasses.replace(fmt), FORMATS["float16"]}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        fmt.precision = 25  # type: ignore[misc]


def test_a_format_without_infinities_overflows_to_nan() -> None:
    fmt = QUANTISED["float8_e4m3fn"]
    equal(round_to([448.0, 464.0, 464.1, 1e9, INF, -INF], fmt), [448.0, 448.0] + [math.nan] * 4)


def test_dtypes_and_formats_name_each_other() -> None:
    for name, fmt in FORMATS.items():
        assert format_of(dtype_of(name)) is fmt
        assert fmt.name == name


def test_every_format_has_the_numbers_of_its_dtype() -> None:
    for name, fmt in EVERY.items():
        info = ml_dtypes.finfo(getattr(ml_dtypes, name, name))
        assert (float(info.max), float(info.tiny)) == (fmt.finite_max, fmt.tiny)
        assert float(info.smallest_subnormal) == fmt.smallest
        assert float(info.eps) == 2 * fmt.unit_roundoff
        assert (info.minexp, math.frexp(fmt.finite_max)[1] - 1) == (fmt.min_exponent, fmt.max_exponent)


@pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.complex128, ml_dtypes.float8_e5m2, np.longdouble])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match="expected one of float64, float32, bfloat16, float16"):
        format_of(dtype)


def test_a_format_without_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="float8_e5m2"):
        dtype_of("float8_e5m2")
