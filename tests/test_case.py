"""A case refuses what is not well formed, naming the argument, what it found and what it expected."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm, rows, unrows

CE, BCE, KL = Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY, Loss.KL_DIVERGENCE
X = np.zeros((2, 3))
INDEX: dict[str, Any] = {"loss": CE, "prediction": X, "target": np.array([0, 2]), "target_form": TargetForm.INDEX}
BINARY: dict[str, Any] = {"loss": BCE, "prediction": X, "target": X, "target_form": TargetForm.BINARY}
DIVERGENCE: dict[str, Any] = {
    "loss": KL,
    "prediction": X,
    "form": Form.LOG_PROBABILITIES,
    "target": X,
    "target_form": TargetForm.DISTRIBUTION,
}
ENTROPY: dict[str, Any] = {"loss": Loss.ENTROPY, "prediction": X}

REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # the case, what is wrong with it, what the message must say
    (INDEX, {"prediction": np.zeros((2, 3), np.int64)}, "prediction: dtype int64; expected one of float64"),
    (INDEX, {"prediction": np.array(1.0)}, "prediction: no axes; expected at least the class axis"),
    (INDEX, {"prediction": np.zeros((2, 0))}, "prediction: shape (2, 0) has no classes; expected at least one"),
    (INDEX, {"class_axis": 2}, "class_axis: 2; expected 0 to 1 for shape (2, 3)"),
    (INDEX, {"class_axis": -1}, "class_axis: -1; expected 0 to 1 for shape (2, 3)"),
    (INDEX, {"loss": "hinge"}, "loss: 'hinge'; expected one of log_sum_exp"),
    (INDEX, {"reduction": "median"}, "reduction: 'median'; expected one of none, sum"),
    (INDEX, {"target": None}, "target: none; expected a target of form index"),
    (INDEX, {"target": np.zeros((3,), int)}, "target: shape (3,); expected (2,) for the form index"),
    (INDEX, {"target": np.zeros(2)}, "target: dtype float64; expected integers"),
    (INDEX, {"target_form": TargetForm.NONE}, "target_form: none, and a target is given"),
    (INDEX, {"target": X, "target_form": TargetForm.BINARY}, "target_form: binary for softmax_cross_entropy"),
    (INDEX, {"target": X, "target_form": TargetForm.LOG_DISTRIBUTION}, "target_form: log_distribution for softmax"),
    (INDEX, {"target": X - 1, "target_form": TargetForm.DISTRIBUTION}, "target: a negative value, NaN or infinity"),
    (INDEX, {"target": X + np.inf, "target_form": TargetForm.ONE_HOT}, "target: a negative value, NaN or infinity"),
    (INDEX, {"target": X + np.nan, "target_form": TargetForm.ONE_HOT}, "target: a negative value, NaN or infinity"),
    (BINARY, {"target": X + 1.5}, "target: 1.5; expected values in [0, 1]"),
    (DIVERGENCE, {"target": X + np.inf, "target_form": TargetForm.LOG_DISTRIBUTION}, "target: NaN or inf; expected"),
    (ENTROPY, {"target": X}, "target: given for entropy; expected no target"),
    (ENTROPY, {"target_form": TargetForm.INDEX}, "target: given for entropy; expected no target"),
    (INDEX, {"label_smoothing": 1.5}, "label_smoothing: 1.5; expected a number in [0, 1]"),
    (INDEX, {"label_smoothing": float("nan")}, "label_smoothing: nan; expected a number in [0, 1]"),
    (BINARY, {"gamma": -0.5}, "gamma: -0.5; expected a finite number of at least 0"),
    (BINARY, {"gamma": float("inf")}, "gamma: inf; expected a finite number of at least 0"),
    (BINARY, {"gamma": float("nan")}, "gamma: nan; expected a finite number of at least 0"),
    (BINARY, {"alpha": 1.5}, "alpha: 1.5; expected None or a number in [0, 1]"),
    (BINARY, {"alpha": float("nan")}, "alpha: nan; expected None or a number in [0, 1]"),
    (
        BINARY,
        {"loss": Loss.FOCAL, "target_form": TargetForm.ONE_HOT},
        "target_form: one_hot for focal; expected binary",
    ),
    (INDEX, {"class_weight": np.ones(2)}, "class_weight: shape (2,); expected (3,)"),
    (INDEX, {"class_weight": -np.ones(3)}, "class_weight: a negative value, NaN or infinity; expected finite"),
    (INDEX, {"class_weight": np.ones(3) * np.nan}, "class_weight: a negative value, NaN or infinity"),
    (INDEX, {"sample_weight": np.ones((2, 3))}, "sample_weight: shape (2, 3); expected (2,)"),
    (INDEX, {"sample_weight": np.array([1, np.inf])}, "sample_weight: a negative value, NaN or infinity"),
    (INDEX, {"where": np.ones((2, 3))}, "where: float64 of shape (2, 3); expected bool of shape (2, 3)"),
    (INDEX, {"where": np.ones(3, bool)}, "where: bool of shape (3,); expected bool of shape (2, 3)"),
    (INDEX, {"cotangent": np.array([1.0, np.nan])}, "cotangent: NaN or infinity; expected finite numbers"),
    (INDEX, {"direction": np.ones(2)}, "direction: shape (2,); expected (2, 3), that of the prediction"),
    (INDEX, {"direction": np.full((2, 3), np.inf)}, "direction: NaN or infinity; expected finite numbers"),
]


@pytest.mark.parametrize(("case", "change", "message"), REFUSED, ids=[m for _, _, m in REFUSED])
def test_what_is_not_well_formed_is_refused_by_name(case: dict[str, Any], change: dict[str, Any], message: str) -> None:
    Case(**case)
    with pytest.raises((ValueError, TypeError), match="^" + re.escape(message)):
        Case(**{**case, **change})


def test_fields_cannot_be_set() -> None:
    case = Case(**INDEX)
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.label_smoothing = 0.5  # type: ignore[misc]


def test_arrays_are_copies_that_cannot_be_written() -> None:
    x, target = np.zeros((2, 3)), np.array([0, 2])
    case = Case(**{**INDEX, "prediction": x, "target": target, "class_weight": np.ones(3)})
    x[0, 0], target[0] = 9, 1
    assert case.target is not None
    assert case.prediction[0, 0] == 0
    assert case.target[0] == 0
    for array in (case.prediction, case.target, case.class_weight):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1


def test_replace_leaves_the_rest() -> None:
    case = Case(**INDEX)
    other = case.replace(reduction=Reduction.SUM)
    assert (case.reduction, other.reduction) == (Reduction.NONE, Reduction.SUM)
    assert other.target is not None
    assert other.target.tolist() == [0, 2]


def test_names_are_turned_into_members() -> None:
    case = Case(**{**INDEX, "loss": "softmax_cross_entropy", "target_form": "index", "reduction": "sum"})
    assert case.target_form is TargetForm.INDEX
    assert case.reduction is Reduction.SUM


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_nan_and_infinities_are_data(dtype: Any) -> None:
    case = Case(loss=Loss.SOFTMAX, prediction=np.array([[np.nan, np.inf, -np.inf]], dtype))
    assert case.dtype == np.dtype(dtype).name
    assert case.classes == 3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_and_unrows_are_inverse(axis: int) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    case = Case(loss=Loss.SOFTMAX, prediction=x, class_axis=axis)
    table = rows(case, x)
    assert table.shape == (24 // x.shape[axis], x.shape[axis])
    assert case.batch_shape == tuple(n for k, n in enumerate(x.shape) if k != axis)
    np.testing.assert_array_equal(table[1], np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])[1])
    np.testing.assert_array_equal(unrows(case, table), x)


def test_a_batch_may_be_empty_and_a_single_row_bare() -> None:
    assert Case(loss=Loss.SOFTMAX, prediction=np.zeros((0, 3))).batch_shape == (0,)
    assert Case(loss=Loss.SOFTMAX, prediction=np.zeros(3), class_axis=0).batch_shape == ()


CHANGED: dict[str, Any] = {
    "loss": Loss.KL_DIVERGENCE,
    "prediction": -X,
    "form": Form.PROBABILITIES,
    "target": np.eye(2, 3),
    "target_form": TargetForm.ONE_HOT,
    "class_axis": 0,
    "class_weight": np.ones(3),
    "pos_weight": np.ones(3),
    "sample_weight": np.ones(2),
    "ignore_index": 1,
    "where": np.ones((2, 3), bool),
    "label_smoothing": 0.25,
    "gamma": 2.0,
    "alpha": 0.25,
    "reduction": Reduction.MEAN,
    "cotangent": np.ones(2),
    "direction": np.ones((2, 3)),
}


def test_a_fingerprint_is_that_of_every_field() -> None:
    case = Case(loss=CE, prediction=X, target=X, target_form=TargetForm.DISTRIBUTION)
    assert set(CHANGED) == {field.name for field in dataclasses.fields(Case)}
    others = []
    for name, value in CHANGED.items():
        other = case.replace()
        object.__setattr__(other, name, value)  # whether or not it goes with the rest
        others.append(other.fingerprint)
    assert case.fingerprint == case.replace(prediction=X.copy()).fingerprint
    assert len({case.fingerprint, *others}) == 1 + len(others)


def test_a_fingerprint_tells_dtypes_and_shapes_of_the_same_bytes() -> None:
    zeros = [np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((4, 3), np.float32), np.zeros((6,))]
    assert len({Case(loss=Loss.SOFTMAX, prediction=z, class_axis=0).fingerprint for z in zeros}) == len(zeros)
