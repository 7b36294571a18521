"""The double-double tier: about 90 bits through NumPy, for answers in float64.

Like the fast tier it starts from the canonical form and leaves what it does not cover to the exact one. Bounds and
their proofs: docs/numerics-tiers.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossconform.reference.bounds import Bounds
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Form, Loss
from lossconform.reference.double_double_cross_entropy import cross_entropy
from lossconform.reference.double_double_softmax import log_softmax, log_sum_exp, softmax
from lossconform.reference.fast import ignoring

FAMILIES: dict[tuple[Loss, Form], Callable[[Canonical, bool], Bounds]] = {
    (Loss.LOG_SUM_EXP, Form.LOGITS): log_sum_exp,
    (Loss.SOFTMAX, Form.LOGITS): softmax,
    (Loss.LOG_SOFTMAX, Form.LOGITS): log_softmax,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOGITS): cross_entropy,
}
"""Which formulas serve which loss of which form of prediction."""


def evaluate(problem: Canonical, *, gradient: bool = True) -> Bounds | None:
    """Enclose the rows of a problem to about 90 bits; see `fast.evaluate`."""
    family = FAMILIES.get((problem.case.loss, problem.case.form))
    if family is None or problem.denominator is None or 0 in problem.x.shape:
        return None
    with np.errstate(all="ignore"):
        return ignoring(problem, family(problem, gradient))
