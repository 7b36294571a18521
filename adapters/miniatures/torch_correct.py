"""Correct losses in PyTorch's elementary operations: what faults are cut out of. Importing this imports PyTorch.

A shift by the largest logit, detached; masks before the exponential; every branch of a `where` finite, so that no
gradient of 0 meets an infinity.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lossconform.adapters.miniatures.torch_autograd import Tensor
from lossconform.adapters.miniatures.torch_loss import INF, NAN, Rows, TorchLoss


@dataclass
class Parts:
    """The softmax of rows.

    Attributes:
        d: logits less the largest, -inf for classes that take no part, (N, C).
        e: exp d, (N, C).
        s: the sum of e, (N, 1).
        log_s: its logarithm, (N, 1).
        m: the largest logit, (N, 1).
    """

    d: Tensor
    e: Tensor
    s: Tensor
    log_s: Tensor
    m: Tensor


class Softmax(TorchLoss):
    """Softmax, and what every loss of a softmax shares."""

    def logits(self, b: Rows) -> Tensor:
        """Return the logits, -inf for classes that take no part."""
        return torch.where(b.where, b.x, -INF)

    def highest(self, x: Tensor) -> Tensor:
        """Return the largest logit of each row, (N, 1), without a gradient."""
        return x.amax(1, keepdim=True).detach()

    def exp(self, d: Tensor) -> Tensor:
        """Return the exponentials."""
        return d.exp()

    def add(self, e: Tensor) -> Tensor:
        """Return the sum over the classes, kept."""
        return e.sum(1, keepdim=True)

    def log(self, s: Tensor) -> Tensor:
        """Return the logarithm of the sum."""
        return s.log()

    def parts(self, b: Rows) -> Parts:
        """Return the softmax of every row in parts. A row without one, or with a logit of inf, is NaN throughout."""
        x = self.logits(b)
        m = self.highest(x)
        d = x - m
        e = self.exp(d)
        s = self.add(e)
        return Parts(d, e, s, self.log(s), m)

    def p(self, q: Parts) -> Tensor:
        """Return the softmax."""
        return q.e / q.s

    def log_p(self, q: Parts) -> Tensor:
        """Return its logarithm."""
        return q.d - q.log_s

    def values(self, b: Rows) -> Tensor:
        """Return the softmax."""
        return self.p(self.parts(b))


class LogSoftmax(Softmax):
    """Log-softmax."""

    def values(self, b: Rows) -> Tensor:
        """Return its logarithm; that of a masked class is a constant, whatever comes in from above."""
        log_p = self.log_p(self.parts(b))
        return torch.where(b.where, log_p, log_p.detach())


class SoftmaxCrossEntropy(Softmax):
    """Softmax cross-entropy from logits."""

    def one_value_a_class(self) -> bool:
        """One a row."""
        return False

    def mass(self, b: Rows) -> Tensor:
        """Return the target times its weights."""
        return b.t * b.weight

    def values(self, b: Rows) -> Tensor:
        """Return sum of t (-d) + T log S, with 0 times infinity 0."""
        return self.cross(self.mass(b), self.parts(b))

    def cross(self, t: Tensor, q: Parts) -> Tensor:
        """Return the loss of rows with a target and a softmax."""
        return torch.where(t != 0, t * -q.d, 0).sum(1, keepdim=True) + t.sum(1, keepdim=True) * q.log_s


class BinaryCrossEntropy(TorchLoss):
    """Binary cross-entropy from logits."""

    def smooth(self, b: Rows, amount: float) -> Tensor:
        """Return the target moved towards a half."""
        return b.t * (1 - amount) + amount / 2

    def softplus(self, z: Tensor) -> Tensor:
        """Return log(1 + exp z), in branches that agree in value and slope at 0."""
        return torch.where(z > 0, z, 0) + torch.where(z > 0, -z, z).exp().log1p()

    def sides(self, b: Rows) -> tuple[Tensor, Tensor]:
        """Return what the positive and the negative term are multiplied by."""
        return b.t * b.weight * b.pos_weight, (1 - b.t) * b.weight

    def times(self, weight: Tensor, term: Tensor) -> Tensor:
        """Return weight times a term, 0 where the weight is and the term is no NaN."""
        return torch.where((weight == 0) & ~term.isnan(), 0, weight * term)

    def values(self, b: Rows) -> Tensor:
        """Return a softplus(-z) + b softplus(z)."""
        positive, negative = self.sides(b)
        return self.times(positive, self.softplus(-b.x)) + self.times(negative, self.softplus(b.x))


class KLDivergence(TorchLoss):
    """KL divergence of the target from log-probabilities."""

    def mass(self, b: Rows) -> Tensor:
        """Return the target as probabilities."""
        return b.t.exp() if b.target_form == "log_distribution" else b.t

    def log_mass(self, b: Rows) -> Tensor:
        """Return the target's logarithm."""
        return b.t if b.target_form == "log_distribution" else b.t.log()

    def values(self, b: Rows) -> Tensor:
        """Return t (log t - x), 0 where t is and x is no NaN."""
        t = self.mass(b)
        nothing = torch.where(b.x.isnan(), NAN, 0)
        terms = torch.where(t > 0, t * (self.log_mass(b) - b.x), nothing) * b.weight
        return torch.where(b.where, terms, 0)
