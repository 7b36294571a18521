"""What a loss of NaN, of infinities, of probability 0, and of nothing at all is.

Each table reads: the prediction of one row, the target, the policies, the value, the gradient. A number is compared
exactly where it is 0, NaN or infinite, and to ten digits elsewhere. Policies not named are the default ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.exact import evaluate
from lossconform.reference.policy import Policy

NAN, INF = math.nan, math.inf
LN2, LN3 = math.log(2), math.log(3)
NANS = [NAN, NAN, NAN]
THIRDS = [1 / 3, 1 / 3, 1 / 3]
CE, BCE, KL = Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY, Loss.KL_DIVERGENCE
NLL, PROBABILITIES = Form.LOG_PROBABILITIES, Form.PROBABILITIES


def check(case: Case, policies: dict[str, str], value: Any, gradient: Any) -> None:
    """Assert that a case has this value and this gradient."""
    result = evaluate(case, Policy(**policies))
    assert result.gradient is not None
    for got, wanted in ((result.value, value), (result.gradient, gradient)):
        wanted = np.asarray(wanted, dtype=np.float64)
        np.testing.assert_allclose(got.h, np.broadcast_to(wanted, got.shape), rtol=1e-10, atol=0)
        odd = ~np.isfinite(got.h) | (got.h == 0)
        exact = odd & np.broadcast_to((wanted == 0) | ~np.isfinite(wanted), got.shape)
        assert np.all(got.lo[exact] == 0)
        assert np.all(got.hi[exact] == 0)


def names(row: Any) -> str:
    return str(row).replace("array", "")[:60]


INDEX = [
    # logits            label  policies                          value       gradient
    ([0, 0, 0],         0,     {},                               LN3,        [-2 / 3, 1 / 3, 1 / 3]),
    ([5, 5, 5],         2,     {},                               LN3,        [1 / 3, 1 / 3, -2 / 3]),
    ([NAN, 0, 0],       0,     {},                               NAN,        NANS),
    ([NAN, 0, 0],       1,     {},                               NAN,        NANS),
    ([-INF, 0, 0],      0,     {},                               INF,        [-1, 0.5, 0.5]),
    ([-INF, 0, 0],      1,     {},                               LN2,        [0, -0.5, 0.5]),
    ([-INF, -INF, 0],   2,     {},                               0,          [0, 0, 0]),
    ([-INF, -INF, -INF], 0,    {},                               NAN,        NANS),
    ([INF, 0, 0],       0,     {},                               NAN,        NANS),
    ([INF, 0, 0],       0,     {"infinite_logit": "limit"},      0,          NANS),
    ([INF, 0, 0],       1,     {"infinite_logit": "limit"},      INF,        NANS),
    ([INF, INF, 0],     0,     {"infinite_logit": "limit"},      NAN,        NANS),
    ([INF, -INF, 0],    0,     {"infinite_logit": "limit"},      0,          NANS),
    ([INF, NAN, 0],     0,     {"infinite_logit": "limit"},      NAN,        NANS),
    ([INF, 0, 0],       0,     {"infinite_logit": "as_difference"}, NAN,     NANS),
    ([INF, 0, 0],       1,     {"infinite_logit": "as_difference"}, INF,     NANS),
    # an index target is looked up, so no class is ever multiplied by 0
    ([-INF, 0, 0],      1,     {"zero_times_infinity": "nan"},   LN2,        [0, -0.5, 0.5]),
    # a label that is not a class
    ([0, 0, 0],         -1,    {"negative_label": "nan"},        NAN,        NANS),
    ([0, 0, 0],         -1,    {"negative_label": "zero"},       0,          [0, 0, 0]),
    ([0, 0, 0],         -1,    {"negative_label": "wrapped"},    LN3,        [1 / 3, 1 / 3, -2 / 3]),
    ([0, 0, 0],         3,     {"label_too_large": "nan"},       NAN,        NANS),
    ([0, 0, 0],         3,     {"label_too_large": "clamped"},   LN3,        [1 / 3, 1 / 3, -2 / 3]),
    # an ignored row
    ([0, 0, 0],         -100,  {},                               0,          [0, 0, 0]),
    ([NAN, 0, INF],     -100,  {},                               0,          [0, 0, 0]),
    ([NAN, 0, 0],       -100,  {"ignored_nonfinite": "propagated"}, NAN,     NANS),
    ([1, 0, 0],         -100,  {"ignored_nonfinite": "propagated"}, 0,       [0, 0, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("x", "label", "policies", "value", "gradient"), INDEX, ids=names)
def test_softmax_cross_entropy_of_an_index(x: Any, label: int, policies: Any, value: Any, gradient: Any) -> None:
    case = Case(
        loss=CE,
        prediction=np.array([x], float),
        target=np.array([label]),
        target_form=TargetForm.INDEX,
        ignore_index=-100,
    )
    check(case, policies, value, gradient)


DISTRIBUTIONS = [
    # logits            target           policies                          value       gradient
    ([-INF, 0, 0],      [0, 0.5, 0.5],   {},                               LN2,        [0, 0, 0]),
    ([-INF, 0, 0],      [0, 0.5, 0.5],   {"zero_times_infinity": "nan"},   NAN,        [0, 0, 0]),
    ([-INF, 0, 0],      [0.5, 0.5, 0],   {},                               INF,        [-0.5, 0, 0.5]),
    ([0, 0, 0],         [0, 0, 0],       {},                               0,          [0, 0, 0]),
    ([0, 0, 0],         [0, 0, 0],       {"target_sum": "assumed_one"},    0,          THIRDS),
    ([0, 0, 0],         [1, 1, 1],       {},                               3 * LN3,    [0, 0, 0]),
    ([0, 0, 0],         [1, 1, 1],       {"target_sum": "assumed_one"},    3 * LN3,    [-2 / 3] * 3),
    ([NAN, 0, 0],       [0, 1, 0],       {},                               NAN,        NANS),
    ([INF, 0, 0],       [1, 0, 0],       {"infinite_logit": "limit"},      0,          NANS),
    ([INF, 0, 0],       [0.5, 0.5, 0],   {"infinite_logit": "limit"},      INF,        NANS),
    ([INF, 0, 0],       [0.5, 0.5, 0],   {"infinite_logit": "as_difference"}, NAN,     NANS),
    ([INF, 0, 0],       [0, 0, 0],       {"infinite_logit": "as_difference"}, 0,       NANS),
]  # fmt: skip


@pytest.mark.parametrize(("x", "t", "policies", "value", "gradient"), DISTRIBUTIONS, ids=names)
def test_softmax_cross_entropy_of_a_distribution(x: Any, t: Any, policies: Any, value: Any, gradient: Any) -> None:
    check(soft(CE, Form.LOGITS, x, t), policies, value, gradient)


def soft(loss: Loss, form: Form, x: Any, t: Any, target_form: TargetForm = TargetForm.DISTRIBUTION) -> Case:
    """Return a case of one row with a target of the prediction's shape."""
    return Case(
        loss=loss,
        form=form,
        prediction=np.array([x], float),
        target=np.array([t], float),
        target_form=target_form,
    )


LIKELIHOODS = [
    # form          prediction        target          policies                              value    gradient
    (NLL,           [-INF, 0, -1],    [0, 0, 1],      {},                                   1,       [0, 0, -1]),
    (NLL,           [-INF, 0, -1],    [0, 0, 1],      {"zero_times_infinity": "nan"},       NAN,     [0, 0, -1]),
    (NLL,           [-INF, 0, -1],    [1, 0, 0],      {},                                   INF,     [-1, 0, 0]),
    (NLL,           [NAN, 0, -1],     [0, 0, 1],      {},                                   1,       [0, 0, -1]),
    (NLL,           [NAN, 0, -1],     [1, 0, 0],      {},                                   NAN,     [-1, 0, 0]),
    (NLL,           [3, 0, -1],       [1, 0, 0],      {},                                   -3,      [-1, 0, 0]),
    (PROBABILITIES, [0, 0.5, 0.5],    [0, 1, 0],      {},                                   LN2,     [0, -2, 0]),
    (PROBABILITIES, [0, 0.5, 0.5],    [0, 1, 0],      {"zero_times_infinity": "nan"},       NAN,     [0, -2, 0]),
    (PROBABILITIES, [0, 0.5, 0.5],    [1, 0, 0],      {},                                   INF,     [-INF, 0, 0]),
    (PROBABILITIES, [0, 1, 0],        [0, 1, 0],      {},                                   0,       [0, -1, 0]),
    (PROBABILITIES, [2, 1, 1],        [1, 0, 0],      {},                                   -LN2,    [-0.5, 0, 0]),
    (PROBABILITIES, [2, 1, 1],        [1, 0, 0],      {"probability_sum": "renormalised"},  LN2,   [-0.25, 0.25, 0.25]),
    (PROBABILITIES, [0, 0, 0],        [1, 0, 0],      {"probability_sum": "renormalised"},  NAN,     NANS),
    (PROBABILITIES, [2, 1, 1],        [1, 0, 0], {"probability_sum": "renormalised_last"}, LN2, [-0.25, 0.25, 0.25]),
    (PROBABILITIES, [0, 0, 0],        [1, 0, 0],      {"probability_sum": "renormalised_last"}, NAN, NANS),
    (PROBABILITIES, [NAN, 0.5, 0.5],  [0, 1, 0],      {},                                   NAN,     NANS),
    (PROBABILITIES, [INF, 0.5, 0.5],  [0, 1, 0],      {},                                   NAN,     NANS),
    # a negative probability has no logarithm; the slope is still that of the formula
    (PROBABILITIES, [-0.5, 1, 0.5],   [0, 1, 0],      {},                                   NAN,     [0, -1, 0]),
    # clipped: no slope outside
    (PROBABILITIES, [0, 0.5, 0.5],    [1, 0, 0],      {"probability_range": "clipped"}, -math.log(1e-7), [0, 0, 0]),
    (PROBABILITIES, [0, 1, 0],        [0, 1, 0],      {"probability_range": "clipped"}, -math.log(1 - 1e-7), [0, 0, 0]),
    (PROBABILITIES, [-0.5, 1, 0.5],   [1, 0, 0],      {"probability_range": "clipped"}, -math.log(1e-7), [0, 0, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("form", "x", "t", "policies", "value", "gradient"), LIKELIHOODS, ids=names)
def test_cross_entropy_of_probabilities(form: Form, x: Any, t: Any, policies: Any, value: Any, gradient: Any) -> None:
    check(soft(CE, form, x, t), policies, value, gradient)


CLAMPED = {"probability_range": "log_clamped"}
FLOOR = float(np.float32(1e-12))
CLIPPED = {"probability_range": "clipped"}
STRICT = {"zero_times_infinity": "nan"}
BINARY = [
    # form          prediction  target  policies  value    gradient
    (Form.LOGITS,   0.0,        1.0,    {},       LN2,     -0.5),
    (Form.LOGITS,   0.0,        0.5,    {},       LN2,     0),
    (Form.LOGITS,   INF,        1.0,    {},       0,       0),
    (Form.LOGITS,   INF,        0.0,    {},       INF,     1),
    (Form.LOGITS,   -INF,       0.0,    {},       0,       0),
    (Form.LOGITS,   -INF,       1.0,    {},       INF,     -1),
    (Form.LOGITS,   INF,        1.0,    STRICT,   NAN,     0),
    (Form.LOGITS,   NAN,        1.0,    {},       NAN,     NAN),
    (PROBABILITIES, 0.5,        1.0,    {},       LN2,     -2),
    (PROBABILITIES, 0.0,        1.0,    {},       INF,     -INF),
    (PROBABILITIES, 1.0,        0.0,    {},       INF,     INF),
    (PROBABILITIES, 0.0,        0.0,    {},       0,       1),
    (PROBABILITIES, 1.0,        1.0,    {},       0,       -1),
    (PROBABILITIES, 0.0,        0.0,    STRICT,   NAN,     1),
    (PROBABILITIES, -0.5,       1.0,    {},       NAN,     2),
    (PROBABILITIES, NAN,        1.0,    {},       NAN,     NAN),
    (PROBABILITIES, 0.0,        1.0,    CLAMPED,  100,     -1 / FLOOR),
    (PROBABILITIES, 1.0,        0.0,    CLAMPED,  100,     1 / FLOOR),
    (PROBABILITIES, 0.0,        0.0,    CLAMPED,  0,       0),
    (PROBABILITIES, 1e-50,      1.0,    CLAMPED,  100,     -1 / FLOOR),
    (PROBABILITIES, 1e-43,      1.0,    CLAMPED,  43 * math.log(10), -1 / FLOOR),
    (PROBABILITIES, 1e-20,      1.0,    CLAMPED,  20 * math.log(10), -1 / FLOOR),
    (PROBABILITIES, 0.0,        1.0,    CLIPPED,  -math.log(1e-7), 0),
    (PROBABILITIES, 1.0,        0.0,    CLIPPED,  -math.log(1 - (1 - 1e-7)), 0),
]  # fmt: skip


@pytest.mark.parametrize(("form", "x", "t", "policies", "value", "gradient"), BINARY, ids=names)
def test_binary_cross_entropy(form: Form, x: float, t: float, policies: Any, value: float, gradient: float) -> None:
    check(soft(BCE, form, [x], [t], TargetForm.BINARY), policies, value, gradient)


GEOMETRIC, LOGIT, TERMS = ({"focal_target": rule} for rule in ("geometric", "logit", "terms"))
BOTH = {**CLIPPED, "focal_range": "clipped"}
LEAST = -math.log(1 - 1e-7)
FOCAL = [
    # form          prediction  target  options                       policies             value        gradient
    (Form.LOGITS,   0.0,        1.0,    {},                           {},                  LN2,         -0.5),
    (Form.LOGITS,   0.0,        1.0,    {"gamma": 1},                 {},                  LN2 / 2,     -(LN2 + 1) / 4),
    (Form.LOGITS,   0.0,        0.0,    {"gamma": 1},                 {},                  LN2 / 2,     (LN2 + 1) / 4),
    (Form.LOGITS,   0.0,        1.0,    {"gamma": 1, "alpha": 0.5},   {},                  LN2 / 4,     -(LN2 + 1) / 8),
    (Form.LOGITS,   0.0,        0.0,    {"gamma": 1, "alpha": 0.25},  {},
     LN2 * 3 / 8, (LN2 + 1) * 3 / 16),
    (Form.LOGITS,   0.0,        0.0,    {"gamma": 0, "alpha": 0.25},  {},                  LN2 * 3 / 4, 3 / 8),
    # what cancels is exactly 0
    (Form.LOGITS,   0.0,        0.5,    {"gamma": 2.5},               {},                  LN2 / 2**2.5, 0),
    (Form.LOGITS,   0.0,        0.5,    {"gamma": 2.5},               GEOMETRIC,           LN2 / 2**2.5, 0),
    (Form.LOGITS,   0.0,        0.5,    {"gamma": 2.5},               LOGIT,               LN2 / 2**2.5, 0),
    (Form.LOGITS,   0.0,        0.5,    {"gamma": 2.5},               TERMS,               LN2 / 2**2.5, 0),
    (Form.LOGITS,   0.0,        0.25,   {"gamma": 1, "alpha": 0.75},  TERMS,               LN2 * 3 / 16, 0),
    (PROBABILITIES, 0.5,        0.5,    {"gamma": 2.5},               {},                  LN2 / 2**2.5, 0),
    (PROBABILITIES, 0.25,       0.25,   {"gamma": 1},                 GEOMETRIC,
     (1 - math.exp(LN2 * -0.5 + 0.75 * math.log(0.75))) * (LN2 * 0.5 - 0.75 * math.log(0.75)), 0),
    # logits without end
    (Form.LOGITS,   INF,        1.0,    {"gamma": 0.5},               {},                  0,           0),
    (Form.LOGITS,   INF,        0.0,    {"gamma": 0.5},               {},                  INF,         1),
    (Form.LOGITS,   -INF,       1.0,    {"gamma": 2},                 {},                  INF,         -1),
    (Form.LOGITS,   -INF,       0.0,    {"gamma": 2},                 STRICT,              NAN,         0),
    (Form.LOGITS,   -INF,       1.0,    {"gamma": 2, "alpha": 0},     {},                  0,           0),
    (Form.LOGITS,   -INF,       1.0,    {"gamma": 2, "alpha": 0},     STRICT,              NAN,         0),
    (Form.LOGITS,   INF,        0.25,   {"gamma": 2},                 {},                  INF,         0.75**3),
    (Form.LOGITS,   -INF,       0.25,   {"gamma": 2},                 {},                  INF,         -(0.25**3)),
    (Form.LOGITS,   INF,        0.25,   {"gamma": 2},                 GEOMETRIC,           INF,         0.75),
    (Form.LOGITS,   INF,        0.25,   {"gamma": 2},                 LOGIT,               INF,         0.75),
    (Form.LOGITS,   -INF,       0.25,   {"gamma": 2},                 LOGIT,               0,           0),
    (Form.LOGITS,   -INF,       0.25,   {"gamma": 2},                 {**LOGIT, **STRICT}, NAN,         0),
    (Form.LOGITS,   -INF,       0.5,    {"gamma": 2},                 LOGIT,               INF,         -0.125),
    (Form.LOGITS,   -INF,       0.5,    {"gamma": 2},                 {**LOGIT, **STRICT}, NAN,         -0.125),
    (Form.LOGITS,   -INF,       0.25,   {"gamma": 2},                 TERMS,               INF,         -0.25),
    (Form.LOGITS,   NAN,        1.0,    {"gamma": 2},                 {},                  NAN,         NAN),
    # probabilities of 0 and 1
    (PROBABILITIES, 0.5,        1.0,    {"gamma": 1},                 {},                  LN2 / 2,     -LN2 - 1),
    (PROBABILITIES, 0.0,        1.0,    {"gamma": 2},                 {},                  INF,         -INF),
    (PROBABILITIES, 1.0,        0.0,    {"gamma": 2},                 {},                  INF,         INF),
    (PROBABILITIES, 1.0,        0.5,    {"gamma": 2},                 {},                  INF,         INF),
    (PROBABILITIES, 1.0,        1.0,    {"gamma": 0.5},               {},                  0,           0),
    (PROBABILITIES, 0.0,        0.0,    {"gamma": 0.5},               {},                  0,           0),
    (PROBABILITIES, 0.0,        0.0,    {"gamma": 0.5},               STRICT,              NAN,         0),
    (PROBABILITIES, 1.5,        1.0,    {"gamma": 2},                 {},                  NAN,         NAN),
    (PROBABILITIES, NAN,        1.0,    {"gamma": 2},                 {},                  NAN,         NAN),
    # clipped logarithms, and a factor that is not clipped
    (PROBABILITIES, 1.0,        1.0,    {"gamma": 0.5},               CLIPPED,             0,           -INF),
    (PROBABILITIES, 1.0,        1.0,    {"gamma": 1},                 CLIPPED,             0,           -LEAST),
    (PROBABILITIES, 1.0,        1.0,    {"gamma": 2},                 CLIPPED,             0,           0),
    (PROBABILITIES, 0.0,        1.0,    {"gamma": 2},                 CLIPPED,
     -math.log(1e-7), 2 * math.log(1e-7)),
    (PROBABILITIES, 0.0,        1.0,    {"gamma": 2},                 BOTH,
     -math.log(1e-7) * (1 - 1e-7) ** 2, 0),
    (PROBABILITIES, 0.0,        1.0,    {"gamma": 2},                 CLAMPED,
     100, -200 - 1 / FLOOR),
    (PROBABILITIES, 0.0,        0.5,    {"gamma": 2},                 {**CLIPPED, **LOGIT},
     -math.log(1e-7) / 8 - math.log(1 - 1e-7) / 8, NAN),
]  # fmt: skip


@pytest.mark.parametrize(("form", "x", "t", "options", "policies", "value", "gradient"), FOCAL, ids=names)
def test_focal(form: Form, x: float, t: float, options: Any, policies: Any, value: float, gradient: float) -> None:
    check(soft(Loss.FOCAL, form, [x], [t], TargetForm.BINARY).replace(**options), policies, value, gradient)


LOG = TargetForm.LOG_DISTRIBUTION
PLAIN = TargetForm.DISTRIBUTION
DIVERGENCE = [
    # form          prediction  target form  target  policies  value        gradient
    (NLL,           -LN2,       PLAIN,       0.0,    {},       0,           0),
    (NLL,           -INF,       PLAIN,       0.0,    {},       0,           0),
    (NLL,           -INF,       PLAIN,       0.0,    STRICT,   NAN,         0),
    (NLL,           -INF,       PLAIN,       0.5,    {},       INF,         -0.5),
    (NLL,           0.0,        PLAIN,       1.0,    {},       0,           -1),
    (NLL,           NAN,        PLAIN,       1.0,    {},       NAN,         -1),
    (NLL,           INF,        PLAIN,       1.0,    {},       -INF,        -1),
    (NLL,           0.0,        LOG,         -INF,   {},       0,           0),
    (NLL,           -INF,       LOG,         -INF,   {},       0,           0),
    (NLL,           -INF,       LOG,         -INF,   STRICT,   NAN,         0),
    (NLL,           -1.0,       LOG,         0.0,    {},       1,           -1),
    (NLL,           -0.5,       LOG,         -0.5,   {},       0,           -math.exp(-0.5)),
    (PROBABILITIES, 0.3,        PLAIN,       0.3,    {},       0,           -1),
    (PROBABILITIES, 0.0,        PLAIN,       0.0,    {},       0,           0),
    (PROBABILITIES, 0.0,        PLAIN,       0.0,    STRICT,   NAN,         0),
    (PROBABILITIES, 0.0,        PLAIN,       0.5,    {},       INF,         -INF),
    (PROBABILITIES, 1.0,        PLAIN,       1.0,    {},       0,           -1),
    (PROBABILITIES, -0.5,       PLAIN,       1.0,    {},       NAN,         2),
    (PROBABILITIES, NAN,        PLAIN,       1.0,    {},       NAN,         NAN),
    (PROBABILITIES, 0.0,        PLAIN,       1.0,    CLIPPED,  -math.log(1e-7), 0),
    (PROBABILITIES, 2.0,        PLAIN,       1.0,    CLIPPED,  0,           0),
]  # fmt: skip


@pytest.mark.parametrize(("form", "x", "target_form", "t", "policies", "value", "gradient"), DIVERGENCE, ids=names)
def test_divergence(
    form: Form, x: float, target_form: TargetForm, t: float, policies: Any, value: float, gradient: float
) -> None:
    check(soft(KL, form, [x], [t], target_form), policies, value, gradient)


FUNCTIONS = [
    # function              prediction           policies                      value              gradient
    (Loss.LOG_SUM_EXP,      [0, 0, 0],           {},                           LN3,               THIRDS),
    (Loss.LOG_SUM_EXP,      [NAN, 0, 0],         {},                           NAN,               NANS),
    (Loss.LOG_SUM_EXP,      [INF, 0, 0],         {},                           INF,               NANS),
    (Loss.LOG_SUM_EXP,      [INF, NAN, 0],       {},                           NAN,               NANS),
    (Loss.LOG_SUM_EXP,      [-INF, 0, 0],        {},                           LN2,               [0, 0.5, 0.5]),
    (Loss.LOG_SUM_EXP,      [-INF] * 3,          {},                           -INF,              NANS),
    (Loss.SOFTMAX,          [-INF, 0, 0],        {},                           [[0, 0.5, 0.5]],   [0, 0, 0]),
    (Loss.SOFTMAX,          [-INF] * 3,          {},                           [NANS],            NANS),
    (Loss.SOFTMAX,          [INF, 0, 0],         {},                           [NANS],            NANS),
    (Loss.SOFTMAX,          [INF, 0, 0],         {"infinite_logit": "limit"},  [[1, 0, 0]],       NANS),
    (Loss.SOFTMAX,          [INF, 0, 0],         {"infinite_logit": "as_difference"}, [[NAN, 0, 0]], NANS),
    (Loss.LOG_SOFTMAX,      [INF, 0, 0],         {"infinite_logit": "as_difference"}, [[NAN, -INF, -INF]], NANS),
    (Loss.ENTROPY,          [INF, 0, 0],         {"infinite_logit": "as_difference"}, NAN,        NANS),
    (Loss.LOG_SOFTMAX,      [-INF, 0, 0],        {},                           [[-INF, -LN2, -LN2]], [1, -0.5, -0.5]),
    (Loss.LOG_SOFTMAX,      [INF, 0, 0],         {"infinite_logit": "limit"},  [[0, -INF, -INF]], NANS),
    (Loss.ENTROPY,          [0, 0, 0],           {},                           LN3,               [0, 0, 0]),
    (Loss.ENTROPY,          [-INF, 0, 0],        {},                           LN2,               [0, 0, 0]),
    (Loss.ENTROPY,          [-INF, -INF, 0],     {},                           0,                 [0, 0, 0]),
    (Loss.ENTROPY,          [NAN, 0, 0],         {},                           NAN,               NANS),
    (Loss.ENTROPY,          [INF, 0, 0],         {"infinite_logit": "limit"},  0,                 NANS),
    (Loss.LOG_SIGMOID,      [INF, -INF, 0],      {},                           [[0, -INF, -LN2]], [0, 1, 0.5]),
    (Loss.LOG_SIGMOID,      [NAN, 0, 0],         {},                           [[NAN, -LN2, -LN2]], [NAN, 0.5, 0.5]),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "x", "policies", "value", "gradient"), FUNCTIONS, ids=names)
def test_functions_without_a_target(loss: Loss, x: Any, policies: Any, value: Any, gradient: Any) -> None:
    check(Case(loss=loss, prediction=np.array([x], float)), policies, value, gradient)


MASKED = [
    # function          logits          classes that take part   value              gradient
    (Loss.LOG_SUM_EXP,  [NAN, 0, 0],    [False, True, True],     LN2,               [0, 0.5, 0.5]),
    (Loss.LOG_SUM_EXP,  [0, 0, 0],      [False, False, False],   -INF,              NANS),
    (Loss.SOFTMAX,      [INF, 0, 0],    [False, True, True],     [[0, 0.5, 0.5]],   [0, 0, 0]),
    (Loss.SOFTMAX,      [0, 0, 0],      [False, False, False],   [NANS],            NANS),
    (Loss.LOG_SOFTMAX,  [9, 0, 0],      [False, True, True],     [[-INF, -LN2, -LN2]], [0, 0, 0]),
    (CE,                [9, 0, 0],      [False, True, True],     LN2,               [0, 0.5, -0.5]),
    (CE,                [9, 0, 0],      [True, True, False],     INF,               [1, 0, -1]),
    (CE,                [9, 0, 0],      [False, False, False],   NAN,               NANS),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "x", "where", "value", "gradient"), MASKED, ids=names)
def test_classes_that_take_no_part(loss: Loss, x: Any, where: Any, value: Any, gradient: Any) -> None:
    """The label of a cross-entropy is the last class."""
    target = {"target": np.array([2]), "target_form": TargetForm.INDEX} if loss is CE else {}
    case = Case(loss=loss, prediction=np.array([x], float), where=np.array([where]), **target)  # type: ignore[arg-type]
    if x[0] == 9 and where[0]:  # exp(-9) is not round: only the mask matters here
        result = evaluate(case)
        assert result.value.h.tolist() == [INF]
        assert result.gradient is not None
        assert result.gradient.h[0, 2] == -1
        return
    check(case, {}, value, gradient)


MEANS = [
    # rows: labels; weights     denominator          policies                       value   gradient of the first row
    ([],          None,         "elements",          {},                            NAN,    None),
    ([],          None,         "elements",          {"empty_mean": "zero"},        0,      None),
    ([],          None,         "kept",              {"zero_denominator": "zero"},  NAN,    None),
    ([-100, -100], None,        "kept",              {},                            NAN,    [0, 0]),
    ([-100, -100], None,        "kept",              {"zero_denominator": "zero"},  0,      [0, 0]),
    ([-100, -100], None,        "kept",              {"empty_mean": "zero"},        NAN,    [0, 0]),
    ([-100, -100], None,        "elements",          {},                            0,      [0, 0]),
    ([0, 0],      [0, 0],       "weights",           {},                            NAN,    [NAN, NAN]),
    ([0, 0],      [0, 0],       "weights",           {"zero_denominator": "zero"},  0,      [0, 0]),
    ([-1, 0],     [0, 0],       "weights",           {"negative_label": "nan", "zero_denominator": "zero"}, 0, [0, 0]),
    ([-1, 0],     [0, 0],       "weights",           {"negative_label": "nan"},     NAN,    [NAN, NAN]),
    ([0, 0],      [0, 0],       "elements",          {},                            0,      [0, 0]),
    ([0, -100],   None,         "kept",              {},                            LN2,    [-0.5, 0.5]),
    ([0, -100],   None,         "elements",          {},                            LN2 / 2, [-0.25, 0.25]),
    ([0, 0],      [3, 0],       "weights",           {},                            LN2,    [-0.5, 0.5]),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "weights", "denominator", "policies", "value", "gradient"), MEANS, ids=names)
def test_means_over_little_and_over_nothing(
    labels: Any, weights: Any, denominator: str, policies: Any, value: float, gradient: Any
) -> None:
    case = Case(
        loss=CE,
        prediction=np.zeros((len(labels), 2)),
        target=np.array(labels, int),
        target_form=TargetForm.INDEX,
        ignore_index=-100,
        sample_weight=None if weights is None else np.array(weights, float),
        reduction=Reduction.MEAN,
    )
    result = evaluate(case, Policy(mean_denominator=denominator, **policies))
    assert result.gradient is not None
    assert result.gradient.shape == case.prediction.shape
    np.testing.assert_allclose(result.value.h, value, rtol=1e-10)
    if gradient is not None:
        np.testing.assert_allclose(result.gradient.h[0], gradient, rtol=1e-10)


def test_one_bad_row_spoils_a_sum_and_no_other_row() -> None:
    case = Case(
        loss=CE,
        prediction=np.array([[NAN, 0], [0, 0]]),
        target=np.array([0, 0]),
        target_form=TargetForm.INDEX,
        reduction=Reduction.SUM,
    )
    check(case, {}, NAN, [[NAN, NAN], [-0.5, 0.5]])
    check(case.replace(prediction=np.array([[-INF, 0], [0, 0]])), {}, INF, [[-1, 1], [-0.5, 0.5]])
    for rows in ([[-INF, 0], [NAN, 0]], [[NAN, 0], [-INF, 0]]):
        slopes = [[NAN, NAN] if math.isnan(x) else [-1, 1] for x, _ in rows]
        check(case.replace(prediction=np.array(rows)), {}, NAN, slopes)


def test_a_row_that_weighs_nothing_counts_nothing_even_where_its_loss_is_infinite() -> None:
    case = soft(CE, Form.LOGITS, [-INF, 0.0], [1.0, 0.0]).replace(sample_weight=np.array([0.0]))
    check(case, {}, 0, [0, 0])


@pytest.mark.parametrize("up", [2.0, -2.0, 0.0])
def test_an_infinite_slope_has_the_sign_of_what_comes_from_above(up: float) -> None:
    for loss, t in ((CE, [1.0, 0.0]), (KL, [1.0, 0.0]), (BCE, [1.0, 0.0])):
        case = soft(loss, PROBABILITIES, [0.0, 0.5], t)
        shape = (1,) if loss is CE else (1, 2)
        slope = evaluate(case.replace(cotangent=np.full(shape, up))).gradient
        assert slope is not None
        assert slope.h[0, 0] == (-INF * up if up else 0)
