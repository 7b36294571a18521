"""Targets of one class: the float64 tiers read the other classes no more, and no less, than the exact tier does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from containment import strays

from lossconform.reference import double_double_losses, exact, fast
from lossconform.reference.bounds import Bounds
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case, Form, Loss, TargetForm
from lossconform.reference.one_class import Chosen, by_target, one_class
from lossconform.reference.policy import Policy

TIERS: dict[str, Any] = {"fast": fast.evaluate, "double-double": double_double_losses.evaluate}

ODD = (np.nan, np.inf, -np.inf, -0.5, -0.0, 0.0, 1.5, 1e-320, 0.25, 1.0)

OTHERS = np.array([[0.25, v, 0.5] for v in ODD] + [[v, 0.5, 0.25] for v in ODD])
"""The label's own probability, class 0, beside each odd one, and each odd one as the label's."""


def case_of(form: Form, hot: bool, prediction: Any = OTHERS, **options: Any) -> Case:
    """Return a case of which every row has class 0."""
    labels = np.zeros(len(prediction), np.int64)
    target, kind = (np.eye(3)[labels], TargetForm.ONE_HOT) if hot else (labels, TargetForm.INDEX)
    return Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY, form=form, prediction=prediction, target=target, target_form=kind, **options
    )


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("form", "rule"),
    [
        (Form.LOG_PROBABILITIES, {}),
        *((Form.PROBABILITIES, {"probability_range": rule}) for rule in ("as_given", "clipped", "clipped_in_dtype")),
        (Form.PROBABILITIES, {"probability_sum": "renormalised"}),
    ],
)
@pytest.mark.parametrize("hot", [False, True])
@pytest.mark.parametrize("zero", ["zero", "nan"])
def test_odd_numbers_count_as_the_exact_tier_has_them(
    tier: str, form: Form, rule: dict[str, str], zero: str, hot: bool
) -> None:
    weights = np.resize([0.0, 1.0, 0.3], len(OTHERS))
    for options in ({}, {"sample_weight": weights}):
        problem = canonical(case_of(form, hot, **options), Policy(zero_times_infinity=zero, **rule))
        truth = exact.evaluate(problem.case, problem.policy)
        mine = TIERS[tier](problem)
        # The finite rows without anything odd are this tier's own.
        assert mine.covered[[8, 9, 18, 19]].all()
        assert not strays(mine.value, truth.value.reshape((-1, 1)))[mine.covered].any()
        assert truth.gradient is not None
        assert not strays(mine.gradient, truth.gradient)[mine.covered].any()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("form", [Form.PROBABILITIES, Form.LOG_PROBABILITIES])
def test_rows_apart_are_the_rows_together(tier: str, form: Form) -> None:
    g = np.random.default_rng(0)
    p = g.dirichlet(np.ones(3), 12)
    target = np.where(g.random((12, 1)) < 0.5, np.eye(3)[g.integers(0, 3, 12)], g.integers(1, 5, (12, 3)) / 4)
    case = Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        form=form,
        prediction=p if form is Form.PROBABILITIES else np.log(p),
        target=target,
        target_form=TargetForm.DISTRIBUTION,
        class_weight=np.array([0.3, 2.0, 1.0]),
    )
    problem = canonical(case, Policy())
    assert 0 < one_class(problem).sum() < 12
    mine, truth = TIERS[tier](problem), exact.evaluate(case)
    assert mine.covered.all()
    assert not strays(mine.value, truth.value.reshape((-1, 1))).any()
    assert truth.gradient is not None
    assert not strays(mine.gradient, truth.gradient).any()


def test_each_row_goes_by_its_own_path() -> None:
    target = np.array([[0, 2, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]) / 2
    case = Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction=np.zeros((4, 3)),
        target=target,
        target_form=TargetForm.DISTRIBUTION,
        sample_weight=np.array([1.0, 2.0, 3.0, 4.0]),
        class_weight=np.array([5.0, 6.0, 2.0**-300]),
    )
    problem = canonical(case, Policy())
    assert one_class(problem).tolist() == [True, False, True, False]
    asked: dict[str, list[float]] = {}

    def path(name: str) -> Any:
        def evaluate(some: Any) -> Bounds:
            asked[name] = some.row_weight.tolist()
            return fast.FAMILIES[case.loss, case.form](some, True, False)

        return evaluate

    whole = by_target(problem, path("one"), path("others"))
    assert asked == {"one": [1.0, 3.0], "others": [2.0, 4.0]}
    together = fast.FAMILIES[case.loss, case.form](problem, True, False)
    np.testing.assert_array_equal(whole.value.h, together.value.h)
    np.testing.assert_array_equal(whole.covered, together.covered)


def test_a_class_comes_with_the_factors_of_its_weight() -> None:
    given = {"sample_weight": np.array([1.0, 2.0]), "class_weight": np.array([5.0, 6.0, 2.0**-300])}
    hot = np.array([[0, 0.5, 0], [0, 0, 0.25]])
    soft = Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction=np.arange(6.0).reshape(2, 3),
        target=hot,
        target_form=TargetForm.DISTRIBUTION,
        **given,
    )
    chosen = Chosen.of(canonical(soft, Policy()))
    assert chosen.labels.tolist() == [1, 2]
    assert np.prod(chosen.weights, axis=0).tolist() == [6 * 0.5, 2 * 2.0**-300 * 0.25]
    assert chosen.sane.tolist() == [True, False]
    assert chosen.at(soft.prediction).tolist() == [1.0, 5.0]
    plain = case_of(Form.LOGITS, False, np.zeros((2, 3)))
    assert Chosen.of(canonical(plain, Policy())).weights == []
