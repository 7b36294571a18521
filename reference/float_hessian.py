"""Hessian-vector products in the float64 tiers: each formula once, over numbers that carry their error bounds.

The mathematics is that of `losses.softmax_hessian` and of the gradients' own files. Rows that a formula does not cover,
for their special values or the policy, are left to the exact tier. Bounds: docs/numerics-tiers.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lossconform.reference.bounds import Bounds, Mask, collected, sane, sane_rows, take
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Form, Loss
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.fast import ignoring, joined
from lossconform.reference.float_arithmetic import Arithmetic, clipped, weighed
from lossconform.reference.float_focal import focal_product
from lossconform.reference.float_losses import Target
from lossconform.reference.float_probabilities import FLOOR, Shares, floored
from lossconform.reference.formats import Float64
from lossconform.reference.running import Running

N = TypeVar("N", bound=Running)

Product = Callable[[Canonical, Arithmetic[N]], tuple[Enclosure, Mask]]
"""Encloses the products of a problem's rows, (N, C), and says which rows that covers."""

BLOCK = 8192
"""Elements at a time: some twenty copies are held of each."""


def _directed(problem: Canonical) -> Float64:
    assert problem.direction is not None  # noqa: S101 - it was asked for
    return problem.direction


def _softmax_product(problem: Canonical, tier: Arithmetic[N], inner: Callable[..., N]) -> tuple[Enclosure, Mask]:
    """Enclose p_j times what `inner` makes of the rows, p, a, and the classes of their largest logits and logits."""
    v = _directed(problem)
    parts: list[Enclosure] = []

    def use(rows: slice, top: NDArray[np.intp], x: Float64, p: N, _: N) -> None:
        a = _centred(tier, v[rows], top)
        found = (p * inner(rows, p, a, top, x)).zero_where(np.isneginf(x))
        parts.append(found.enclosure())

    largest = tier.sweep(problem, use)
    return Enclosure.stacked(parts), np.isfinite(largest) & sane_rows(v)


def _centred(tier: Arithmetic[N], v: Float64, top: NDArray[np.intp]) -> N:
    """Return v_i - v_k, k one of the largest logits."""
    return tier.number.difference(v, v[np.arange(len(top)), top][:, None])


def _moved(problem: Canonical, tier: Arithmetic[N], scale: Callable[[slice], N]) -> tuple[Enclosure, Mask]:
    """Enclose scale · p_j (a_j - A)."""

    def inner(rows: slice, p: N, a: N, *_: Any) -> N:
        return (a - (p * a).folded()) * scale(rows)

    return _softmax_product(problem, tier, inner)


def _bent(p: N, a: N, b: N, more: N) -> N:
    """Return (a_j - A) (b_j + more - B) + A B - M, by p_j a second derivative of the softmax."""
    first, second, both = (p * a).folded(), (p * b).folded(), (p * (a * b)).folded()
    return (a - first) * ((b + more) - second) + (first * second - both)


def log_sum_exp(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose p_j (a_j - A)."""
    factor = tier.factor(problem)
    found, covered = _moved(problem, tier, lambda rows: factor.part(rows))
    return found, covered & sane_rows(problem.cotangent)


def log_softmax(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose -(sum c_i) p_j (a_j - A), over the classes that take part."""
    one, c = tier.scale(problem), np.where(problem.where, problem.cotangent, 0.0)
    found, covered = _moved(problem, tier, lambda rows: -(tier.number.exact(c[rows]).folded() * one))
    return found, covered & sane_rows(c)


def cross_entropy(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose T p_j (a_j - A), or w in place of T."""
    factor = tier.factor(problem)

    def scale(rows: slice) -> N:
        if problem.policy.target_sum == "assumed_one":
            return factor.part(rows) * tier.number.exact(problem.row_weight[rows, None])
        return factor.part(rows) * tier.target(problem, rows).folded()

    found, covered = _moved(problem, tier, scale)
    return found, covered & weighed(problem) & sane_rows(problem.cotangent)


def softmax(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose p_j ((a_j - A) (b_j - B) + A B - M) for b_i = c_i - c_k."""
    one, none = tier.scale(problem), tier.number.exact(np.zeros((1, 1)))

    def inner(rows: slice, p: N, a: N, top: NDArray[np.intp], x: Float64) -> N:  # noqa: ARG001
        return _bent(p, a, _centred(tier, problem.cotangent[rows], top), none) * one

    found, covered = _softmax_product(problem, tier, inner)
    return found, covered & sane_rows(problem.cotangent)


def entropy(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose -p_j ((a_j - A) (b_j + 1 - B) + A B - M) for b_i = x_i - x_k."""
    factor, plus_one = tier.factor(problem), tier.number.exact(np.ones((1, 1)))

    def inner(rows: slice, p: N, a: N, top: NDArray[np.intp], x: Float64) -> N:
        logits = np.where(np.isneginf(x), x.max(axis=1, keepdims=True), x)
        return -(_bent(p, a, _centred(tier, logits, top), plus_one) * factor.part(rows))

    found, covered = _softmax_product(problem, tier, inner)
    taking = np.where(problem.where & ~np.isneginf(problem.x), problem.x, 0.0)
    return found, covered & sane_rows(problem.cotangent) & sane_rows(taking)


def _curvature(tier: Arithmetic[N], z: Float64) -> N:
    """Return sigmoid(z) sigmoid(-z) as E / (1 + E)², E = exp(-abs z)."""
    e = tier.number.exact(-np.abs(z)).exp()
    one = e + tier.number.exact(np.ones_like(z))
    return e.over(one * one)


def log_sigmoid(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose -sigmoid(z) sigmoid(-z) v."""
    v = _directed(problem)
    found = -(_curvature(tier, problem.x) * tier.number.exact(v) * tier.factor(problem))
    return found.enclosure(), sane_rows(v) & sane_rows(problem.cotangent)


def binary_from_logits(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose (a + b) sigmoid(z) sigmoid(-z) v."""
    v = _directed(problem)
    a, b = tier.weights(problem)
    found = _curvature(tier, problem.x) * (a + b) * tier.number.exact(v) * tier.spread(problem)
    return found.enclosure(), sane_rows(v) & sane_rows(problem.cotangent)


def binary_from_probabilities(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose (a / p² + b / (1 - p)²) v, 0 where p is clipped; (a + b) v over the floor of a divisor held there."""
    v, p = _directed(problem), problem.x
    no = np.zeros(p.shape, bool)
    a, b = tier.weights(problem)
    outside = ~clipped(problem)[1]
    odd = ~outside & (((p == 0) & a.nonzero()) | ((p == 1) & b.nonzero()))
    low, unsure = floored(p) if problem.policy.probability_range.endswith("log_clamped") else (no, no)
    odd = ~np.isfinite(p) | (odd & ~low) | (unsure & ~outside)
    own = tier.number.exact(np.where(~a.nonzero() | outside | odd | low, 1.0, p))
    other = tier.number.difference(np.ones_like(p), np.where(~b.nonzero() | outside | odd | low, 0.0, p))
    found = a.over(own * own) + b.over(other * other)
    found = (a + b).over(tier.number.exact(np.full((1, 1), FLOOR))).or_else(low, found)
    found = found * tier.number.exact(v) * tier.spread(problem)
    return found.zero_where(outside).enclosure(), _usable(problem, v, outside | low, odd)


def likelihood(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose t_j v_j / q_j², 0 where q is clipped, less T V / Q² where a row is divided by Q; V is what moves Q."""
    v, mass = _directed(problem), tier.target(problem, slice(None))
    if problem.policy.probability_sum != "as_given":
        return _divided(problem, tier, mass, v)
    found, covered = _inverse_square(problem, tier, mass, v)
    covered &= np.isfinite(problem.x).all(axis=1) & weighed(problem)
    return (found * tier.factor(problem)).enclosure(), covered


def _divided(problem: Canonical, tier: Arithmetic[N], t: N, v: Float64) -> tuple[Enclosure, Mask]:
    shares = Shares.of(problem, tier, ~t.nonzero())
    last, outside = problem.policy.probability_sum == "renormalised_last", ~shares.inside
    mass = (t if last else t.zero_where(outside)).folded()
    moved = tier.number.exact(np.where(outside & last, 0.0, v)).folded()
    shared = mass.over(shares.whole) * moved.over(shares.whole)
    own = (t.over(shares.x * shares.x) * tier.number.exact(v)).zero_where(outside | ~t.nonzero())
    found = (own - shared.zero_where(outside & last)) * tier.factor(problem)
    covered = weighed(problem) & ~shares.odd.any(axis=1) & sane_rows(v) & sane_rows(problem.cotangent)
    return found.enclosure(), covered


def divergence(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose w t v / q², 0 where q is clipped or the class takes no part."""
    v, target = _directed(problem), Target.of(problem, tier)
    mass = target.t * tier.number.exact(problem.row_weight[:, None])
    found, covered = _inverse_square(problem, tier, mass, v)
    return (found * tier.spread(problem)).enclosure(), covered & target.covered & sane(problem.row_weight)


def _inverse_square(problem: Canonical, tier: Arithmetic[N], mass: N, v: Float64) -> tuple[N, Mask]:
    """Return mass · v / q², and which rows that covers."""
    q = problem.x
    outside = ~clipped(problem)[1] | ~problem.where
    odd = ~outside & (~np.isfinite(q) | ((q == 0) & mass.nonzero()))
    nothing = outside | odd | ~mass.nonzero()
    safe = tier.number.exact(np.where(nothing, 1.0, q))
    found = (mass.over(safe * safe) * tier.number.exact(v)).zero_where(nothing)
    return found, _usable(problem, v, outside, odd)


def _usable(problem: Canonical, v: Float64, outside: Mask, odd: Mask) -> Mask:
    """Return the rows without an element that is left alone, whose numbers have no extreme size."""
    used = np.where(outside | odd, 0.0, problem.x)
    return np.asarray(~odd.any(axis=1) & sane_rows(used) & sane_rows(v) & sane_rows(problem.cotangent))


def linear(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:  # noqa: ARG001
    """Return 0: a loss of log-probabilities is linear."""
    return Enclosure(*(np.zeros(problem.shape) for _ in range(3))), np.ones(problem.shape[0], bool)


def _in_blocks(product: Any) -> Any:
    """Evaluate block by block, for products that look at each element by itself."""

    def blocked(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
        n, c = problem.shape
        size = max(1, BLOCK // c)
        parts = [Bounds(*_split(product(take(problem, slice(i, i + size)), tier))) for i in range(0, n, size)]
        whole = joined(parts)
        return whole.value, whole.covered

    return blocked


def _split(found: tuple[Enclosure, Mask]) -> tuple[Enclosure, None, Mask]:
    return found[0], None, found[1]


PRODUCTS: dict[tuple[Loss, Form], Any] = {
    (Loss.LOG_SUM_EXP, Form.LOGITS): log_sum_exp,
    (Loss.SOFTMAX, Form.LOGITS): softmax,
    (Loss.LOG_SOFTMAX, Form.LOGITS): log_softmax,
    (Loss.ENTROPY, Form.LOGITS): entropy,
    (Loss.LOG_SIGMOID, Form.LOGITS): _in_blocks(log_sigmoid),
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOGITS): cross_entropy,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOG_PROBABILITIES): linear,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.PROBABILITIES): _in_blocks(likelihood),
    (Loss.BINARY_CROSS_ENTROPY, Form.LOGITS): _in_blocks(binary_from_logits),
    (Loss.BINARY_CROSS_ENTROPY, Form.PROBABILITIES): _in_blocks(binary_from_probabilities),
    (Loss.FOCAL, Form.LOGITS): _in_blocks(focal_product),
    (Loss.FOCAL, Form.PROBABILITIES): _in_blocks(focal_product),
    (Loss.KL_DIVERGENCE, Form.LOG_PROBABILITIES): linear,
    (Loss.KL_DIVERGENCE, Form.PROBABILITIES): _in_blocks(divergence),
}
"""Which formulas serve which loss of which form of prediction."""


def evaluate(problem: Canonical, tier: Arithmetic[Any]) -> Bounds | None:
    """Enclose the Hessian-vector products of a problem's rows, (N, C).

    None for a mean over nothing. Ignored rows are exactly 0.
    """
    if problem.denominator is None or 0 in problem.shape:
        return None
    with np.errstate(all="ignore"):
        found, covered = PRODUCTS[problem.case.loss, problem.case.form](problem, tier)
        return ignoring(problem, collected(found, None, covered))
