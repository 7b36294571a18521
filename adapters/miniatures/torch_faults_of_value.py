"""Faults of the value, in PyTorch: shifts, logarithms, epsilons, clips, low precision, scale, branches."""

from __future__ import annotations

import math
from typing import Any

import torch

from lossconform.adapters.miniatures.fault import BCE, CE, KL, Patch, after, instead
from lossconform.adapters.miniatures.torch_autograd import Tensor
from lossconform.adapters.miniatures.torch_fault import LABELS, TorchFault, given
from lossconform.adapters.miniatures.torch_loss import INF, Rows
from lossconform.reference.case import Loss
from lossconform.reference.grades import Grade

VALUE = ("value",)
RELATIVE = {"bar": Grade.SHIFT_STABLE}
"""A promise of relative accuracy where the target is 0 or 1, which a softplus of log1p keeps."""


def _through(dtype: Any) -> Any:
    """Return a rounding through another dtype."""
    return lambda array, *_: array.to(dtype).to(array.dtype)


def _of_probability(change: Any) -> Patch:
    """Compute the cross-entropy as -t log of a changed softmax."""

    def cross(self: Any, t: Tensor, q: Any) -> Tensor:
        return torch.where(t != 0, -t * change(self.p(q)).log(), 0).sum(1, keepdim=True)

    return {"cross": cross}


def _lse_first(self: Any, b: Rows) -> Tensor:
    """The shift is undone before the logit is subtracted."""
    q, t = self.parts(b), self.mass(b)
    return torch.where(t != 0, t * ((q.m + q.log_s) - b.x), 0).sum(1, keepdim=True)


def _without(place: slice) -> Patch:
    """Leave classes out of the sum."""

    def add(self: Any, e: Tensor) -> Tensor:
        kept = torch.ones(e.shape[1], dtype=e.dtype)
        kept[place] = 0
        return (e * kept).sum(1, keepdim=True)

    return {"add": add}


def _taylor(self: Any, s: Tensor) -> Tensor:
    """The logarithm of s taken as s - 1 near 1."""
    return torch.where(s - 1 < 0.01, s - 1, s.log())


def _binary(change: Any) -> Patch:
    """Compute binary cross-entropy from changed probabilities."""

    def values(self: Any, b: Rows) -> Tensor:
        positive, negative = self.sides(b)
        p = change(b.x.sigmoid())
        return self.times(positive, -p.log()) + self.times(negative, -(1 - p).log())

    return {"values": values}


SOFTMAX = (
    TorchFault("no_shift", "logits are not shifted", CE, VALUE, instead("highest", lambda self, x: 0 * x[:, :1])),
    TorchFault(
        "shift_by_mean", "shifted by the mean", CE, VALUE, instead("highest", lambda self, x: x.mean(1, keepdim=True))
    ),
    TorchFault("shift_by_first", "shifted by the first logit", CE, VALUE, instead("highest", lambda self, x: x[:, :1])),
    TorchFault(
        "shift_by_magnitude",
        "shifted by the logit of largest magnitude",
        CE,
        VALUE,
        instead("highest", lambda self, x: x.gather(1, x.abs().argmax(1, keepdim=True)).detach()),
    ),
    TorchFault(
        "shift_of_batch",
        "shifted by the largest logit of all rows",
        CE,
        VALUE,
        after("highest", lambda m, x: m.amax().expand_as(m) if m.numel() else m),
    ),
    TorchFault("log_of_softmax", "log of the softmax", CE, VALUE, _of_probability(lambda p: p)),
    TorchFault("epsilon_in_softmax", "log(p + 1e-12)", CE, VALUE, _of_probability(lambda p: p + 1e-12)),
    TorchFault("softmax_clipped", "log of p clipped at 1e-7", CE, VALUE, _of_probability(lambda p: p.clamp(1e-7))),
    TorchFault("epsilon_in_sum", "log(S + 1e-5)", CE, VALUE, instead("log", lambda self, s: (s + 1e-5).log())),
    TorchFault("lse_first", "LSE - x: the shift is undone first", CE, VALUE, instead("values", _lse_first)),
    TorchFault("exp_in_bfloat16", "exponentials in bfloat16", CE, VALUE, after("exp", _through(torch.bfloat16))),
    TorchFault("sum_in_float16", "the sum kept in float16", CE, VALUE, after("add", _through(torch.float16))),
    TorchFault("sum_in_bfloat16", "the sum kept in bfloat16", CE, VALUE, after("add", _through(torch.bfloat16))),
    TorchFault("logits_in_bfloat16", "logits rounded to bfloat16", CE, VALUE, given(_through(torch.bfloat16))),
    TorchFault("value_in_float16", "the loss rounded to float16", CE, VALUE, after("values", _through(torch.float16))),
    TorchFault(
        "float64_in_float32",
        "float64 computed in float32",
        CE,
        VALUE,
        instead("working", lambda self, dtype: torch.float32),
        dtype="float64",
    ),
    TorchFault(
        "bfloat16_accumulated",
        "bfloat16 summed in bfloat16",
        CE,
        VALUE,
        # PyTorch's own sums of bfloat16 are float32's.
        instead("add", lambda self, e: sum(e.bfloat16().split(1, 1)[1:], e.bfloat16()[:, :1]).to(e.dtype)),
        features=LABELS,
        dtype="bfloat16",
    ),
    TorchFault("scaled_1e6", "1e-6 too large", CE, VALUE, after("cross", lambda v, *_: v * (1 + 1e-6))),
    TorchFault("scaled_1e5", "1e-5 too small", CE, VALUE, after("cross", lambda v, *_: v * (1 - 1e-5))),
    TorchFault("scaled_1e3", "1e-3 too large", CE, VALUE, after("cross", lambda v, *_: v * (1 + 1e-3))),
    TorchFault("in_bits", "logarithms to base 2", CE, VALUE, after("cross", lambda v, *_: v / math.log(2))),
    TorchFault("loss_capped", "no loss above 50", CE, VALUE, after("cross", lambda v, *_: v.clamp(max=50))),
    TorchFault("loss_floored", "no loss below 1e-5", CE, VALUE, after("cross", lambda v, *_: v.clamp(min=1e-5))),
    TorchFault("logits_clipped", "logits clipped to 30", CE, VALUE, given(lambda x: x.clamp(-30, 30))),
    TorchFault("temperature", "a temperature of 1.0001", CE, VALUE, given(lambda x: x * 1.0001)),
    TorchFault(
        "zero_means_absent",
        "a logit of exactly 0 taken for padding",
        CE,
        VALUE,
        given(lambda x: torch.where(x == 0, -INF, x)),
    ),
    TorchFault("last_class_lost", "the last class not summed", CE, VALUE, _without(slice(-1, None))),
    TorchFault("beyond_512_lost", "classes from 512 on not summed", CE, VALUE, _without(slice(512, None))),
    TorchFault("log_near_one", "log S taken as S - 1 below 1.01", CE, VALUE, instead("log", _taylor)),
    TorchFault(
        "nan_to_num",
        "NaN read as 0",
        CE,
        ("nan-propagates",),
        given(lambda x: torch.where(x.isnan(), 0, x)),
    ),
    TorchFault(
        "nan_to_num_of_loss",
        "a loss of NaN returned as 0",
        CE,
        ("nan-propagates",),
        after("cross", lambda v, *_: torch.where(v.isnan(), 0, v)),
    ),
    TorchFault(
        "minus_infinity_finite",
        "-inf read as -1e4",
        CE,
        ("negative-infinity",),
        given(lambda x: torch.where(x == -INF, -1e4, x)),
    ),
)

FUNCTIONS = (
    TorchFault(
        "softmax_no_shift", "softmax not shifted", Loss.SOFTMAX, VALUE, instead("highest", lambda self, x: 0 * x[:, :1])
    ),
    TorchFault(
        "softmax_epsilon",
        "1e-5 in the divisor",
        Loss.SOFTMAX,
        VALUE,
        instead("p", lambda self, q: q.e / (q.s + 1e-5)),
    ),
    TorchFault(
        "softmax_flushed",
        "probabilities below 1e-7 read as 0",
        Loss.SOFTMAX,
        VALUE,
        after("p", lambda p, q: torch.where(p < 1e-7, 0, p)),
    ),
    TorchFault("softmax_in_float16", "softmax in float16", Loss.SOFTMAX, VALUE, after("p", _through(torch.float16))),
    TorchFault(
        "log_softmax_of_softmax",
        "log of the softmax",
        Loss.LOG_SOFTMAX,
        VALUE,
        instead("log_p", lambda self, q: self.p(q).log()),
    ),
    TorchFault(
        "log_softmax_epsilon",
        "log(softmax + 1e-6)",
        Loss.LOG_SOFTMAX,
        VALUE,
        instead("log_p", lambda self, q: (self.p(q) + 1e-6).log()),
    ),
    TorchFault(
        "infinity_is_largest",
        "inf read as the largest number",
        Loss.LOG_SOFTMAX,
        ("infinite-logit",),
        given(lambda x: torch.where(x == INF, torch.finfo(x.dtype).max, x)),
        "infinite_logit",
    ),
    TorchFault("binary_of_sigmoid", "log of the sigmoid", BCE, VALUE, _binary(lambda p: p)),
    TorchFault(
        "binary_clipped", "probabilities clipped at 1e-7", BCE, VALUE, _binary(lambda p: p.clamp(1e-7, 1 - 1e-7))
    ),
    TorchFault("binary_overflows", "log1p(exp z)", BCE, VALUE, instead("softplus", lambda self, z: z.exp().log1p())),
    TorchFault(
        "binary_linear_beyond_10",
        "softplus taken as linear beyond 10",
        BCE,
        VALUE,
        instead("softplus", lambda self, z: torch.where(z > 10, z, z.clamp(max=10).exp().log1p())),
    ),
    TorchFault(
        "binary_nothing_at_zero",
        "a logit of exactly 0 falls between two branches",
        BCE,
        VALUE,
        after("softplus", lambda v, z: torch.where(z == 0, 0, v)),
    ),
    TorchFault(
        "binary_log_of_sum",
        "log(1 + e), not log1p(e)",
        BCE,
        VALUE,
        instead("softplus", lambda self, z: z.clamp(min=0) + (1 + (-z.abs()).exp()).log()),
        features=RELATIVE,
    ),
    TorchFault(
        "divergence_epsilon",
        "log(t + 1e-6)",
        KL,
        VALUE,
        instead("log_mass", lambda self, b: (self.mass(b) + 1e-6).log()),
    ),
    TorchFault(
        "divergence_without_entropy",
        "the target's entropy left out",
        KL,
        VALUE,
        instead("log_mass", lambda self, b: 0 * b.t),
    ),
    TorchFault(
        "divergence_log_target",
        "a target given as a logarithm read as probabilities",
        KL,
        VALUE,
        {"mass": lambda self, b: b.t.abs(), "log_mass": lambda self, b: b.t.abs().log()},
    ),
)

FAULTS = (*SOFTMAX, *FUNCTIONS)
"""Every fault of the value."""
