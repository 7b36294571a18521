"""What a Hessian-vector product of NaN, of infinities, of probability 0, and of nothing at all is.

Each table reads: the prediction of one row, the target, the policies, the direction, the product. 0, NaN and infinities
are compared exactly, other numbers to ten digits. Policies not named are the default ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lossconform.reference import tiers
from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.exact import evaluate
from lossconform.reference.policy import Policy

NAN, INF = np.nan, np.inf
NANS, NOTHING = [NAN] * 3, [0.0] * 3
CE, BCE, KL = Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY, Loss.KL_DIVERGENCE
NLL, PROBABILITIES = Form.LOG_PROBABILITIES, Form.PROBABILITIES
FLOOR = float(np.float32(1e-12))
ASSUMED, DIVIDED = {"target_sum": "assumed_one"}, {"probability_sum": "renormalised"}
CLIPPED, CLAMPED = {"probability_range": "clipped"}, {"probability_range": "log_clamped"}

INDEX = [
    # logits            label  policies                              direction     product
    ([0, 0, 0],         0,     {},                                   [3, 0, 0],    [2 / 3, -1 / 3, -1 / 3]),
    ([0, 0, 0],         0,     {},                                   [5, 5, 5],    NOTHING),
    ([1, 0, 2],         0,     {},                                   [5, 5, 5],    NOTHING),
    ([0, 0, 9],         0,     {},                                   [2, 2, 2],    NOTHING),
    ([NAN, 0, 0],       1,     {},                                   [0, 0, 0],    NANS),
    ([-INF, 0, 0],      1,     {},                                   [7, 1, 0],    [0, 0.25, -0.25]),
    ([-INF, 0, 0],      0,     {},                                   [7, 1, 0],    [0, 0.25, -0.25]),
    ([-INF, -INF, 0],   2,     {},                                   [1, 2, 3],    NOTHING),
    ([-INF, -INF, -INF], 0,    {},                                   [1, 2, 3],    NANS),
    ([INF, 0, 0],       0,     {"infinite_logit": "limit"},          [1, 2, 3],    NANS),
    ([0, 0, 0],         -1,    {"negative_label": "nan"},            [0, 0, 0],    NANS),
    ([0, 0, 0],         -1,    {"negative_label": "zero"},           [1, 2, 3],    NOTHING),
    ([0, 0, 0],         3,     {"label_too_large": "clamped"},       [3, 0, 0],    [2 / 3, -1 / 3, -1 / 3]),
    ([NAN, 0, INF],     -100,  {},                                   [1, 2, 3],    NOTHING),
    ([NAN, 0, 0],       -100,  {"ignored_nonfinite": "propagated"},  [1, 2, 3],    NANS),
    ([1, 0, 0],         -100,  {"ignored_nonfinite": "propagated"},  [1, 2, 3],    NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(("x", "label", "policies", "direction", "wanted"), INDEX, ids=str)
def test_softmax_cross_entropy_of_an_index(x: Any, label: int, policies: Any, direction: Any, wanted: Any) -> None:
    case = Case(loss=CE, prediction=np.array([x], float), target=np.array([label]), target_form=TargetForm.INDEX)
    special(case.replace(ignore_index=-100), policies, direction, wanted)


WITH_TARGET = [
    # loss, form         prediction      target       policies direction   product
    (CE,  Form.LOGITS,   [0, 0, 0],      [0, 0, 0],   {},      [3, 0, 0],  NOTHING),
    (CE,  Form.LOGITS,   [0, 0, 0],      [0, 0, 0],   ASSUMED, [3, 0, 0],  [2 / 3, -1 / 3, -1 / 3]),
    (CE,  Form.LOGITS,   [0, 0, 0],      [1, 1, 1],   {},      [3, 0, 0],  [2, -1, -1]),
    (CE,  Form.LOGITS,   [0, 0, 0],      [1, 1, 1],   ASSUMED, [3, 0, 0],  [2 / 3, -1 / 3, -1 / 3]),
    (CE,  NLL,           [NAN, 0, -INF], [1, 0, 1],   {},      [1, 2, 3],  NOTHING),
    (CE,  PROBABILITIES, [0, 0.5, 0.5],  [0, 1, 0],   {},      [1, 3, 3],  [0, 12, 0]),
    (CE,  PROBABILITIES, [0, 0.5, 0.5],  [1, 0, 0],   {},      [-1, 3, 3], [-INF, 0, 0]),
    (CE,  PROBABILITIES, [0, 0.5, 0.5],  [1, 0, 0],   {},      [0, 3, 3],  NOTHING),
    (CE,  PROBABILITIES, [-0.5, 1, 0.5], [0, 1, 0],   {},      [1, 3, 3],  [0, 3, 0]),
    (CE,  PROBABILITIES, [NAN, 1, 0.5],  [0, 1, 0],   {},      [1, 3, 3],  NANS),
    (CE,  PROBABILITIES, [2, 1, 1],      [1, 0, 0],   DIVIDED, [1, 0, 0],  [0.1875, -0.0625, -0.0625]),
    (CE,  PROBABILITIES, [2, 1, 1],      [1, 0, 0],   DIVIDED, [2, 1, 1],  [0.25, -0.25, -0.25]),
    (CE,  PROBABILITIES, [0, 0, 0],      [1, 0, 0],   DIVIDED, [1, 0, 0],  NANS),
    (CE,  PROBABILITIES, [0, 1, 0],      [1, 1, 0],   CLIPPED, [1, 1, 1],  NOTHING),
    (BCE, Form.LOGITS,   [0, INF, -INF], [1, 1, 0],   {},      [4, 1, 1],  [1, 0, 0]),
    (BCE, Form.LOGITS,   [0, 0, 0],      [1, 0, 0.5], {},      [4, 4, 4],  [1, 1, 1]),
    (BCE, Form.LOGITS,   [NAN, 0, 0],    [1, 1, 1],   {},      [0, 0, 4],  [NAN, 0, 1]),
    (BCE, PROBABILITIES, [0.5, 0, 1],    [1, 1, 0],   {},      [1, -1, 1], [4, -INF, INF]),
    (BCE, PROBABILITIES, [0, 1, 0],      [0, 1, 1],   {},      [3, 3, 0],  [3, 3, 0]),
    (BCE, PROBABILITIES, [NAN, -0.5, 2], [0, 1, 1],   {},      [0, 1, 1],  [NAN, 4, 0.25]),
    (BCE, PROBABILITIES, [0, 1, 0.5],    [1, 1, 1],   CLIPPED, [1, 1, 1],  [0, 0, 4]),
    (BCE, PROBABILITIES, [0, 1, 0.5],    [1, 1, 1],   CLAMPED, [1, 2, 1],  [1 / FLOOR, 2 / FLOOR, 4]),
    (BCE, PROBABILITIES, [0, 1, 0.5],    [0, 0.5, 1], CLAMPED, [1, 2, 1],  [1 / FLOOR, 2 / FLOOR, 4]),
    (KL,  NLL,           [NAN, 0, -INF], [1, 0, 1],   {},      [1, 2, 3],  NOTHING),
    (KL,  PROBABILITIES, [0.5, 0, 0],    [1, 0, 0.5], {},      [3, 1, -1], [12, 0, -INF]),
    (KL,  PROBABILITIES, [NAN, 0.5, 2],  [1, 0.5, 1], CLIPPED, [0, 1, 1],  [NAN, 2, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "form", "x", "t", "policies", "direction", "wanted"), WITH_TARGET, ids=str)
def test_losses_with_a_target(
    loss: Loss, form: Form, x: Any, t: Any, policies: Any, direction: Any, wanted: Any
) -> None:
    target_form = TargetForm.BINARY if loss is BCE else TargetForm.DISTRIBUTION
    target = np.array([t], float)
    case = Case(loss=loss, form=form, prediction=np.array([x], float), target=target, target_form=target_form)
    special(case, policies, direction, wanted)


GEOMETRIC, LOGIT, TERMS = ({"focal_target": rule} for rule in ("geometric", "logit", "terms"))
LOG2, LEAST = float(np.log(2)), -float(np.log(1 - 1e-7))
FOCAL = [
    # form          prediction  target gamma  policies                            product
    (Form.LOGITS,   0,          1,     0,     {},                                 0.25),
    (Form.LOGITS,   0,          1,     1,     {},                                 0.375),
    (Form.LOGITS,   0,          0,     2,     {},                                 (LOG2 + 2.5) / 8),
    (Form.LOGITS,   0,          0.5,   2.5,   {},                                 2**-4.5),
    (Form.LOGITS,   0,          0.5,   2.5,   LOGIT,                              2**-4.5),
    (Form.LOGITS,   0,          0.5,   1,     GEOMETRIC,                          0.25 * (0.5 + LOG2 / 2)),
    (Form.LOGITS,   0,          0.5,   1,     TERMS,                              0.375),
    (Form.LOGITS,   INF,        0,     0.5,   {},                                 0),
    (Form.LOGITS,   -INF,       0.25,  2,     {},                                 0),
    (Form.LOGITS,   NAN,        1,     2,     {},                                 NAN),
    (PROBABILITIES, 0.5,        1,     0,     {},                                 4),
    (PROBABILITIES, 0.5,        1,     1,     {},                                 6),
    (PROBABILITIES, 0,          1,     2,     {},                                 INF),
    (PROBABILITIES, 1,          0,     2,     {},                                 INF),
    (PROBABILITIES, 0,          0.5,   2,     {},                                 INF),
    (PROBABILITIES, 0,          0.25,  2,     LOGIT,                              NAN),
    (PROBABILITIES, 0.5,        0.5,   2,     {},                                 1),
    (PROBABILITIES, 1.5,        1,     2,     {},                                 NAN),
    # factors of 0, whose loss is 0 too
    (PROBABILITIES, 1,          1,     0.5,   {},                                 INF),
    (PROBABILITIES, 1,          1,     1,     {},                                 2),
    (PROBABILITIES, 0,          0,     1,     {},                                 2),
    (PROBABILITIES, 1,          1,     1.5,   {},                                 0),
    (PROBABILITIES, 1,          1,     0.5,   CLAMPED,                            -INF),
    (PROBABILITIES, 1,          1,     1,     CLAMPED,                            0),
    # factors of 0, whose loss is clipped
    (PROBABILITIES, 1,          1,     0.5,   CLIPPED,                            -INF),
    (PROBABILITIES, 1,          1,     1,     CLIPPED,                            0),
    (PROBABILITIES, 1,          1,     1.5,   CLIPPED,                            INF),
    (PROBABILITIES, 1,          1,     2,     CLIPPED,                            2 * LEAST),
    (PROBABILITIES, 0,          0,     2,     CLIPPED,                            2 * -np.log1p(-1e-7)),
    (PROBABILITIES, 1,          1,     3,     CLIPPED,                            0),
    (PROBABILITIES, 0,          1,     2,     CLIPPED,                            -2 * np.log(1e-7)),
    (PROBABILITIES, 0,          1,     2,     {**CLIPPED, "focal_range": "clipped"}, 0),
    (PROBABILITIES, 0,          0.5,   2,     {**CLIPPED, **LOGIT},               NAN),
    (PROBABILITIES, 0,          1,     2,     CLAMPED,                            5 / FLOOR + 200),
]  # fmt: skip


@pytest.mark.parametrize(("form", "x", "t", "gamma", "policies", "wanted"), FOCAL, ids=str)
def test_a_focal_loss(form: Form, x: float, t: float, gamma: float, policies: Any, wanted: float) -> None:
    prediction, target = (np.array([[v, v, v]], float) for v in (x, t))
    case = Case(loss=Loss.FOCAL, form=form, prediction=prediction, target=target, target_form=TargetForm.BINARY)
    beyond = -wanted if np.isinf(wanted) else -2 * wanted
    nothing = NAN if np.isnan(wanted) else 0
    special(case.replace(gamma=gamma), policies, [1, 0, -1 if np.isinf(wanted) else -2], [wanted, nothing, beyond])


FUNCTIONS = [
    # function          logits               where                  direction     product
    (Loss.LOG_SUM_EXP,  [NAN, 0, 0],         [False, True, True],   [9, 1, 0],    [0, 0.25, -0.25]),
    (Loss.LOG_SUM_EXP,  [INF, 0, 0],         None,                  [1, 2, 3],    NANS),
    (Loss.SOFTMAX,      [0, 0, 0],           None,                  [1, 2, 3],    NOTHING),  # the cotangent is all ones
    (Loss.SOFTMAX,      [-INF, 0, 0],        None,                  [1, 2, 3],    NOTHING),
    (Loss.SOFTMAX,      [INF, 0, 0],         None,                  [1, 2, 3],    NANS),
    (Loss.LOG_SOFTMAX,  [0, 0, 0],           None,                  [3, 0, 0],    [-2, 1, 1]),
    (Loss.LOG_SOFTMAX,  [9, 0, 0],           [False, True, True],   [7, 1, 0],    [0, -0.5, 0.5]),
    (Loss.ENTROPY,      [0, 0, 0],           None,                  [3, 0, 0],    [-2 / 3, 1 / 3, 1 / 3]),
    (Loss.ENTROPY,      [-INF, 0, 0],        None,                  [3, 1, 0],    [0, -0.25, 0.25]),
    (Loss.ENTROPY,      [NAN, 0, 0],         None,                  [1, 2, 3],    NANS),
    (Loss.LOG_SIGMOID,  [0, INF, -INF],      None,                  [4, 1, 1],    [-1, 0, 0]),
    (Loss.LOG_SIGMOID,  [NAN, 0, 0],         None,                  [0, 0, -4],   [NAN, 0, 1]),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "x", "where", "direction", "wanted"), FUNCTIONS, ids=str)
def test_functions_without_a_target(loss: Loss, x: Any, where: Any, direction: Any, wanted: Any) -> None:
    case = Case(loss=loss, prediction=np.array([x], float))
    special(case if where is None else case.replace(where=np.array([where])), {}, direction, wanted)


def special(case: Case, policies: dict[str, str], direction: Any, wanted: Any) -> None:
    """Assert that a case of one row has this product, from the exact tier and from all of them."""
    case = case.replace(direction=np.array([direction], float))
    asked = evaluate(case, Policy(**policies)), tiers.evaluate(case, Policy(**policies))
    for found in (result.hessian_product for result in asked):
        assert found is not None
        np.testing.assert_allclose(found.h, np.array([wanted], float), rtol=1e-10, atol=0)
        odd = ~np.isfinite(found.h) | (found.h == 0)
        assert not found.lo[odd].any()
        assert not found.hi[odd].any()


MEANS = [
    # labels        weights   policies                                                     product of the first row
    ([-100, -100],  None,     {"mean_denominator": "kept"},                                [0, 0]),
    ([0, 0],        [0, 0],   {"mean_denominator": "weights"},                             [NAN, NAN]),
    ([0, 0],        [0, 0],   {"mean_denominator": "weights", "zero_denominator": "zero"}, [0, 0]),
    ([0, 0],        [0, 0],   {"mean_denominator": "elements"},                            [0, 0]),
    ([0, -100],     None,     {"mean_denominator": "kept"},                                [0.25, -0.25]),
    ([0, -100],     None,     {"mean_denominator": "elements"},                            [0.125, -0.125]),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "weights", "policies", "wanted"), MEANS, ids=str)
def test_means_over_little_and_over_nothing(labels: Any, weights: Any, policies: Any, wanted: Any) -> None:
    case = Case(
        loss=CE,
        prediction=np.zeros((2, 2)),
        target=np.array(labels),
        target_form=TargetForm.INDEX,
        ignore_index=-100,
        sample_weight=None if weights is None else np.array(weights, float),
        reduction=Reduction.MEAN,
        direction=np.array([[1.0, 0.0]] * 2),
    )
    for ask in (evaluate, tiers.evaluate):
        found = ask(case, Policy(**policies)).hessian_product
        assert found is not None
        np.testing.assert_array_equal(found.h[0], wanted)


def test_no_rows_and_no_direction() -> None:
    case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.zeros((0, 3)))
    for ask in (evaluate, tiers.evaluate):
        assert ask(case).hessian_product is None
        found = ask(case.replace(direction=np.zeros((0, 3)))).hessian_product
        assert found is not None
        assert found.shape == (0, 3)
