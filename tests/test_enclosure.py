"""Enclosures: what is refused, rounding where the bounds decide it and where they do not, errors, distances."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS

F32, F64, BF16 = FORMATS["float32"], FORMATS["float64"], FORMATS["bfloat16"]
MIDPOINT = 1 + 2.0**-24
ABOVE = 1 + 2.0**-23


def one(h: float, lo: float, hi: float) -> Enclosure:
    """Return the enclosure of one number."""
    return Enclosure(*(np.array([v]) for v in (h, lo, hi)))


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="a lower bound lies above its upper bound"):
        one(1.0, 1e-20, 0.0)


def test_nan_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="a lower bound lies above its upper bound"):
        one(1.0, math.nan, 0.0)


@pytest.mark.parametrize("sizes", [(2, 1, 2), (1, 2, 2), (2, 1, 1), (1, 1, 2), (2, 2, 1)])
def test_shapes_that_differ_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"shapes \({},\), \({},\), \({},\) differ".format(*sizes)):
        Enclosure(*map(np.zeros, sizes))


def test_it_is_immutable_and_compared_by_identity() -> None:
    enclosure = one(1.0, 0.0, 0.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        enclosure.h = np.zeros(1)  # type: ignore[misc]
    assert enclosure == enclosure
    assert enclosure != one(1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("lo", "hi", "wanted"),
    [
        # the number, relative to the midpoint of 1 and its neighbour in float32, and what it rounds to
        pytest.param(0.0, 0.0, (1.0, 1.0), id="at the midpoint, exactly: to even"),
        pytest.param(0.0, 5e-324, (ABOVE, ABOVE), id="just above: the open lower bound decides"),
        pytest.param(-5e-324, 0.0, (1.0, 1.0), id="just below: the open upper bound decides"),
        pytest.param(-5e-324, 5e-324, (1.0, ABOVE), id="on either side: not decided"),
        pytest.param(1e-30, 1e-30, (ABOVE, ABOVE), id="exactly, above"),
    ],
)
def test_rounding(lo: float, hi: float, wanted: tuple[float, float]) -> None:
    for side in (1, -1):
        low, high = sorted((side * lo, side * hi))
        first, second = one(side * MIDPOINT, low, high).rounded(F32)
        assert (float(first[0]), float(second[0])) == tuple(sorted(side * v for v in wanted))


def test_rounding_zero_and_what_is_next_to_it() -> None:
    assert [float(v[0]) for v in one(0.0, 0.0, 0.0).rounded(F64)] == [0, 0]
    assert [float(v[0]) for v in one(0.0, 0.0, 5e-324).rounded(F32)] == [0, 0]
    assert [float(v[0]) for v in one(F32.smallest / 2, 0.0, 5e-324).rounded(F32)] == [F32.smallest] * 2


def test_rounding_keeps_nan_and_infinities() -> None:
    for h in (math.nan, math.inf, -math.inf):
        for v in one(h, 0.0, 0.0).rounded(BF16):
            np.testing.assert_array_equal(v, [h])


@pytest.mark.parametrize(
    ("answer", "h", "wanted"),
    [
        (math.nan, math.nan, 0.0),
        (math.inf, math.inf, 0.0),
        (-math.inf, -math.inf, 0.0),
        (math.nan, 1.0, math.inf),
        (1.0, math.nan, math.inf),
        (math.inf, -math.inf, math.inf),
        (math.inf, 1.0, math.inf),
        (1.0, math.inf, math.inf),
        (1e308, -1e308, math.inf),
        (2.0, 2.0, 0.0),
    ],
)
def test_error_of_special_answers(answer: float, h: float, wanted: float) -> None:
    assert float(one(h, 0.0, 0.0).error(answer)[0]) == wanted


@pytest.mark.parametrize(
    ("answer", "h", "lo"),
    [
        # The difference is rounded by half a spacing, and so is that beside the bound: all that remains is lost.
        pytest.param(1 + 2.0**-51, 2.0**-53, 1 + 2.0**-51, id="the bound cancels the difference"),
        pytest.param(1.0, -(2.0**-54) * (1 + 2.0**-52), -(2.0**-54), id="both sums are rounded down"),
    ],
)
def test_error_is_an_upper_bound_where_sums_are_rounded(answer: float, h: float, lo: float) -> None:
    exact = abs(Fraction(answer) - Fraction(h) - Fraction(lo))
    bound = Fraction(float(one(h, lo, lo).error(answer)[0]))
    assert exact <= bound <= exact * (1 + Fraction(1, 2**50))


def test_error_is_exact_where_nothing_is_rounded() -> None:
    assert float(one(1.0, 0.0, 0.0).error(1 + 2.0**-23)[0]) == 2.0**-23
    assert float(one(1.0, -0.25, 0.5).error(3.0)[0]) == 2.25
    assert float(one(1.0, -0.25, 0.5).error(-3.0)[0]) == 4.5


NUMBERS = st.floats(-1e300, 1e300).filter(lambda v: v == 0 or abs(v) > 1e-280)


@settings(derandomize=True, deadline=None, database=None, max_examples=500)
@given(NUMBERS, st.integers(-3, 3), st.floats(-1, 1), st.floats(0, 1), NUMBERS, st.booleans())
def test_error_is_an_upper_bound_and_a_close_one(
    h: float, steps: int, low: float, width: float, far: float, near: bool
) -> None:
    spacing = math.ulp(h)
    lo, hi = sorted((low * spacing, (low * spacing) + width * spacing))
    answer = h + steps * spacing if near else far
    bound = float(one(h, lo, hi).error(answer)[0])
    exact = max(abs(Fraction(answer) - Fraction(h) - Fraction(end)) for end in (lo, hi))
    assert exact <= Fraction(bound)
    assert Fraction(bound) <= exact * (1 + Fraction(1, 2**50)) + Fraction(spacing) / 2**50 + Fraction(1, 2**1070)


def test_distances_are_in_the_spacing_of_the_format() -> None:
    enclosure = one(1.0, 2.0**-60, 2.0**-60)
    assert float(enclosure.ulps(1.0, F64)[0]) == -(2.0**-8)
    assert float(enclosure.ulps(1 + 2.0**-23, F32)[0]) == pytest.approx(1.0, abs=1e-10)
    assert float(enclosure.spacing(F32)[0]) == 2.0**-23
    assert float(one(math.nan, 0.0, 0.0).spacing(BF16)[0]) == 2.0**120


def test_reshaping_keeps_the_numbers() -> None:
    enclosure = Enclosure(np.arange(6.0), np.zeros(6), np.full(6, 1e-20)).reshape((2, 3))
    assert enclosure.shape == (2, 3)
    assert enclosure.h[1, 0] == 3


def test_enclosures_are_stacked_along_the_first_axis() -> None:
    parts = [Enclosure(np.full((n, 2), float(n)), np.full((n, 2), -n / 8), np.full((n, 2), n / 4)) for n in (1, 2)]
    whole = Enclosure.stacked(parts)
    assert whole.h.tolist() == [[1, 1], [2, 2], [2, 2]]
    assert whole.lo.tolist() == [[-0.125] * 2, [-0.25] * 2, [-0.25] * 2]
    assert whole.hi.tolist() == [[0.25] * 2, [0.5] * 2, [0.5] * 2]
