"""Correct losses with one term an element: binary cross-entropy, log-sigmoid, KL divergence. See `correct`."""

from __future__ import annotations

import numpy as np

from lossconform.adapters.miniatures.loss import Batch, Flags, Floats, NumpyLoss

INF, NAN = np.inf, np.nan


class Elementwise(NumpyLoss):
    """A loss with one term an element, whose class axis is reduced as the policy says."""

    def one_value_a_class(self) -> bool:
        """Unless the class axis is reduced."""
        return self.policy["class_axis_reduction"] == "none"

    def values(self, batch: Batch) -> Floats:
        """Return the terms, or their sum or mean over the classes."""
        terms = self.terms(batch)
        if self.one_value_a_class():
            return terms
        return self.add(terms) * terms.dtype.type(self.share(batch))

    def slopes(self, batch: Batch, factors: Floats) -> Floats:
        """Return the derivatives of the terms times their factors."""
        return self.derivatives(batch) * factors * batch.x.dtype.type(self.share(batch))

    def share(self, batch: Batch) -> float:
        """Return what each term counts for in its row's value."""
        return 1 / batch.x.shape[1] if self.policy["class_axis_reduction"] == "mean" else 1.0

    def terms(self, batch: Batch) -> Floats:
        """Return the terms, (N, C)."""
        raise NotImplementedError

    def derivatives(self, batch: Batch) -> Floats:
        """Return the derivative of each term, (N, C)."""
        raise NotImplementedError

    def clip(self, batch: Batch, q: Floats, high: float) -> tuple[Floats, Flags]:
        """Return probabilities clipped as the policy says, and which were left alone."""
        rule = self.policy["probability_range"]
        if not rule.startswith("clipped"):
            return q, np.ones(q.shape, bool)
        bounds = np.array([1e-7, high])
        if rule != "clipped":
            bounds = bounds.astype(batch.dtype)
        low, top = bounds.astype(q.dtype)
        return np.clip(q, low, top), (q >= low) & (q <= top)


class LogSigmoid(Elementwise):
    """Log-sigmoid."""

    def softplus(self, z: Floats) -> Floats:
        """Return log(1 + exp z)."""
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))

    def sigmoid(self, z: Floats) -> Floats:
        """Return 1 / (1 + exp(-z))."""
        e = np.exp(-np.abs(z))
        return np.where(z < 0, e, 1).astype(z.dtype) / (1 + e)

    def terms(self, batch: Batch) -> Floats:
        """Return -softplus(-z)."""
        return -self.softplus(-batch.x)

    def derivatives(self, batch: Batch) -> Floats:
        """Return sigmoid(-z)."""
        return self.sigmoid(-batch.x)


class BinaryCrossEntropy(LogSigmoid):
    """Binary cross-entropy from logits or probabilities."""

    def smooth(self, batch: Batch, amount: float) -> Floats:
        """Return the target moved towards a half."""
        work = batch.x.dtype.type
        return batch.t * work(1 - amount) + work(amount / 2)

    def weights(self, batch: Batch) -> tuple[Floats, Floats]:
        """Return what the positive and the negative term are multiplied by."""
        return batch.t * batch.weight * batch.pos_weight, (1 - batch.t) * batch.weight

    def times(self, weight: Floats, term: Floats) -> Floats:
        """Return weight times a term, where 0 times infinity is what the policy says."""
        skipped = (weight == 0) & ~np.isnan(term) & (self.policy["zero_times_infinity"] == "zero")
        return np.where(skipped, 0, weight * term).astype(term.dtype)

    def terms(self, batch: Batch) -> Floats:
        """Return a softplus(-z) + b softplus(z), or -a log p - b log(1 - p)."""
        a, b = self.weights(batch)
        if batch.form == "logits":
            return self.times(a, self.softplus(-batch.x)) + self.times(b, self.softplus(batch.x))
        q, _ = self.clip(batch, batch.x, 1 - 1e-7)
        result = self.times(a, -self.bounded(self.log(q))) + self.times(b, -self.bounded(self.log1m(q)))
        return np.where(np.isfinite(batch.x), result, result.dtype.type(NAN))

    def log(self, q: Floats) -> Floats:
        """Return log q."""
        return np.log(q)

    def log1m(self, q: Floats) -> Floats:
        """Return log(1 - q)."""
        return np.log1p(-q)

    def bounded(self, log: Floats) -> Floats:
        """Return a logarithm, at least -100 where the policy says so."""
        return np.maximum(log, log.dtype.type(-100)) if self.clamps() else log

    def clamps(self) -> bool:
        """Whether logarithms and divisors are bounded."""
        return self.policy["probability_range"].endswith("log_clamped")

    def derivatives(self, batch: Batch) -> Floats:
        """Return b sigmoid(z) - a sigmoid(-z), or (b q - a (1 - q)) / (q (1 - q))."""
        a, b = self.weights(batch)
        if batch.form == "logits":
            return b * self.sigmoid(batch.x) - a * self.sigmoid(-batch.x)
        q, inside = self.clip(batch, batch.x, 1 - 1e-7)
        if self.clamps():
            divisor = np.maximum(q * (1 - q), np.float32(1e-12).astype(q.dtype))
            result = (b * q - a * (1 - q)) / divisor
        else:
            positive = np.where(a == 0, 0, a / q)
            result = np.where(b == 0, 0, b / (1 - q)) - positive
        result = np.where(inside, result, 0)
        return np.where(np.isfinite(batch.x), result, NAN).astype(batch.x.dtype)


class KLDivergence(Elementwise):
    """KL divergence of the target from log-probabilities or probabilities."""

    def mass(self, batch: Batch) -> Floats:
        """Return the target as probabilities."""
        if batch.target_form == "log_distribution":
            return np.exp(batch.t)
        if self.policy["target_range"] == "clipped_in_dtype":
            low, high = np.array([1e-7, 1.0]).astype(batch.dtype).astype(batch.t.dtype)
            return np.clip(batch.t, low, high)
        return batch.t

    def log_mass(self, batch: Batch) -> Floats:
        """Return the target's logarithm."""
        return batch.t if batch.target_form == "log_distribution" else np.log(self.mass(batch))

    def terms(self, batch: Batch) -> Floats:
        """Return t (log t - log q), with 0 log 0 = 0."""
        t, log_t = self.mass(batch), self.log_mass(batch)
        if batch.form == "log_probabilities":
            q = log_q = batch.x
        else:
            q, _ = self.clip(batch, np.where(np.isfinite(batch.x), batch.x, batch.x.dtype.type(NAN)), 1.0)
            log_q = np.log(q)
        gap = log_t - log_q
        if batch.form == "probabilities" and batch.target_form != "log_distribution":
            # The quotient loses the least, unless it is beyond the range.
            quotient = t / q
            gap = np.where(np.isfinite(quotient), np.log(quotient), gap).astype(t.dtype)
        nothing = self.nothing(batch, q, log_q)
        result = np.where(t > 0, t * gap, nothing) * batch.weight
        return np.where(batch.where, result, 0).astype(batch.x.dtype)

    def nothing(self, batch: Batch, q: Floats, log_q: Floats) -> Floats:
        """Return the term of a class whose target is 0."""
        result = np.where(np.isnan(q) | np.isnan(log_q), NAN, 0)
        if self.policy["zero_times_infinity"] == "nan":
            odd = np.isinf(log_q) | (batch.target_form == "log_distribution")
            result = np.where(odd, NAN, result)
        return result.astype(batch.x.dtype)

    def derivatives(self, batch: Batch) -> Floats:
        """Return -t, or -t / q."""
        t = self.mass(batch) * batch.weight
        if batch.form == "log_probabilities":
            return np.where(batch.where, -t, 0).astype(t.dtype)
        q, inside = self.clip(batch, batch.x, 1.0)
        result = np.where(inside & (t > 0), -t / q, 0)
        result = np.where(np.isfinite(batch.x), result, NAN)
        return np.where(batch.where, result, 0).astype(t.dtype)
