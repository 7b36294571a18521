"""What each grade allows, and which grade an answer gets, against rationals."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rationals import bound, nearest, spacing

from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS, Format
from lossconform.reference.grades import (
    ACCUMULATORS,
    FACTOR,
    LABELS,
    Condition,
    Grade,
    accumulator_roundoff,
    allowed,
    grade,
)

BOUNDED = [g for g in Grade if g <= Grade.SEQUENTIAL]
PARTS = ("base", "shift", "terms", "batch", "floor")
USUAL = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-24, "float16": 2.0**-24}
repeatable = settings(derandomize=True, deadline=None, database=None, max_examples=200)

formats = st.sampled_from(sorted(FORMATS))
sizes = st.one_of(st.integers(1, 12), st.integers(1, 10**6))
parts = st.fixed_dictionaries({name: st.one_of(st.just(0.0), st.floats(1e-6, 1e4)) for name in PARTS})
numbers = st.one_of(st.just(0.0), st.floats(1e-5, 6e4), st.floats(-6e4, -1e-5))


def condition(given_: dict[str, float], n: int, rows: int) -> Condition:
    arrays = {name: np.array(value) for name, value in given_.items()}
    return Condition(n=n, rows=rows, **arrays)


def model(g: Grade, h: float, low: float, given_: dict[str, float], n: int, rows: int, name: str) -> Fraction:
    fmt = FORMATS[name]
    u = Fraction(1, 2**fmt.precision)
    return bound(g, spacing(Fraction(h), fmt), given_, n, rows, u, Fraction(USUAL[name]))


@repeatable
@given(numbers, parts, sizes, sizes, formats)
def test_what_a_grade_allows(h: float, given_: dict[str, float], n: int, rows: int, name: str) -> None:
    exact = Enclosure(np.array(h), np.array(0.0), np.array(0.0))
    for g in BOUNDED:
        got = Fraction(float(allowed(g, exact, condition(given_, n, rows), FORMATS[name])))
        wanted = model(g, h, 0.0, given_, n, rows, name)
        assert abs(got - wanted) <= wanted / 2**48 + Fraction(1, 2**1074)  # half the smallest number is none


@repeatable
@given(parts, sizes, sizes, formats, st.sampled_from(list(ACCUMULATORS)))
def test_another_accumulator(given_: dict[str, float], n: int, rows: int, name: str, accumulator: str) -> None:
    exact = Enclosure(np.array(1.0), np.array(0.0), np.array(0.0))
    fmt = FORMATS[name]
    u, unit = Fraction(1, 2**fmt.precision), Fraction(2, 2**fmt.precision)
    own = dict(zip(ACCUMULATORS, (Fraction(USUAL[name]), Fraction(1, 2**53), u), strict=True))
    for g in BOUNDED:
        got = Fraction(float(allowed(g, exact, condition(given_, n, rows), fmt, accumulator=accumulator)))
        wanted = bound(g, unit, given_, n, rows, u, own[accumulator])
        assert abs(got - wanted) <= wanted / 2**48


@repeatable
@given(parts, sizes, sizes, formats)
def test_sums_in_any_order(given_: dict[str, float], n: int, rows: int, name: str) -> None:
    one, fmt = Enclosure(np.array(1.0), np.array(0.0), np.array(0.0)), FORMATS[name]
    u, unit = Fraction(1, 2**fmt.precision), Fraction(2, 2**fmt.precision)
    for g in BOUNDED:
        # What sequential has for the sums, with what the grade has for the rest.
        rest = bound(g, unit, {**given_, "terms": 0.0, "batch": 0.0}, n, rows, u, Fraction(USUAL[name]))
        most = bound(Grade.SEQUENTIAL, unit, given_, n, rows, u, Fraction(USUAL[name]))
        less = bound(Grade.SEQUENTIAL, unit, {**given_, "terms": 0.0, "batch": 0.0}, n, rows, u, Fraction(USUAL[name]))
        wanted = rest if g <= Grade.ACCURATE else rest + most - less
        got = Fraction(float(allowed(g, one, condition(given_, n, rows), fmt, any_order=True)))
        assert abs(got - wanted) <= wanted / 2**48


def test_the_grade_is_the_one_that_any_order_has() -> None:
    fmt = FORMATS["float32"]
    exact = Enclosure(np.array(1.0), np.array(0.0), np.array(0.0))
    c = condition({"base": 0.0, "shift": 0.0, "terms": 1.0, "batch": 0.0, "floor": 0.0}, 10_000, 1)
    answer = np.array(1 + 5000 * fmt.unit_roundoff)
    assert grade(answer, exact, c, fmt) == Grade.SEQUENTIAL
    assert grade(answer, exact, c, fmt, any_order=True) == Grade.SHIFT_STABLE


def test_the_usual_accumulator_is_that_of_float32_or_better() -> None:
    assert {name: accumulator_roundoff(fmt) for name, fmt in FORMATS.items()} == USUAL


def expected(answer: float, h: float, low: float, bounds: dict[Grade, Fraction], fmt: Format) -> Grade:
    """Return the grade of an answer to h + low, and that it lies near no bound."""
    exact = Fraction(h) + Fraction(low)
    if answer == nearest(exact, fmt):
        return Grade.CORRECTLY_ROUNDED
    error = abs(Fraction(answer) - exact)
    assume(all(abs(error - b) > b / 2**40 for b in bounds.values()))
    return next((g for g in BOUNDED[1:] if error <= bounds[g]), Grade.INACCURATE)


@repeatable
@given(
    numbers,
    st.floats(-0.5, 0.5),
    st.sampled_from([*BOUNDED, Grade.INACCURATE]),
    st.sampled_from([0.3, 0.49, 0.999, 1.001, 2.0]),
    st.sampled_from([1, -1]),
    parts,
    sizes,
    sizes,
    formats,
)
def test_the_grade_of_an_answer(
    h: float, part: float, near: Grade, times: float, side: int, given_: dict[str, float], n: int, rows: int, name: str
) -> None:
    fmt = FORMATS[name]
    low = part * float(np.spacing(abs(h)))
    bounds = {g: model(g, h, low, given_, n, rows, name) for g in BOUNDED}
    answer = h + side * times * float(bounds.get(near, 10 * bounds[Grade.SEQUENTIAL]))
    wanted = expected(answer, h, low, bounds, fmt)
    enclosure = Enclosure(np.array(h), np.array(low), np.array(low))
    assert Grade(int(grade(np.array(answer), enclosure, condition(given_, n, rows), fmt))) is wanted


def test_each_entry_has_its_own_grade_and_condition() -> None:
    fmt = FORMATS["float32"]
    one = np.ones(4)
    exact = Enclosure(one, 0 * one, 0 * one)
    c = Condition(np.array([0.0, 0.0, 1e6, 0.0]), 0 * one, 0 * one, 2, 0 * one, 1, 0 * one)
    found = grade(np.array([1.0, 1 + 2.0**-22, 1 + 2.0**-12, np.nan]), exact, c, fmt)
    assert found.tolist() == [Grade.CORRECTLY_ROUNDED, Grade.ACCURATE, Grade.SHIFT_STABLE, Grade.BROKEN]


def test_the_grade_goes_by_the_accumulator_that_is_given() -> None:
    fmt = FORMATS["bfloat16"]
    exact = Enclosure(np.array(1.0), np.array(0.0), np.array(0.0))
    c = condition({"base": 0.0, "shift": 0.0, "terms": 1.0, "batch": 0.0, "floor": 0.0}, 10_000, 1)
    answer = np.array(1.1)
    assert grade(answer, exact, c, fmt) == Grade.INACCURATE
    assert grade(answer, exact, c, fmt, accumulator="own dtype") == Grade.SHIFT_STABLE


def test_every_grade_has_its_name_and_its_place() -> None:
    names = [
        "correctly rounded",
        "faithful",
        "accurate",
        "shift-stable",
        "backward-stable",
        "sequential",
        "inaccurate",
        "broken",
    ]
    assert [g.label for g in sorted(Grade)] == names
    assert [int(g) for g in Grade] == list(range(8))
    assert list(LABELS.values()) == names
    assert FACTOR == 4


def test_an_error_that_is_just_the_bound_is_allowed() -> None:
    fmt = FORMATS["float32"]
    c = condition({"base": 1.0, "shift": 1.0, "terms": 1e3, "batch": 0.0, "floor": 0.0}, 10**4, 1)
    exact = Enclosure(np.array(1.0), np.array(0.0), np.array(0.0))
    for g in BOUNDED[1:]:
        error = float(allowed(g, exact, c, fmt))
        assert 1 + error - 1 == error
        assert grade(np.array(1 + error), exact, c, fmt) == g
        assert grade(np.array(1 - error), exact, c, fmt) == g
        assert grade(np.array(1 + error + 2.0**-50), exact, c, fmt) == g + 1


def test_an_accumulator_is_given_by_name() -> None:
    exact = Enclosure(np.array(1.0), np.array(0.0), np.array(0.0))
    call: Any
    for call, first in ((allowed, Grade.FAITHFUL), (grade, np.array(1.0))):
        with pytest.raises(TypeError, match="positional"):
            call(first, exact, condition(dict.fromkeys(PARTS, 1.0), 2, 1), FORMATS["float32"], 2.0**-8)


def test_a_condition_is_immutable_and_compared_by_identity() -> None:
    made: list[Any] = [condition(dict.fromkeys(PARTS, 1.0), 2, 1) for _ in range(2)]
    assert made[0] != made[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        made[0].n = 3
