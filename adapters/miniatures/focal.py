"""A correct focal loss, alpha_t (1 - p_t)^gamma (-log p_t), for each reading of a fractional target. See `correct`."""

from __future__ import annotations

import numpy as np

from lossconform.adapters.miniatures.elementwise import BinaryCrossEntropy
from lossconform.adapters.miniatures.loss import Batch, Floats

Pair = tuple[Floats, Floats]
"""The same thing for the positive class and for the negative one, or a value and its derivative."""


class Focal(BinaryCrossEntropy):
    """Focal loss from logits or probabilities.

    In float64 inside: 1 - p_t of a confident, correct element has few digits left in less.
    """

    def terms(self, batch: Batch) -> Floats:
        """Return the losses."""
        return self.both(batch)[0]

    def derivatives(self, batch: Batch) -> Floats:
        """Return their derivatives."""
        return self.both(batch)[1]

    def both(self, batch: Batch) -> Pair:
        """Return value and derivative of every element, in the dtype of the arithmetic."""
        t = batch.t.astype(np.float64)
        logs, slopes = self.logarithms(batch)
        sides = self.probabilities(batch)
        speed = self.speed(batch, sides)
        alpha = self.balance(batch)
        value, slope = np.zeros_like(t), np.zeros_like(t)
        for k, share in enumerate((t, 1 - t)):
            factor = self.factor(batch, sides[1 - k], -speed if k == 0 else speed)
            own = self.product(batch, factor, (logs[k], slopes[k]))
            weight = share * alpha[k] * batch.weight
            value = value + self.times(weight, own[0])
            slope = slope + np.where(weight == 0, 0, weight * own[1])
        mixed = (t > 0) & (t < 1) & (self.policy["focal_target"] != "terms")
        whole = t * logs[0] + (1 - t) * logs[1], t * slopes[0] + (1 - t) * slopes[1]
        own = self.product(batch, self.mixed_factor(batch, t, sides, speed, whole), whole)
        weight = (t * alpha[0] + (1 - t) * alpha[1]) * batch.weight
        value = np.where(mixed, self.times(weight, own[0]), value)
        slope = np.where(mixed, weight * own[1], slope)
        if batch.form == "probabilities":
            outside = ~((batch.x >= 0) & (batch.x <= 1))
            value, slope = np.where(outside, np.nan, value), np.where(outside, np.nan, slope)
        return value.astype(batch.x.dtype), slope.astype(batch.x.dtype)

    def balance(self, batch: Batch) -> tuple[float, float]:
        """Return the weight of target 1 and that of target 0."""
        return batch.alpha

    def logarithms(self, batch: Batch) -> tuple[Pair, Pair]:
        """Return -log p and -log(1 - p), and their derivatives."""
        x = batch.x.astype(np.float64)
        if batch.form == "logits":
            return (self.softplus(-x), self.softplus(x)), (-self.sigmoid(-x), self.sigmoid(x))
        q, inside = self.clip(batch, x, 1 - 1e-7)
        logs = -self.bounded(self.log(q)), -self.bounded(self.log1m(q))
        divisor = np.maximum(q * (1 - q), np.float32(1e-12)) if self.clamps() else q * (1 - q)
        positive = -(1 - q) / divisor if self.clamps() else -1 / q
        negative = q / divisor if self.clamps() else 1 / (1 - q)
        return logs, (np.where(inside, positive, 0), np.where(inside, negative, 0))

    def probabilities(self, batch: Batch) -> Pair:
        """Return p and 1 - p that the factor is of."""
        x = batch.x.astype(np.float64)
        if batch.form == "logits":
            return self.sigmoid(x), self.sigmoid(-x)
        if self.policy["focal_range"] == "clipped":
            x, _ = self.clip(batch, x, 1 - 1e-7)
        return x, 1 - x

    def speed(self, batch: Batch, sides: Pair) -> Floats:
        """Return the derivative of p."""
        if batch.form == "logits":
            return sides[0] * sides[1]
        _, inside = self.clip(batch, batch.x.astype(np.float64), 1 - 1e-7)
        return np.where(inside | (self.policy["focal_range"] == "as_given"), 1.0, 0.0)

    def factor(self, batch: Batch, m: Floats, dm: Floats) -> Pair:
        """Return m^gamma and its derivative, given m and its derivative."""
        slope = batch.gamma * m ** (batch.gamma - 1) * dm if batch.gamma else np.zeros_like(m)
        return m**batch.gamma, slope

    def product(self, batch: Batch, factor: Pair, term: Pair) -> Pair:
        """Return factor times term and its derivative, in the limit where one is 0 and the other infinite."""
        gone = (factor[0] == 0) & np.isfinite(term[0]) & ((term[0] == 0) | (batch.form == "logits"))
        pull = np.where((factor[1] == 0) | gone | np.isinf(term[1]), 0, factor[1] * term[0])
        push = np.where((factor[0] == 0) & np.isinf(term[1]), 0, factor[0] * term[1])
        pull = np.where(np.isnan(factor[0]) | np.isnan(term[0]), np.nan, pull)
        nothing = (factor[0] == 0) & np.isinf(term[0]) & (self.policy["zero_times_infinity"] == "zero")
        return np.where(nothing, 0, factor[0] * term[0]), pull + push

    def mixed_factor(self, batch: Batch, t: Floats, sides: Pair, speed: Floats, whole: Pair) -> Pair:
        """Return the factor of a fractional target, and its derivative."""
        rule = self.policy["focal_target"]
        if rule == "geometric":
            return self.factor(batch, -np.expm1(-whole[0]), np.exp(-whole[0]) * whole[1])
        if rule == "logit":
            z = batch.x.astype(np.float64) if batch.form == "logits" else np.log(sides[0] / sides[1])
            u = np.where(t == 0.5, 0, (2 * t - 1) * z)
            m = self.sigmoid(-u)
            dz = 1.0 if batch.form == "logits" else speed / (sides[0] * sides[1])
            return self.factor(batch, m, -(2 * t - 1) * m * self.sigmoid(u) * dz)
        return self.factor(batch, t * sides[1] + (1 - t) * sides[0], (1 - 2 * t) * speed)
