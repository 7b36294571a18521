"""What a judgement says of answers to enclosures made by hand: every field, and that nothing wrong passes."""

from __future__ import annotations

import dataclasses
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from lossconform.adapters.base import Answer
from lossconform.judge import Judgement, Oracle, wrong_dtype
from lossconform.reference.case import Array, Case, Loss
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS, dtype_of
from lossconform.reference.grades import Condition, Grade
from lossconform.reference.policy import Policy

ULP = 2.0**-23
INF, NAN = np.inf, np.nan


def condition(base: Any) -> Condition:
    base = np.asarray(base, np.float64)
    return Condition(base, 0 * base, 0 * base, 2, 0 * base, 1, 0 * base)


def exactly(numbers: Any) -> Enclosure:
    h = np.asarray(numbers, np.float64)
    return Enclosure(h, np.zeros_like(h), np.zeros_like(h))


def oracle(value: Any, gradient: Any = None, *, dtype: str = "float32", base: Any = None) -> Oracle:
    """Return the oracle of a value, and of a gradient, that are exactly these; base is the value's condition."""
    case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.zeros((2, 3), dtype_of(dtype)))
    value = value if isinstance(value, Enclosure) else exactly(value)
    none = np.zeros(value.shape) if base is None else base
    slope = None if gradient is None else exactly(gradient)
    allowed = {"value": condition(none)} | ({} if slope is None else {"gradient": condition(np.zeros(slope.shape))})
    return Oracle(case, Policy(), False, value, slope, lambda: allowed)


def answer(*numbers: float, dtype: str = "float32") -> Answer:
    return Answer(np.array(numbers, np.float64).astype(dtype_of(dtype)))


def test_every_field_of_a_failure() -> None:
    judgement = oracle([1.0, 1.0, 1.0]).judge(answer(1 + 3 * ULP, 1 - 40 * ULP, 1 + 2 * ULP), Grade.ACCURATE)
    said = dataclasses.asdict(judgement) | {"bound": judgement.allowed}
    assert said == {
        "ok": False,
        "problem": f"value[1] is {1 - 40 * ULP!r}, exactly 1.0: inaccurate, 40 ULP off where 4 are allowed",
        "part": "value",
        "grade": Grade.INACCURATE,
        "ulp": 40.0,
        "entries": 3,
        "index": (1,),
        "got": 1 - 40 * ULP,
        "wanted": 1.0,
        "distance": -40.0,
        "bound": 4.0,
    }


def test_every_field_of_a_success() -> None:
    judgement = oracle([1.0, 1.0, 1.0]).judge(answer(1.0, 1 + 3 * ULP, 1 - ULP), Grade.ACCURATE)
    assert judgement.problem == ""
    assert (judgement.ok, judgement.grade, judgement.index, judgement.entries) == (True, Grade.ACCURATE, (1,), 3)
    assert (judgement.ulp, judgement.distance, judgement.allowed) == (3.0, 3.0, 4.0)
    assert (judgement.got, judgement.wanted) == (1 + 3 * ULP, 1.0)


@pytest.mark.parametrize(
    ("worst", "allowed"), [(Grade.CORRECTLY_ROUNDED, 0.5), (Grade.FAITHFUL, 1.0), (Grade.SHIFT_STABLE, 4.5)]
)
def test_what_the_bar_allows(worst: Grade, allowed: float) -> None:
    judgement = oracle(2.0, base=4.0).judge(Answer(np.array(3.0, np.float32)), worst)
    assert (judgement.allowed, judgement.index) == (allowed, ())
    said = f"value is 3.0, exactly 2.0: inaccurate, 4.19e+06 ULP off where {allowed:.3g} are allowed"
    assert judgement.problem == said


def test_the_entry_that_fails_is_shown_and_not_one_that_is_further_off_and_passes() -> None:
    asked = oracle([1.0, 1.0, 1.0, 1.0], base=[1e3, 0, 0, 0])
    judgement = asked.judge(answer(1 + 1000 * ULP, 1 + 9 * ULP, 1 + 11 * ULP, 1 + 10 * ULP), Grade.SHIFT_STABLE)
    assert not judgement.ok
    assert (judgement.index, judgement.distance, judgement.ulp) == ((2,), 11.0, 1000.0)
    assert judgement.allowed == 0.5


def test_neither_is_one_that_is_infinitely_far_off() -> None:
    tiny = FORMATS["float64"].tiny
    asked = oracle([tiny, 1.0], dtype="float64", base=[1e3, 0])
    judgement = asked.judge(answer(1e-14, 1.5, dtype="float64"), Grade.SHIFT_STABLE)
    assert (judgement.ok, judgement.index, judgement.grade) == (False, (1,), Grade.INACCURATE)
    assert judgement.ulp == 2.0**51


def test_nor_one_that_is_right_before_one_that_is_no_distance_away() -> None:
    judgement = oracle([1.0, 2.0**200]).judge(answer(1.0, 2.0**130, dtype="float64"), Grade.SEQUENTIAL)
    assert (judgement.ok, judgement.index, judgement.distance) == (False, (1,), 0.0)


def test_a_broken_entry_is_shown_before_an_inaccurate_one() -> None:
    judgement = oracle([1.0, 1.0, INF]).judge(answer(5.0, 1.0, 7.0), Grade.SEQUENTIAL)
    assert (judgement.grade, judgement.index) == (Grade.BROKEN, (2,))
    assert (judgement.got, judgement.wanted) == (7.0, INF)


def test_nan_is_seen_and_counts_for_no_finite_distance() -> None:
    judgement = oracle([1.0, 1.0]).judge(answer(1 + ULP, NAN), Grade.SEQUENTIAL)
    assert (judgement.ok, judgement.grade, judgement.index) == (False, Grade.BROKEN, (1,))
    assert (judgement.distance, judgement.ulp) == (INF, 1.0)
    assert "value[1] is nan, exactly 1.0: broken, inf ULP off" in judgement.problem


def test_no_distance_is_finite() -> None:
    judgement = oracle([1.0]).judge(answer(NAN), Grade.SEQUENTIAL)
    assert (judgement.ok, judgement.ulp, judgement.distance) == (False, 0.0, INF)


@pytest.mark.parametrize("dtype", sorted(FORMATS))
@pytest.mark.parametrize(
    ("got", "exact", "ok"),
    [
        (0.0, -0.0, True),
        (-0.0, 0.0, True),
        (NAN, NAN, True),
        (INF, INF, True),
        (-INF, -INF, True),
        (INF, -INF, False),
        (-INF, INF, False),
        (NAN, INF, False),
        (INF, NAN, False),
        (NAN, 0.0, False),
        (0.0, NAN, False),
        (INF, 0.0, False),
        (0.0, INF, False),
        (0.0, 1.0, False),
        (-1.0, 1.0, False),
    ],
)
def test_special_values(got: float, exact: float, ok: bool, dtype: str) -> None:
    for shape in ((), (1,), (2, 2)):
        asked = oracle(np.full(shape, exact), dtype=dtype)
        said = asked.judge(Answer(np.full(shape, got, dtype_of(dtype))), Grade.SEQUENTIAL)
        assert said.ok is ok
        assert said.grade is (Grade.CORRECTLY_ROUNDED if ok else said.grade)


@pytest.mark.parametrize(("exact", "ok"), [(7e4, True), (65520.0, True), (6e4, False), (-7e4, False)])
def test_overflow_of_float16(exact: float, ok: bool) -> None:
    assert oracle([exact], dtype="float16").judge(answer(INF, dtype="float16"), Grade.SEQUENTIAL).ok is ok


def test_one_wrong_entry_among_many_is_found() -> None:
    exact = np.arange(1.0, 7.0).reshape(2, 3)
    for k in np.ndindex(2, 3):
        got = exact.astype(np.float32)
        got[k] += 1
        judgement = oracle(np.zeros(2), exact).judge(Answer(np.zeros(2, np.float32), got), Grade.SEQUENTIAL)
        assert (judgement.ok, judgement.part, judgement.index) == (False, "gradient", k)


@pytest.mark.parametrize("shape", [(), (6,), (3, 2), (1, 2, 3), (2, 3, 1), (2, 1), (0,), (0, 3)])
def test_a_gradient_of_another_shape_is_wrong(shape: tuple[int, ...]) -> None:
    judgement = oracle(np.zeros(2), np.zeros((2, 3))).judge(
        Answer(np.zeros(2, np.float32), np.zeros(shape, np.float32)), Grade.INACCURATE
    )
    assert (judgement.ok, judgement.part, judgement.grade) == (False, "gradient", None)
    assert judgement.problem == f"gradient has shape {shape}, not (2, 3)"


OTHERS = [np.float16, ml_dtypes.bfloat16, np.float64]
NONE = [np.int8, np.uint64, np.bool_, np.complex64, np.longdouble, ml_dtypes.float8_e5m2, object]


@pytest.mark.parametrize("dtype", OTHERS)
def test_a_value_may_have_another_dtype_and_a_gradient_may_not(dtype: Any) -> None:
    asked = oracle(np.zeros(2), np.zeros((2, 3)))
    value, slope = np.zeros(2, np.float32), np.zeros((2, 3), np.float32)
    assert asked.judge(Answer(value.astype(dtype), slope), Grade.SEQUENTIAL).ok
    judgement = asked.judge(Answer(value, slope.astype(dtype)), Grade.SEQUENTIAL)
    assert (judgement.ok, judgement.part) == (False, "gradient")
    assert judgement.problem == f"gradient has dtype {np.dtype(dtype)}, not float32"


@pytest.mark.parametrize("dtype", NONE)
@pytest.mark.parametrize("strict", [True, False])
def test_what_is_no_dtype_of_a_loss(dtype: Any, strict: bool) -> None:
    judgement = oracle(np.zeros(2)).judge(Answer(np.zeros(2, dtype)), Grade.INACCURATE, strict=strict)
    assert not judgement.ok
    assert judgement.problem == f"value has dtype {np.dtype(dtype)}, which is none of a loss"


def test_strict_asks_of_shape_and_dtype_alone() -> None:
    asked = oracle(np.zeros(2), np.zeros((2, 3)))
    wrong = np.ones((2, 3), np.float32)
    judgement = asked.judge(Answer(wrong[:, 0], wrong), Grade.SEQUENTIAL, strict=True)
    assert (judgement.ok, judgement.part, judgement.problem) == (True, "gradient", "")
    judgement = asked.judge(Answer(wrong[:, 0], wrong.astype(np.float64)), Grade.SEQUENTIAL, strict=True)
    assert (judgement.ok, judgement.problem) == (False, "gradient has dtype float64, not float32")


def test_without_a_gradient_on_either_side_the_value_is_judged() -> None:
    value, slope = np.ones(2, np.float32), np.ones((2, 3), np.float32)
    for asked, given in ((oracle(np.zeros(2)), slope), (oracle(np.zeros(2), np.zeros((2, 3))), None)):
        for matters in (True, False):
            judgement = asked.judge(Answer(value, given), Grade.SEQUENTIAL, value=matters)
            assert (judgement.ok, judgement.part) == (False, "value")


def test_an_empty_answer_has_no_worst_entry() -> None:
    judgement = oracle(np.zeros(0)).judge(Answer(np.zeros(0, np.float32)), Grade.CORRECTLY_ROUNDED)
    assert (judgement.ok, judgement.grade, judgement.ulp) == (True, Grade.CORRECTLY_ROUNDED, 0.0)
    assert (judgement.entries, judgement.index, judgement.got, judgement.allowed) == (0, None, None, None)


def test_what_is_not_compared_has_no_numbers() -> None:
    said = dataclasses.asdict(Judgement(ok=True))
    assert said == {"ok": True, "problem": "", "part": "value", "entries": 0} | dict.fromkeys(
        ("grade", "ulp", "index", "got", "wanted", "distance", "bound")
    )


def test_of_an_undecided_answer_the_lower_one_is_told() -> None:
    middle = np.array([1 + ULP / 2])
    open_ = Enclosure(middle, np.array([-1e-30]), np.array([1e-30]))
    asked = dataclasses.replace(oracle(open_), gradient=open_)
    told = asked.answer()
    assert isinstance(told, Answer)
    assert told.gradient is not None
    assert (told.value.tolist(), told.gradient.tolist()) == ([1.0], [1.0])
    assert asked.judge(Answer(told.value), Grade.CORRECTLY_ROUNDED).wanted == 1.0
    assert asked.judge(answer(1 + ULP), Grade.CORRECTLY_ROUNDED).ok


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([0.1], "0.1"),
        ([1, 2, 3], "1, 2, 3"),
        ([1, 2, 3, 4], "1, 2, 3, 4"),
        ([1, 2, 3, 1.23456789, 5], "1, 2, 3, 1.23457, ..."),
        ([[NAN, INF], [1, 2], [3, 4]], "nan, inf, 1, 2, ..."),
    ],
)
def test_what_was_accepted_in_silence(numbers: Any, said: str) -> None:
    case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.zeros((2, 3), np.float32))
    judgement = Oracle(case, Policy(), refuses=True).judge(Answer(np.array(numbers, np.float32)), Grade.INACCURATE)
    assert (judgement.ok, judgement.problem) == (False, f"accepted in silence; value {said}")


@pytest.mark.parametrize(("classes", "tier"), [(1, "exact"), (512, "exact"), (513, "tiers"), (5000, "tiers")])
def test_the_tiers_are_asked_for_large_cases_only(classes: int, tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class AskedError(Exception):
        pass

    def asked(*_: Any, **__: Any) -> None:
        raise AskedError

    monkeypatch.setattr(f"lossconform.reference.{tier}.evaluate", asked)
    case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.zeros((1, classes), np.float32))
    with pytest.raises(AskedError):
        Oracle.of(case, Policy(), gradient=False)


def test_flags_are_given_by_name() -> None:
    asked: Any = oracle(np.zeros(2))
    value: Array = np.zeros(2, np.float32)
    for call, arguments in (
        (Oracle.of, (asked.case, Policy(), True)),
        (asked.judge, (Answer(value), Grade.FAITHFUL, True)),
        (wrong_dtype, (value, FORMATS["float32"], True)),
    ):
        with pytest.raises(TypeError, match="positional"):
            call(*arguments)


def test_they_are_immutable_and_compared_by_identity() -> None:
    made: list[Any] = [Judgement(ok=True), oracle(np.zeros(2))]
    for one in made:
        assert dataclasses.replace(one) != one
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.ok = one.refuses = False


def spike(n: int, far: float) -> Case:
    x = np.full((1, n), far)
    x[0, 0] = 0.0
    return Case(loss=Loss.SOFTMAX, prediction=x)


def in_lanes(x: Array, lanes: int) -> Array:
    """Return a softmax whose sums are made one by one in each of so many lanes, as vectorised kernels make them."""
    e = np.exp(x - x.max())
    lane = np.add.accumulate(np.pad(e[0], (0, -e.size % lanes)).reshape(-1, lanes), axis=0)[-1]
    return e / np.add.accumulate(lane)[-1]


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_bar_allows_sums_in_any_order_unless_a_contract_promises_better(lanes: int) -> None:
    case = spike(380, -10.247402987224756)
    answer = Answer(in_lanes(case.prediction, lanes))
    asked = Oracle.of(case, Policy(), gradient=False)
    seen = asked.judge(answer, Grade.SHIFT_STABLE)
    assert (seen.ok, seen.grade) == (True, Grade.SEQUENTIAL)
    promised = dataclasses.replace(asked, any_order=False).judge(answer, Grade.SHIFT_STABLE)
    assert (promised.ok, promised.grade) == (False, Grade.SEQUENTIAL)
    assert promised.allowed is not None
    assert seen.allowed is not None
    assert promised.allowed < abs(promised.distance or 0) < seen.allowed


def test_what_more_than_any_order_loses_fails_and_is_what_is_shown() -> None:
    case = spike(380, -10.247402987224756)
    got = in_lanes(case.prediction, 4)
    got[0, 7] *= 1 + 1e-10
    seen = Oracle.of(case, Policy(), gradient=False).judge(Answer(got), Grade.SHIFT_STABLE)
    assert (seen.ok, seen.grade, seen.index) == (False, Grade.INACCURATE, (0, 7))


def sums(terms: list[float], n: int) -> Condition:
    none = np.zeros(len(terms))
    return Condition(none, none, np.array(terms), n, none, 1, none)


@pytest.mark.parametrize("any_order", [True, False])
def test_every_entry_is_held_to_the_bar_and_better_ones_pass(any_order: bool) -> None:
    # Of 10,001 terms 100 ULP are allowed, and 5000 in any order.
    allowed = {"value": sums([0, 1, 1], 10_001)}
    right = dataclasses.replace(oracle([1.0, 1.0, 1.0]), any_order=any_order, conditions=lambda: allowed)
    some, more = 1 + 10 * ULP, 1 + 1000 * ULP
    seen = right.judge(answer(1.0, some, 1.0), Grade.SHIFT_STABLE)
    assert (seen.ok, seen.grade) == (True, Grade.SHIFT_STABLE)
    seen = right.judge(answer(1.0, some, more), Grade.SHIFT_STABLE)
    assert (seen.ok, seen.grade, seen.index) == (any_order, Grade.SEQUENTIAL, (2,))
    seen = right.judge(answer(1.0, 1.5, more), Grade.SHIFT_STABLE)
    assert (seen.ok, seen.grade, seen.index) == (False, Grade.INACCURATE, (1,))
