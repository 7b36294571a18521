"""Correct losses in plain NumPy, stable, with their gradients: what faults are cut out of.

Each family shifts by the largest logit, keeps the largest class out of the sum (log1p of the rest), and never subtracts
what it could leave out. No code is shared with the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossconform.adapters.miniatures.loss import Batch, Flags, Floats, NumpyLoss

INF, NAN = np.inf, np.nan


@dataclass
class Parts:
    """The softmax of rows.

    Attributes:
        m: the largest logit, (N, 1).
        d: logits less m, -inf for classes that take no part, (N, C).
        e: exp d, (N, C).
        top: e of one of the largest classes, (N, 1): 1 where the shift is right.
        rest: the sum of e over all the others, (N, 1).
        undefined: rows without a softmax, (N, 1).
        infinite: rows with a logit of inf, (N, 1).
    """

    m: Floats
    d: Floats
    e: Floats
    top: Floats
    rest: Floats
    undefined: Flags
    infinite: Flags


class Softmax(NumpyLoss):
    """Softmax, and what every loss of a softmax shares."""

    def one_value_a_class(self) -> bool:
        """Softmax has."""
        return True

    def highest(self, x: Floats) -> Floats:
        """Return the largest logit of each row, (N, 1)."""
        return np.max(x, axis=1, keepdims=True)

    def exp(self, d: Floats) -> Floats:
        """Return the exponentials."""
        return np.exp(d)

    def log_total(self, q: Parts) -> Floats:
        """Return the logarithm of the sum of e, (N, 1)."""
        return np.log(q.top) + np.log1p(q.rest / q.top)

    def p(self, q: Parts) -> Floats:
        """Return the softmax."""
        return q.e / (q.top + q.rest)

    def parts(self, batch: Batch) -> Parts:
        """Return the softmax of every row in parts."""
        x = np.where(batch.where, batch.x, -INF).astype(batch.x.dtype)
        infinite = (x == INF).any(axis=1, keepdims=True)
        limit = ((x == INF).sum(axis=1, keepdims=True) == 1) & (self.policy["infinite_logit"] != "nan")
        x = np.where(limit & ~np.isnan(x).any(axis=1, keepdims=True), np.where(x == INF, 0, -INF).astype(x.dtype), x)
        m = self.highest(x)
        largest = np.max(x, axis=1, keepdims=True)
        d = x - m
        e = self.exp(d)
        place = np.argmax(x, axis=1)[:, None]
        top = np.take_along_axis(e, place, axis=1)
        others = e.copy()
        np.put_along_axis(others, place, 0, axis=1)
        return Parts(m, d, e, top, self.add(others), ~np.isfinite(largest), infinite)

    def values(self, batch: Batch) -> Floats:
        """Return p."""
        q = self.parts(batch)
        return np.where(q.undefined, NAN, self.p(q)).astype(batch.x.dtype)

    def slopes(self, batch: Batch, factors: Floats) -> Floats:
        """Return p (c - sum of p c)."""
        q = self.parts(batch)
        p = self.p(q)
        return self.defined(q, p * (factors - self.add(p * factors)))

    def defined(self, q: Parts, slopes: Floats) -> Floats:
        """Return slopes with NaN in the rows that have none."""
        return np.where(q.undefined | q.infinite, slopes.dtype.type(NAN), slopes)


class LogSoftmax(Softmax):
    """Log-softmax."""

    def values(self, batch: Batch) -> Floats:
        """Return d - log S."""
        q = self.parts(batch)
        return np.where(q.undefined, NAN, q.d - self.log_total(q)).astype(batch.x.dtype)

    def slopes(self, batch: Batch, factors: Floats) -> Floats:
        """Return c - p sum of c, over the classes that take part."""
        q = self.parts(batch)
        factors = np.where(batch.where, factors, 0).astype(factors.dtype)
        return self.defined(q, factors - self.p(q) * self.add(factors))


class LogSumExp(Softmax):
    """Log-sum-exp."""

    def one_value_a_class(self) -> bool:
        """One a row."""
        return False

    def values(self, batch: Batch) -> Floats:
        """Return m + log S; inf for a logit of inf."""
        q = self.parts(batch)
        x = np.where(batch.where, batch.x, -INF)
        result = np.where(q.undefined, q.m, q.m + self.log_total(q))
        result = np.where(q.infinite, INF, result)
        return np.where(np.isnan(x).any(axis=1, keepdims=True), NAN, result).astype(batch.x.dtype)

    def slopes(self, batch: Batch, factors: Floats) -> Floats:
        """Return p."""
        q = self.parts(batch)
        return self.defined(q, self.p(q) * factors)


class Entropy(Softmax):
    """Entropy of the softmax."""

    def one_value_a_class(self) -> bool:
        """One a row."""
        return False

    def values(self, batch: Batch) -> Floats:
        """Return log S - sum of p d."""
        q = self.parts(batch)
        return np.where(q.undefined, NAN, self.log_total(q) - self.add(self.spread(q))).astype(batch.x.dtype)

    def spread(self, q: Parts) -> Floats:
        """Return p d, 0 for a class of probability 0."""
        return np.where(q.d == -INF, 0, self.p(q) * q.d).astype(q.d.dtype)

    def slopes(self, batch: Batch, factors: Floats) -> Floats:
        """Return -p (d - sum of p d)."""
        q = self.parts(batch)
        p = self.p(q)
        slope = np.where(q.d == -INF, 0, -p * (q.d - self.add(self.spread(q)))).astype(q.d.dtype)
        return self.defined(q, slope * factors)


class SoftmaxCrossEntropy(Softmax):
    """Softmax cross-entropy from logits, log-probabilities or probabilities."""

    def one_value_a_class(self) -> bool:
        """One a row."""
        return False

    def values(self, batch: Batch) -> Floats:
        """Return the loss of every row."""
        return self.FORMS[batch.form][0](self, batch)

    def slopes(self, batch: Batch, factors: Floats) -> Floats:
        """Return its gradient."""
        return self.FORMS[batch.form][1](self, batch) * factors

    def multiplies_zero(self, batch: Batch) -> bool:
        """Whether a target of 0 is multiplied, not skipped."""
        return self.policy["zero_times_infinity"] == "nan" and batch.target_form != "index"

    def from_logits(self, batch: Batch) -> Floats:
        """Return sum of t (-d) + T log S; inf where a class with a target has probability 0."""
        q = self.parts(batch)
        t = batch.t * batch.weight
        gaps = np.where(t != 0, t * -q.d, 0).astype(t.dtype)
        loss = self.add(gaps) + self.add(t) * self.log_total(q)
        odd = q.undefined
        if self.multiplies_zero(batch):
            odd = odd | (batch.where & (t == 0) & (q.d == -INF)).any(axis=1, keepdims=True)
        if self.policy["infinite_logit"] == "as_difference":
            odd = odd | (q.infinite & ((t != 0) & (q.d == 0)).any(axis=1, keepdims=True))
        return np.where(odd, loss.dtype.type(NAN), loss)

    def from_logits_slope(self, batch: Batch) -> Floats:
        """Return T p - t."""
        q = self.parts(batch)
        t = batch.t * batch.weight
        assumed = self.policy["target_sum"] == "assumed_one"
        mass = batch.row_weight[:, None] if assumed else self.add(t)
        return self.defined(q, mass * self.p(q) - t)

    def from_log_probabilities(self, batch: Batch) -> Floats:
        """Return -sum of t y."""
        t = batch.t * batch.weight
        y = batch.x if self.multiplies_zero(batch) else np.where(t != 0, batch.x, 0)
        return -self.add(t * y.astype(t.dtype))

    def from_log_probabilities_slope(self, batch: Batch) -> Floats:
        """Return -t."""
        return -(batch.t * batch.weight)

    def clip(self, batch: Batch, q: Floats, high: float = 1 - 1e-7) -> tuple[Floats, Flags]:
        """Return probabilities clipped as the policy says, and which were left alone."""
        rule = self.policy["probability_range"]
        if not rule.startswith("clipped"):
            return q, np.ones(q.shape, bool)
        bounds = np.array([1e-7, high])
        if rule != "clipped":
            bounds = bounds.astype(batch.dtype)
        low, top = bounds.astype(q.dtype)
        return np.clip(q, low, top), (q >= low) & (q <= top)

    def read(self, batch: Batch) -> tuple[Floats, Flags, Floats]:
        """Return probabilities as the policies have them, which were left alone, and what they were divided by."""
        q, rule = batch.x, self.policy["probability_sum"]
        scale = np.ones((len(q), 1), q.dtype)
        if rule == "renormalised":
            scale = self.add(q)
            q = q / scale
        q, inside = self.clip(batch, q)
        if rule == "renormalised_last":
            scale = self.add(q)
            q = q / scale
        bad = ~np.isfinite(batch.x).all(axis=1, keepdims=True) | (q < 0).any(axis=1, keepdims=True)
        return np.where(bad, q.dtype.type(NAN), q), inside, scale

    def from_probabilities(self, batch: Batch) -> Floats:
        """Return -sum of t log q."""
        q, _, _ = self.read(batch)
        t = batch.t * batch.weight
        terms = t * -self.log(q)
        if not self.multiplies_zero(batch):
            terms = np.where((t == 0) & ~np.isnan(q), 0, terms).astype(t.dtype)
        return self.add(terms)

    def log(self, q: Floats) -> Floats:
        """Return the logarithm of probabilities."""
        return np.log(q)

    def from_probabilities_slope(self, batch: Batch) -> Floats:
        """Return -t / x, nothing where clipped, and what renormalising pulls on every class."""
        q, inside, scale = self.read(batch)
        t = batch.t * batch.weight
        own = np.where(inside & (t != 0), t / batch.x, 0).astype(t.dtype)
        if self.policy["probability_sum"] == "as_given":
            return np.where(np.isnan(q), q, -own)
        last = self.policy["probability_sum"] == "renormalised_last"
        pulled = self.add(t if last else np.where(inside, t, 0)) / scale
        shared = np.where(inside, pulled, 0) if last else pulled
        return np.where(np.isnan(q), q, shared - own).astype(t.dtype)

    FORMS = {  # noqa: RUF012 - closed
        "logits": (lambda self, b: self.from_logits(b), lambda self, b: self.from_logits_slope(b)),
        "log_probabilities": (
            lambda self, b: self.from_log_probabilities(b),
            lambda self, b: self.from_log_probabilities_slope(b),
        ),
        "probabilities": (
            lambda self, b: self.from_probabilities(b),
            lambda self, b: self.from_probabilities_slope(b),
        ),
    }
    """How values and slopes are found for each form of prediction."""
