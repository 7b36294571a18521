"""The double-double tier: about 90 bits through NumPy, for answers in float64.

Like the fast tier it starts from the canonical form and leaves what it does not cover to the exact one. Bounds and
their proofs: docs/numerics-tiers.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossconform.reference.bounds import Bounds, take
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Form, Loss
from lossconform.reference.double_double_cross_entropy import cross_entropy
from lossconform.reference.double_double_elementwise import binary_from_logits, log_sigmoid
from lossconform.reference.double_double_softmax import entropy, log_softmax, log_sum_exp, softmax
from lossconform.reference.double_double_sums import BLOCK
from lossconform.reference.fast import ignoring, joined
from lossconform.reference.float_arithmetic import DOUBLE_DOUBLE, Arithmetic
from lossconform.reference.float_focal import focal
from lossconform.reference.float_likelihood import dense, likelihood
from lossconform.reference.float_losses import binary_cross_entropy, divergence
from lossconform.reference.running import Double

Family = Callable[[Canonical, bool], Bounds]
"""A problem, and whether the gradient is wanted."""


def _in_blocks(family: Family) -> Family:
    """Evaluate block by block, for families that hold dozens of copies of what they are given."""

    def blocked(problem: Canonical, gradient: bool) -> Bounds:
        n, c = problem.shape
        size = max(1, BLOCK // c)
        return joined([family(take(problem, slice(i, i + size)), gradient) for i in range(0, n, size)])

    return blocked


def _running(family: Callable[[Canonical, Arithmetic[Double], bool], Bounds]) -> Family:
    """Evaluate a formula of both tiers in this one's arithmetic."""
    return _in_blocks(lambda problem, gradient: family(problem, DOUBLE_DOUBLE, gradient))


def _likelihood(problem: Canonical, gradient: bool) -> Bounds:
    return likelihood(problem, DOUBLE_DOUBLE, gradient, lambda some: _DENSE(some, gradient))


_DENSE = _running(dense)


FAMILIES: dict[tuple[Loss, Form], Family] = {
    (Loss.LOG_SUM_EXP, Form.LOGITS): log_sum_exp,
    (Loss.SOFTMAX, Form.LOGITS): softmax,
    (Loss.LOG_SOFTMAX, Form.LOGITS): log_softmax,
    (Loss.ENTROPY, Form.LOGITS): _in_blocks(entropy),
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOGITS): cross_entropy,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOG_PROBABILITIES): _likelihood,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.PROBABILITIES): _likelihood,
    (Loss.LOG_SIGMOID, Form.LOGITS): _in_blocks(log_sigmoid),
    (Loss.BINARY_CROSS_ENTROPY, Form.LOGITS): _in_blocks(binary_from_logits),
    (Loss.BINARY_CROSS_ENTROPY, Form.PROBABILITIES): _running(binary_cross_entropy),
    (Loss.FOCAL, Form.LOGITS): _running(focal),
    (Loss.FOCAL, Form.PROBABILITIES): _running(focal),
    (Loss.KL_DIVERGENCE, Form.LOG_PROBABILITIES): _running(divergence),
    (Loss.KL_DIVERGENCE, Form.PROBABILITIES): _running(divergence),
}
"""Which formulas serve which loss of which form of prediction."""


def evaluate(problem: Canonical, *, gradient: bool = True) -> Bounds | None:
    """Enclose the rows of a problem to about 90 bits; see `fast.evaluate`."""
    family = FAMILIES.get((problem.case.loss, problem.case.form))
    if family is None or problem.denominator is None or 0 in problem.shape:
        return None
    with np.errstate(all="ignore"):
        return ignoring(problem, family(problem, gradient))
