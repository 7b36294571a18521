"""The plan: in which dtypes and modes a profile asks a check."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lossconform import examine as examining
from lossconform.adapters import describe, ready
from lossconform.adapters.contract import DTYPES
from lossconform.adapters.miniatures import unusual
from lossconform.checks import CHECKS
from lossconform.examine import examine
from lossconform.plan import questions
from lossconform.profiles import PROFILES
from lossconform.reference.case import Loss, Reduction
from lossconform.strategies.regimes import apart


def places(target: str, check: str, profile: str) -> set[tuple[str, str]]:
    """Return the dtypes and modes in which a check is put to the first loss function of a target that it applies to."""
    asked = [q for q in questions(describe(target), PROFILES[profile]) if q.check.id == check]
    return {(q.dtype, q.mode) for q in asked if q.function.id == asked[0].function.id}


@pytest.mark.parametrize(("target", "usual", "other"), [("torch", "eager", "compiled"), ("jax", "jit", "eager")])
def test_quick_asks_accuracy_in_every_dtype_and_a_sample_of_the_second_mode(target, usual, other):
    expected = {(dtype, usual) for dtype in DTYPES} | {("float32", other)}
    assert places(target, "value", "quick") == places(target, "gradient", "quick") == expected


@pytest.mark.parametrize("target", ["torch", "jax"])
def test_quick_asks_meaning_where_nothing_is_compiled(target):
    assert places(target, "nan-propagates", "quick") == {("float32", "eager")}
    assert places(target, "dtype", "quick") == {(dtype, "eager") for dtype in DTYPES}


@pytest.mark.parametrize("check", [check.id for check in CHECKS.values() if check.cases is not None])
def test_full_asks_meaning_in_every_dtype_and_mode(check):
    if asked := places("keras-jax", check, "full"):
        assert asked == {(dtype, mode) for dtype in DTYPES for mode in ("eager", "jit")}


@pytest.mark.parametrize(("profile", "together"), [("quick", True), ("smoke", True), ("full", False)])
def test_a_compiled_value_is_judged_from_the_program_of_its_gradient_but_in_full(profile, together):
    asked = [q for q in questions(describe("jax"), PROFILES[profile]) if q.check.id == "value"]
    assert {q.gradient for q in asked if q.mode == "jit"} == {together}
    assert not any(q.gradient for q in asked if q.mode == "eager")


def test_a_value_that_is_not_compiled_is_asked_for_alone():
    asked = questions(unusual.framework(), PROFILES["quick"])
    assert {q.gradient for q in asked if q.check.id == "value"} == {False}
    assert {q.gradient for q in asked if q.check.id == "gradient"} == {True}


def test_a_loss_of_numpy_has_one_mode():
    assert {q.mode for q in questions(unusual.framework(), PROFILES["full"])} == {"call"}


@pytest.mark.parametrize(("check", "whole", "less"), [("value", 22, 11), ("reduction", 24, 9)])
def test_another_form_is_asked_less_in_quick(check, whole, less):
    target = ready(unusual.framework())
    first = next(q for q in questions(target, PROFILES["quick"]) if q.check.id == check and q.dtype == "float32")
    form = replace(first, function=replace(first.function, form_of="another"))
    assert [examine(target, question, []).cases for question in (first, form)] == [whole, less]


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_hangs_on_no_number_is_asked_once_of_each_stratum(dtype):
    target = ready(unusual.framework())
    asked = next(
        q
        for q in questions(target, PROFILES["quick"])
        if (q.check.id, q.dtype) == ("dtype", dtype) and q.function.contract.loss is Loss.SOFTMAX_CROSS_ENTROPY
    )
    contract = asked.function.contract
    assert len(contract.forms) * len(contract.targets) * len(contract.reductions) >= 8
    assert examine(target, asked, []).cases == 8
    form = replace(asked, function=replace(asked.function, form_of="another"))
    assert examine(target, form, []).cases == 8


@pytest.mark.parametrize(
    ("target", "mode", "profile", "shapes"),
    [
        ("jax", "jit", PROFILES["quick"], {(8, 10), (4, 1000), (1, 1000)}),
        ("jax", "eager", PROFILES["quick"], {(2, 3)}),
        ("jax", "eager", replace(PROFILES["full"], per_regime=2, many=30), {(16, 10), (4, 30), (1, 30)}),
        ("torch", "compiled", PROFILES["quick"], {(8, 10)}),
    ],
)
def test_accuracy_is_asked_in_few_shapes(target, mode, profile, shapes, monkeypatch):
    seen = set()
    monkeypatch.setattr(examining, "look", lambda framework, question, case, **_: seen.add(case.prediction.shape))
    framework = describe(target)
    for question in questions(framework, profile):
        if (question.check.id, question.dtype, question.mode) == ("value", "float32", mode):
            examine(framework, question, [])
    assert seen == shapes


def test_elements_that_nothing_is_made_of_together_are_not_asked_with_many_classes():
    of = {f.id: f.contract for f in describe("jax").functions}
    assert apart(of["jax.nn.log_sigmoid"])
    assert apart(of["optax.sigmoid_focal_loss"])
    assert not apart(of["jax.nn.softmax"])
    mean = describe("keras-jax").function("keras.losses.BinaryCrossentropy").contract
    assert not apart(mean)
    summed = replace(of["optax.sigmoid_binary_cross_entropy"], reductions=(Reduction.SUM,))
    assert not apart(summed)


def test_full_asks_another_form_as_much():
    full = PROFILES["full"]
    assert (full.again, full.elsewhere) == (full.per_regime, full.examples)


def places_of_other_forms(target: str, profile: str) -> set[tuple[str, str]]:
    """Return the dtypes and modes in which accuracy is asked of what is another form of a loss function."""
    asked = questions(describe(target), PROFILES[profile])
    return {(q.dtype, q.mode) for q in asked if q.check.id == "value" and q.function.form_of}


def test_how_accurate_another_form_is_quick_asks_in_one_dtype_and_full_in_all():
    assert places_of_other_forms("keras-jax", "quick") == {("float32", "jit")}
    assert places_of_other_forms("torch", "quick") == places_of_other_forms("torch", "smoke") == {("float32", "eager")}
    assert places_of_other_forms("keras-jax", "full") == {
        (dtype, mode) for dtype in DTYPES for mode in ("eager", "jit")
    }
