"""The canonical form: denominators, smoothing, what becomes of labels, and what is refused."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lossconform.reference.canonical import LabelError, canonical
from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.exact import evaluate
from lossconform.reference.policy import CHOICES, Policy

CE, BCE, KL = Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY, Loss.KL_DIVERGENCE

INDEX = Case(  # four rows; the third is ignored
    loss=CE,
    prediction=np.zeros((4, 3)),
    target=np.array([0, 1, -100, 2]),
    target_form=TargetForm.INDEX,
    ignore_index=-100,
    class_weight=np.array([1.0, 2.0, 0.25]),
    sample_weight=np.array([1.0, 0.5, 8.0, 4.0]),
    reduction=Reduction.MEAN,
)
BINARY = Case(loss=BCE, prediction=np.zeros((4, 3)), target=np.zeros((4, 3)), target_form=TargetForm.BINARY)
IMAGE = Case(  # the first axis is not the only one of the batch
    loss=KL,
    form=Form.LOG_PROBABILITIES,
    prediction=np.zeros((2, 3, 5)),
    target=np.zeros((2, 3, 5)),
    target_form=TargetForm.DISTRIBUTION,
)


@pytest.mark.parametrize(
    ("case", "kind", "wanted"),
    [
        (INDEX, "elements", 4),
        (INDEX, "kept", 3),
        (INDEX, "weights", Fraction(1) + Fraction(1, 2) * 2 + 4 * Fraction(1, 4)),
        (INDEX, "batch", 4),
        (BINARY, "elements", 12),
        (BINARY, "kept", 12),
        (BINARY, "weights", 12),
        (BINARY, "batch", 4),
        (IMAGE, "elements", 30),
        (IMAGE, "batch", 2),
    ],
)
def test_what_a_mean_divides_by(case: Case, kind: str, wanted: Fraction) -> None:
    assert canonical(case.replace(reduction=Reduction.MEAN), Policy(mean_denominator=kind)).denominator == wanted


@pytest.mark.parametrize("rule", ["sum", "mean"])
def test_a_class_axis_that_is_reduced_first_is_not_counted_again(rule: str) -> None:
    problem = canonical(BINARY.replace(reduction=Reduction.MEAN), Policy(class_axis_reduction=rule))
    assert problem.denominator == 4


def test_reductions_that_name_their_denominator() -> None:
    policy = Policy(mean_denominator="kept")
    assert canonical(IMAGE.replace(reduction=Reduction.BATCH_MEAN), policy).denominator == 2
    assert canonical(INDEX.replace(reduction=Reduction.WEIGHTED_MEAN), policy).denominator == Fraction(11, 2)
    assert canonical(INDEX.replace(reduction=Reduction.SUM), policy).denominator == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_batch_is_the_first_axis_whatever_it_is(axis: int) -> None:
    case = IMAGE.replace(class_axis=axis, reduction=Reduction.BATCH_MEAN)
    assert canonical(case, Policy()).denominator == 2


def test_a_label_that_is_silently_0_counts_in_a_mean() -> None:
    case = INDEX.replace(target=np.array([0, -1, -100, 3]))
    silent = Policy(negative_label="zero", label_too_large="zero", mean_denominator="kept")
    assert canonical(case, silent).denominator == 3
    weights = canonical(case, silent.replace(mean_denominator="weights"))  # a label that is no class weighs 1
    assert weights.denominator == Fraction(1) + Fraction(1, 2) + 4


def test_nothing_to_divide_by() -> None:
    ignored = INDEX.replace(target=np.full(4, -100))
    assert canonical(ignored, Policy(mean_denominator="kept")).denominator is None
    assert canonical(ignored, Policy(mean_denominator="elements")).denominator == 4
    assert canonical(INDEX.replace(sample_weight=np.zeros(4)), Policy(mean_denominator="weights")).denominator is None


@pytest.mark.parametrize(
    ("loss", "rule", "classes", "label", "others"),
    [
        (CE, "all_classes", 4, Fraction(3, 4) + Fraction(1, 16), Fraction(1, 16)),
        (CE, "other_classes", 4, Fraction(3, 4), Fraction(1, 12)),
        (CE, "all_classes", 1, Fraction(1), Fraction(1, 4)),
        (CE, "other_classes", 1, Fraction(1), Fraction(1, 4)),
        (BCE, "all_classes", 4, Fraction(7, 8), Fraction(1, 8)),
        (BCE, "other_classes", 4, Fraction(7, 8), Fraction(1, 8)),
    ],
)
def test_what_a_target_of_one_and_of_zero_become(
    loss: Loss, rule: str, classes: int, label: Fraction, others: Fraction
) -> None:
    x = np.zeros((1, classes))
    case = Case(loss=loss, prediction=x, target=x, target_form=TargetForm.ONE_HOT, label_smoothing=0.25)
    keep, share = canonical(case, Policy(smoothing=rule)).smoothing
    assert (keep + share, share) == (label, others)


@pytest.mark.parametrize(
    ("policies", "label", "wanted"),
    [
        # what the policies say, the label of a row of three classes, the label it is read as
        ({}, 2, 2),
        ({"negative_label": "wrapped"}, -1, 2),
        ({"negative_label": "wrapped"}, -3, 0),
        ({"negative_label": "wrapped"}, -4, "refused"),
        ({"negative_label": "clamped"}, -7, 0),
        ({"negative_label": "zero"}, -1, "ignored"),
        ({"negative_label": "nan"}, -1, "nan"),
        ({"negative_label": "refused"}, -1, "refused"),
        ({"negative_label": "clamped"}, 3, "refused"),
        ({"label_too_large": "clamped"}, 7, 2),
        ({"label_too_large": "zero"}, 3, "ignored"),
        ({"label_too_large": "nan"}, 3, "nan"),
        ({"label_too_large": "refused"}, 3, "refused"),
        ({"label_too_large": "clamped"}, -1, "refused"),
    ],
)
def test_what_becomes_of_a_label(policies: dict[str, str], label: int, wanted: Any) -> None:
    case = INDEX.replace(target=np.array([0, 1, -100, label]))
    if wanted == "refused":
        with pytest.raises(LabelError, match=re.escape(f"target: label {label}; expected 0 to 2")):
            canonical(case, Policy(**policies))
        return
    problem = canonical(case, Policy(**policies))
    assert problem.kept.tolist() == [True, True, False, wanted != "ignored"]
    assert problem.nan_rows.tolist() == [False, False, False, wanted == "nan"]
    assert problem.base is not None
    hot = np.flatnonzero(problem.base[3]).tolist()
    assert hot == ([wanted] if isinstance(wanted, int) else [])
    if hot:
        assert problem.label_weight[3] == [1.0, 2.0, 0.25][hot[0]]


def test_an_ignored_label_is_ignored_before_anything_else() -> None:
    for index in (-100, 7, 1):
        case = INDEX.replace(ignore_index=index, target=np.array([0, index, 2, 0]))
        assert canonical(case, Policy()).kept.tolist() == [True, False, True, True]


X, ZEROS = INDEX.prediction, np.zeros((4, 3))
ENTROPY = Case(loss=Loss.ENTROPY, prediction=X)


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        (INDEX, {"pos_weight": np.ones(3)}, "pos_weight: given for softmax_cross_entropy; expected one of binary"),
        (
            INDEX,
            {"where": X == 0, "form": Form.PROBABILITIES},
            "where: given for probabilities; expected logits",
        ),
        (BINARY, {"where": X == 0}, "where: given for binary_cross_entropy"),
        (BINARY, {"ignore_index": 0}, "ignore_index: given with a target of form binary; expected an index target"),
        (IMAGE, {"class_weight": np.ones(3)}, "class_weight: given for kl_divergence"),
        (IMAGE, {"label_smoothing": 0.1}, "label_smoothing: given for kl_divergence"),
        (ENTROPY, {"sample_weight": np.ones(4)}, "sample_weight: given for entropy"),
        (ENTROPY, {"ignore_index": 0}, "ignore_index: given for entropy"),
        (ENTROPY, {"form": Form.PROBABILITIES}, "form: probabilities for entropy"),
        (INDEX, {"cotangent": np.ones(4)}, "cotangent: shape (4,); expected ()"),
        (BINARY, {"cotangent": np.ones(4)}, "cotangent: shape (4,); expected (4, 3)"),
    ],
)
def test_an_option_that_means_nothing_is_refused(case: Case, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        evaluate(case.replace(**change))


def test_a_policy_with_an_unknown_value_is_refused() -> None:
    with pytest.raises(ValueError, match="policy smoothing: 'some'; expected one of all_classes, other_classes"):
        Policy(smoothing="some")


def test_alternatives_are_the_values_of_one_policy() -> None:
    for name, values in CHOICES.items():
        others = Policy().alternatives(name)
        assert list(others) == list(values)
        assert all(getattr(policy, name) == value for value, policy in others.items())


@pytest.mark.parametrize(
    ("case", "policy", "shape"),
    [
        (INDEX.replace(reduction=Reduction.NONE), {}, (4,)),
        (INDEX, {}, ()),
        (BINARY, {}, (4, 3)),
        (BINARY, {"class_axis_reduction": "sum"}, (4,)),
        (IMAGE, {}, (2, 3, 5)),
        (IMAGE, {"class_axis_reduction": "mean"}, (2, 5)),
        (ENTROPY, {}, (4,)),
        (ENTROPY.replace(loss=Loss.LOG_SOFTMAX), {}, (4, 3)),
        (ENTROPY.replace(loss=Loss.SOFTMAX, prediction=np.zeros((2, 3, 5))), {}, (2, 3, 5)),
        (Case(loss=CE, prediction=np.zeros(3), class_axis=0, target=np.array(1), target_form=TargetForm.INDEX), {}, ()),
    ],
)
def test_shapes_of_value_and_gradient(case: Case, policy: dict[str, str], shape: tuple[int, ...]) -> None:
    assert canonical(case, Policy(**policy)).value_shape == shape
    result = evaluate(case, Policy(**policy))
    assert result.value.shape == shape
    assert result.gradient is not None
    assert result.gradient.shape == case.prediction.shape
    assert evaluate(case, Policy(**policy), gradient=False).gradient is None
