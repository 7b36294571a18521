"""The condition of a focal loss: sums of products w m^gamma c, with m = 1 - p_t and a cross-entropy c.

Derivation: docs/numerics.md. Every number here is nonnegative float64, of shape (N, C).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Form
from lossconform.reference.formats import Float64
from lossconform.reference.rows import clip_range

LOG2 = np.log(2.0)
LEAST = 1e-300


@dataclass(frozen=True, eq=False)
class Parts:
    """A condition before the factors of a gradient and the class axis; see `condition.Terms`."""

    base: Float64
    shift: Float64
    terms: Float64
    size: Float64

    def __add__(self, other: Parts) -> Parts:
        return Parts(self.base + other.base, self.shift + other.shift, self.terms + other.terms, self.size + other.size)


@dataclass(frozen=True, eq=False)
class Product:
    """One product w m^gamma c and the sizes of its derivatives.

    Attributes:
        weight: w.
        m: what is raised to the power.
        c: the cross-entropy.
        dm: the derivative of m.
        dc: the derivative of c.
        loose: the absolute error of dc, in u.
    """

    weight: Float64
    m: Float64
    c: Float64
    dm: Float64
    dc: Float64
    loose: Float64


def focal_parts(problem: Canonical) -> tuple[Parts, Parts]:
    """Return the condition of the value and of the gradient of each element."""
    logits = problem.case.form is Form.LOGITS
    found = [_parts(problem, product, logits) for product in _products(problem, logits)]
    value, gradient = found[0]
    for more, steeper in found[1:]:
        value, gradient = value + more, gradient + steeper
    return value, gradient


def _parts(problem: Canonical, one: Product, logits: bool) -> tuple[Parts, Parts]:
    gamma, u = problem.case.gamma, problem.case.format.unit_roundoff
    m, c, dm, dc = one.m, one.c, one.dm, one.dc
    reach = np.abs(np.where(np.isfinite(problem.x), problem.x, 0.0)) if logits else 0 * m
    absolute = 1 + LOG2 if logits else 1.0
    own = m**gamma
    # What an error u of m does to m^gamma and to its derivative.
    spread = gamma * (m + u) ** (gamma - 1)
    bend = gamma * abs(gamma - 1) * (m + u) ** (gamma - 2)
    powered = 1 + gamma * np.abs(np.log(np.maximum(m, LEAST)))
    base = own * (absolute + powered * c) + spread * c
    value = Parts(one.weight * base, one.weight * own * reach, one.weight * own, one.weight * own * c)
    steep = own * dc + spread * dm * c
    slope = own * (one.loose + powered * dc) + spread * (dc + c + dm * powered * (absolute + c)) + bend * dm * c
    shift = (own * one.loose + spread * dm) * reach
    return value, Parts(one.weight * slope, one.weight * shift, one.weight * slope, one.weight * steep)


def _products(problem: Canonical, logits: bool) -> list[Product]:
    """Return the products that each element's loss is the sum of: its two terms, or the one of a mixed target."""
    case, rule = problem.case, problem.policy.focal_target
    t, w = problem.float_target(), problem.weights()
    positive, negative = (1.0, 1.0) if case.alpha is None else (case.alpha, 1 - case.alpha)
    mixed = (t > 0) & (t < 1) & (rule != "terms")
    p, q, logs = _read(problem, logits)
    if not logits and problem.policy.focal_range == "as_given":
        # The factor sees what the logarithms see clipped, and what it loses is that of the probability itself.
        seen, p = p, np.clip(np.where(np.isfinite(problem.x), problem.x, 0.5), 0.0, 1.0)
        q = 1 - p
    else:
        seen = p
    one = np.ones_like(p)
    dp = p * q if logits else one
    if logits:
        slopes, loose = (q, p), (one + p * (1 + LOG2 + logs[0]), p * (1 + LOG2 + logs[0]))
    else:
        slopes = loose = 1 / np.maximum(seen, LEAST), 1 / np.maximum(1 - seen, LEAST)
    terms = [
        Product(np.where(mixed, 0.0, w * positive * t), q, logs[0], dp, slopes[0], loose[0]),
        Product(np.where(mixed, 0.0, w * negative * (1 - t)), p, logs[1], dp, slopes[1], loose[1]),
    ]
    if not mixed.any():
        return terms
    c, dc, lost = (t * pair[0] + (1 - t) * pair[1] for pair in (logs, slopes, loose))
    lean = np.abs(2 * t - 1)
    m, dm = t * q + (1 - t) * p, lean * dp
    if rule == "geometric":
        m, dm = -np.expm1(-c), np.exp(-c) * dc
    elif rule == "logit":
        u = (2 * t - 1) * (logs[1] - logs[0])
        m = np.exp(-np.maximum(u, 0) - np.log1p(np.exp(-np.abs(u))))
        dm = lean * m * (1 - m) * (1.0 if logits else 1 / np.maximum(seen * (1 - seen), LEAST))
    weight = np.where(mixed, w * (positive * t + negative * (1 - t)), 0.0)
    return [*terms, Product(weight, m, c, dm, dc, lost)]


def _read(problem: Canonical, logits: bool) -> tuple[Float64, Float64, tuple[Float64, Float64]]:
    """Return p, 1 - p and the negative logarithms of both."""
    if not logits:
        low, high = clip_range(problem.case, problem.policy) or (0.0, 1.0)
        p = np.clip(np.where(np.isfinite(problem.x), problem.x, 0.5), low, high)
        return p, 1 - p, (-np.log(np.maximum(p, LEAST)), -np.log(np.maximum(1 - p, LEAST)))
    z = np.where(np.isfinite(problem.x), problem.x, 0.0)
    e = np.exp(-np.abs(z))
    tail = np.log1p(e)
    p, q = np.where(z < 0, e, 1.0) / (1 + e), np.where(z < 0, 1.0, e) / (1 + e)
    return p, q, (np.maximum(-z, 0) + tail, np.maximum(z, 0) + tail)
