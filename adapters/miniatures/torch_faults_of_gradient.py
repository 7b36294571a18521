"""Faults of the gradient, in PyTorch: wrong autograd functions, detached parts, saved tensors, masks applied too late.

The value is right throughout.
"""

from __future__ import annotations

from typing import Any

import torch

from lossconform.adapters.miniatures.fault import BCE, CE, KL, Patch, after, correct, instead
from lossconform.adapters.miniatures.torch_autograd import Tensor, bend, through
from lossconform.adapters.miniatures.torch_fault import LABELS, SOFT, TorchFault, altered, bent, slope_of
from lossconform.adapters.miniatures.torch_loss import INF, NAN, Rows
from lossconform.reference.case import Loss, TargetForm

GRADIENT = ("gradient",)


def wrong(identifier: str, what: str, patch: Patch, loss: Loss = CE, **more: Any) -> TorchFault:
    """Return a fault that the check of the gradient must catch."""
    return TorchFault(identifier, what, loss, GRADIENT, patch, "gradient", **more)


def _of_option(identifier: str, what: str, check: str, patch: Patch, loss: Loss = CE, **more: Any) -> TorchFault:
    return TorchFault(identifier, what, loss, (check,), patch, "gradient", **more)


def _first_of_ties(g: Tensor, b: Rows) -> Tensor:
    """Only the first of several equal largest logits has a slope."""
    first = torch.zeros_like(g, dtype=torch.bool).scatter(1, b.x.argmax(1, keepdim=True), True)
    return torch.where((b.x == b.x.amax(1, keepdim=True)) & ~first, 0, g)


def _shift_attached(self: Any, b: Rows) -> Any:
    """The shift is differentiated where it is subtracted, and detached where it is not."""
    q = correct(self, "parts", b)
    x = self.logits(b)
    q.d = through(q.d, x - x.amax(1, keepdim=True))
    return q


def _overwritten(self: Any, d: Tensor) -> Tensor:
    """The exponentials are saved for the backward pass, and overwritten behind autograd's back after use."""
    e = d.exp()
    value = e.detach().clone()
    e.data.mul_(0.5)
    return through(value, e)


def _leaks(self: Any, b: Rows) -> Tensor:
    """Ignored rows are masked on the way there, and not on the way back."""
    cleaned = through(correct(self, "clean", b), b.x)
    return bend(cleaned, lambda g: torch.where(b.kept[:, None], g, 0.5))


def _detached(part: str) -> Patch:
    def parts(self: Any, b: Rows) -> Any:
        q = correct(self, "parts", b)
        setattr(q, part, getattr(q, part).detach())
        return q

    return {"parts": parts}


def _upstream(change: Any) -> Patch:
    """Change the gradient that comes in from whatever follows the loss."""
    return bent(lambda g, *_: change(g), "settle")


SOFTMAX = (
    wrong("gradient_negated", "the sign of every gradient", bent(lambda g, b: -g)),
    wrong("gradient_halved", "half of every gradient", bent(lambda g, b: g / 2)),
    wrong("gradient_scaled", "1e-5 too large", bent(lambda g, b: g * (1 + 1e-5))),
    wrong("gradient_zero", "no gradient at all", bent(lambda g, b: 0 * g)),
    wrong("gradient_saturates", "0 below 1e-3", bent(lambda g, b: torch.where(g.abs() < 1e-3, 0, g))),
    wrong(
        "gradient_zero_when_right",
        "0 for rows classified right",
        bent(lambda g, b: torch.where((b.x.argmax(1) == b.t.argmax(1))[:, None], 0, g)),
    ),
    wrong("gradient_clipped", "clipped to a half", bent(lambda g, b: g.clamp(-0.5, 0.5))),
    wrong("gradient_in_bfloat16", "rounded to bfloat16", bent(lambda g, b: g.bfloat16())),
    wrong("gradient_in_float16", "rounded to float16", bent(lambda g, b: g.half())),
    wrong("gradient_of_first_tie", "equal largest logits: the first alone", bent(_first_of_ties)),
    wrong("gradient_of_masked_nan", "NaN where a logit is -inf", bent(lambda g, b: torch.where(b.x == -INF, NAN, g))),
    wrong("gradient_rows_reversed", "the rows exchanged", bent(lambda g, b: g.flip(0))),
    wrong("gradient_classes_reversed", "the classes exchanged", bent(lambda g, b: g.flip(1))),
    wrong("gradient_of_first_row", "every row has the first row's gradient", bent(lambda g, b: g[:1])),
    wrong("gradient_centred_over_batch", "the batch's mean taken off", bent(lambda g, b: g - g.mean(0))),
    wrong("lse_detached", "the normaliser detached: -t alone", _detached("log_s")),
    wrong("logit_detached", "the logit detached: p alone", _detached("d")),
    wrong("exp_detached", "the exponentials detached", after("exp", lambda e, d: e.detach())),
    wrong("shift_attached", "the shift differentiated in one place of two", instead("parts", _shift_attached)),
    wrong("saved_overwritten", "a saved tensor overwritten in place", instead("exp", _overwritten)),
    wrong(
        "straight_through",
        "the gradient of a softmax of half the logits",
        slope_of(altered("values", lambda b: {"x": b.x / 2})),
    ),
    wrong("upstream_lost", "the upstream gradient not used", _upstream(torch.ones_like)),
    wrong("upstream_magnitude", "the sign of the upstream gradient lost", _upstream(torch.abs)),
    wrong(
        "upstream_averaged", "every row has the mean upstream gradient", _upstream(lambda g: g.mean(0, keepdim=True))
    ),
    wrong("upstream_of_first_row", "every row has the first row's upstream gradient", _upstream(lambda g: g[:1])),
)

OPTIONS = (
    _of_option(
        "gradient_not_averaged",
        "a mean's gradient not divided",
        "reduction",
        {
            "reduce": lambda self, b, v: (
                through(correct(self, "reduce", b, v), v.sum())
                if "mean" in b.reduction
                else correct(self, "reduce", b, v)
            )
        },
        features=LABELS,
    ),
    _of_option(
        "upstream_lost_when_reduced",
        "the upstream gradient of a single value not used",
        "reduction",
        after("reduce", lambda v, *_: v if v.ndim else bend(v, torch.ones_like)),
        features=LABELS,
    ),
    _of_option(
        "gradient_of_where",
        "masked classes have a gradient",
        "ignore-where",
        bent(lambda g, b: torch.where(b.where, g, 0.25)),
    ),
    _of_option(
        "gradient_without_where",
        "the gradient of all classes",
        "ignore-where",
        slope_of(altered("values", lambda b: {"where": torch.ones_like(b.where)})),
    ),
    _of_option(
        "gradient_of_ignored",
        "ignored rows have a gradient",
        "ignore-index",
        instead("clean", _leaks),
        features=LABELS,
    ),
    _of_option(
        "class_weight_detached",
        "class weights not in the gradient",
        "class-weight",
        slope_of(altered("values", lambda b: {"weight": torch.ones_like(b.weight)})),
    ),
    _of_option(
        "sample_weight_detached",
        "sample weights not in the gradient",
        "sample-weight",
        slope_of(altered("values", lambda b: {"weight": b.weight / b.row_weight[:, None]})),
    ),
    _of_option(
        "smoothing_detached",
        "smoothing not in the gradient",
        "label-smoothing",
        slope_of(altered("values", lambda b: {"t": (b.t == b.t.amax(1, keepdim=True)).to(b.t.dtype)})),
        features=LABELS,
    ),
    TorchFault(
        "target_sum_detached",
        "p - t for soft labels of any sum",
        CE,
        ("unnormalised-target",),
        slope_of(lambda self, t, q: torch.where(t != 0, t * -q.d, 0).sum(1, keepdim=True) + q.log_s, "cross"),
        "target_sum",
        SOFT,
    ),
)

OTHERS = (
    wrong(
        "softmax_diagonal",
        "the diagonal of the derivative alone",
        slope_of(lambda self, b: self.p(p := self.parts(b)) * (1 - self.p(p).detach()), "values"),
        Loss.SOFTMAX,
    ),
    wrong("softmax_sum_detached", "the normaliser detached", _detached("s"), Loss.SOFTMAX),
    wrong("log_softmax_detached", "the normaliser detached", _detached("log_s"), Loss.LOG_SOFTMAX),
    wrong("log_softmax_halved", "half of every gradient", bent(lambda g, b: g / 2), Loss.LOG_SOFTMAX),
    wrong(
        "binary_clamped_form",
        "the slope of max(z, 0) at exactly 0 taken as 1",
        instead("softplus", lambda self, z: z.clamp(min=0) + (-z.abs()).exp().log1p()),
        BCE,
    ),
    wrong("binary_zero_at_zero", "no gradient at exactly 0", bent(lambda g, b: torch.where(b.x == 0, 0, g)), BCE),
    wrong("binary_saturates", "no gradient beyond 5", bent(lambda g, b: torch.where(b.x.abs() > 5, 0, g)), BCE),
    wrong(
        "binary_hard_sigmoid",
        "a piecewise linear sigmoid",
        slope_of(lambda self, z: torch.where(z.abs() < 3, z * z / 12 + z / 2, z.clamp(min=0)), "softplus"),
        BCE,
    ),
    wrong(
        "binary_negative_detached",
        "the negative term detached",
        {
            "values": lambda self, b: (
                self.times(self.sides(b)[0], self.softplus(-b.x))
                + self.times(self.sides(b)[1], self.softplus(b.x)).detach()
            )
        },
        BCE,
    ),
    _of_option(
        "pos_weight_detached",
        "pos_weight not in the gradient",
        "pos-weight",
        slope_of(altered("values", lambda b: {"pos_weight": torch.ones_like(b.pos_weight)})),
        BCE,
    ),
    wrong("divergence_slope_sign", "t, not -t", bent(lambda g, b: -g), KL),
    wrong(
        "divergence_slope_of_log",
        "the logarithm of a target for the target",
        slope_of(lambda self, b: -b.t * b.weight * b.x),
        KL,
        features={"targets": (TargetForm.LOG_DISTRIBUTION,)},
    ),
)

FAULTS = (*SOFTMAX, *OPTIONS, *OTHERS)
"""Every fault of the gradient."""
