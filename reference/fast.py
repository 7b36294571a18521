"""The fast tier: float64 through NumPy, with bounds proven beforehand, for answers in float32 and below.

It starts from the canonical form, so that no option is translated twice. Rows that it does not cover, for their special
values or the policy, are left to other tiers. Bounds and their proofs: docs/numerics-tiers.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossconform.reference import fast_binary, fast_cross_entropy, fast_softmax, float_likelihood, float_losses
from lossconform.reference.bounds import Bounds, take
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Form, Loss
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.fast_sums import BLOCK
from lossconform.reference.float_arithmetic import FAST, Arithmetic
from lossconform.reference.float_focal import focal
from lossconform.reference.running import Single

RUNNING = 8192
"""Numbers with their errors at a time."""

ROWS = 32_768
"""Rows at a time where only values are wanted."""

Family = Callable[[Canonical, bool, bool], Bounds]
"""A problem, whether the gradient is wanted, and whether sums may take longer to be exact."""


def _plain(family: Callable[[Canonical, bool], Bounds]) -> Family:
    return lambda problem, gradient, careful: family(problem, gradient)  # noqa: ARG005 - nothing to be careful of


def _blocked(family: Callable[[Canonical, bool], Bounds], block: int = BLOCK) -> Family:
    """Evaluate block by block, for families that hold many copies of what they are given."""

    def blocked(problem: Canonical, gradient: bool, careful: bool) -> Bounds:  # noqa: ARG001
        n, c = problem.shape
        size = max(1, block // c)
        return joined([family(take(problem, slice(i, i + size)), gradient) for i in range(0, n, size)])

    return blocked


def _running(family: Callable[[Canonical, Arithmetic[Single], bool], Bounds]) -> Family:
    """Evaluate a formula of both tiers in this one's arithmetic."""
    return _blocked(lambda problem, gradient: family(problem, FAST, gradient), RUNNING)


def _likelihood(problem: Canonical, gradient: bool, careful: bool) -> Bounds:
    return float_likelihood.likelihood(problem, FAST, gradient, lambda some: _DENSE(some, gradient, careful))


_DENSE = _running(float_likelihood.dense)


def joined(parts: list[Bounds]) -> Bounds:
    """Return the bounds of all rows, given those of some after the other."""
    slopes = [p.gradient for p in parts if p.gradient is not None]
    covered = np.concatenate([p.covered for p in parts])
    return Bounds(Enclosure.stacked([p.value for p in parts]), Enclosure.stacked(slopes) if slopes else None, covered)


FAMILIES: dict[tuple[Loss, Form], Family] = {
    (Loss.LOG_SUM_EXP, Form.LOGITS): _plain(fast_softmax.log_sum_exp),
    (Loss.SOFTMAX, Form.LOGITS): _plain(fast_softmax.softmax),
    (Loss.LOG_SOFTMAX, Form.LOGITS): _plain(fast_softmax.log_softmax),
    (Loss.ENTROPY, Form.LOGITS): _plain(fast_softmax.entropy),
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOGITS): fast_cross_entropy.cross_entropy,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOG_PROBABILITIES): _likelihood,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.PROBABILITIES): _likelihood,
    (Loss.LOG_SIGMOID, Form.LOGITS): _blocked(fast_binary.log_sigmoid),
    (Loss.BINARY_CROSS_ENTROPY, Form.LOGITS): _blocked(fast_binary.from_logits),
    (Loss.BINARY_CROSS_ENTROPY, Form.PROBABILITIES): _running(float_losses.binary_cross_entropy),
    (Loss.FOCAL, Form.LOGITS): _running(focal),
    (Loss.FOCAL, Form.PROBABILITIES): _running(focal),
    (Loss.KL_DIVERGENCE, Form.LOG_PROBABILITIES): _running(float_losses.divergence),
    (Loss.KL_DIVERGENCE, Form.PROBABILITIES): _running(float_losses.divergence),
}
"""Which formulas serve which loss of which form of prediction."""


def evaluate(problem: Canonical, *, gradient: bool = True, careful: bool = False) -> Bounds | None:
    """Enclose the rows of a problem in float64.

    Args:
        problem: the canonical problem.
        gradient: whether the gradient is wanted.
        careful: spend more on sums over soft targets, so that one that is a rounding midpoint is decided.

    Returns:
        Bounds on each row's values, before reduction, and on its gradient, after it; None for a loss, a policy or a
        mean over nothing that this tier leaves alone. Ignored rows are exactly 0.
    """
    family = FAMILIES.get((problem.case.loss, problem.case.form))
    if family is None or problem.denominator is None or 0 in problem.shape:
        return None
    n, c = problem.shape
    # With a gradient a family fills its arrays itself; without, what is left has a few numbers a row, kept in cache.
    size = n if gradient else max(ROWS, BLOCK // c)
    with np.errstate(all="ignore"):
        if n <= size:
            return ignoring(problem, family(problem, gradient, careful))
        parts = [family(take(problem, slice(i, i + size)), gradient, careful) for i in range(0, n, size)]
    return ignoring(problem, joined(parts))


def ignoring(problem: Canonical, bounds: Bounds) -> Bounds:
    """Return the bounds with ignored rows exactly 0; rows that are NaN by their label are left to the exact tier."""
    ignored = ~problem.kept & ~problem.nan_rows
    if not ignored.any():
        return Bounds(bounds.value, bounds.gradient, bounds.covered & ~problem.nan_rows)
    for part in (bounds.value, bounds.gradient):
        if part is not None:
            part.h[ignored] = part.lo[ignored] = part.hi[ignored] = 0.0
    zero = ignored
    if problem.policy.ignored_nonfinite == "propagated":
        zero = ignored & np.isfinite(problem.x).all(axis=1)
    return Bounds(bounds.value, bounds.gradient, np.where(ignored, zero, bounds.covered & ~problem.nan_rows))
