"""What small cases are made of: numbers drawn a byte each, and arrays of three axes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from lossconform.adapters import describe
from lossconform.reference.case import Case, Form, Loss, TargetForm
from lossconform.strategies.cases import AXES, SIXTEENTHS, array, cases, class_axes, eighths, flat, three_axes

CROSS_ENTROPY = describe("jax").function("optax.softmax_cross_entropy").contract


@st.composite
def arrays(draw, numbers, shape, dtype):
    return array(draw, numbers, shape, dtype)


@pytest.mark.parametrize("numbers", [eighths(-8, 8), eighths(-8, 0), SIXTEENTHS, (0.0, 1.0, 0.5), range(7)])
def test_every_number_is_drawn_and_the_first_is_the_simplest(numbers):
    assert len(set(numbers)) == len(numbers) <= 256
    last = find(arrays(numbers, (2, 3), "float32"), lambda a: bool((a == numbers[-1]).any()))
    assert sorted(last.ravel().tolist()) == sorted([numbers[0]] * 5 + [numbers[-1]])
    assert last.dtype == np.float32


def test_whole_numbers_come_first():
    assert eighths(-1, 1) == (
        0,
        1,
        -1,
        0.5,
        -0.5,
        0.25,
        -0.25,
        0.75,
        -0.75,
        *(sign * k / 8 for k in (1, 3, 5, 7) for sign in (1, -1)),
    )
    assert eighths(-2, 0)[:3] == (0, -1, -2)


@given(arrays((False, True), (5,), np.bool_), arrays((0.5, 2.0), (), "bfloat16"))
def test_shape_and_dtype_are_as_asked(mask, number):
    assert (mask.shape, mask.dtype, number.shape, number.dtype.name) == ((5,), np.bool_, (), "bfloat16")


@given(st.data())
def test_rows_of_probabilities_sum_to_one(data):
    case = data.draw(cases(CROSS_ENTROPY, "float16", targets=(TargetForm.DISTRIBUTION,)))
    assert case.target is not None
    assert (case.target.astype(np.float64).sum(axis=-1) == 1).all()


def test_three_axes_have_one_shape_of_three_lengths():
    assert len(set(AXES)) == 3
    assert class_axes(CROSS_ENTROPY) == [0, 1, 2]
    for axis in class_axes(CROSS_ENTROPY):
        n, c = flat(axis)
        numbers = np.arange(n * c, dtype=np.float32).reshape(n, c)
        target = np.eye(c, dtype=np.float32)[np.arange(n) % c]
        case = Case(
            loss=Loss.SOFTMAX_CROSS_ENTROPY,
            prediction=numbers,
            form=Form.LOGITS,
            target=target,
            target_form=TargetForm.ONE_HOT,
        )
        there = three_axes(case, axis)
        assert there.prediction.shape == AXES
        assert (there.classes, there.class_axis) == (c, axis)
        assert (np.moveaxis(there.prediction, axis, -1).reshape(n, c) == numbers).all()
        assert (np.moveaxis(there.target, axis, -1).reshape(n, c) == target).all()
