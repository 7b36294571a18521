"""A fused cross-entropy with its own backward pass in PyTorch, like torch.nn.functional.cross_entropy."""

import torch

from lossconform import conformance_tests
from lossconform.adapters.pytorch import loss_function


class Fused(torch.autograd.Function):
    """Log-sum-exp, loss and gradient in one pass over the logits."""

    @staticmethod
    def forward(ctx, logits, labels, kept):
        top = logits.max(dim=1, keepdim=True).values
        e = torch.exp(logits - top)
        # The largest term is 1: summing the others apart keeps a confident loss accurate.
        rest = e.scatter(1, logits.argmax(dim=1, keepdim=True), 0.0).sum(dim=1)
        gap = (top - logits.gather(1, labels[:, None])).squeeze(1)
        ctx.save_for_backward(e / (1 + rest)[:, None], labels, kept)
        return torch.where(kept, gap + torch.log1p(rest), 0.0)

    @staticmethod
    def backward(ctx, upstream):
        p, labels, kept = ctx.saved_tensors
        minus_one = torch.full_like(p[:, :1], -1.0)
        gradient = p.scatter_add(1, labels[:, None], minus_one) * upstream[:, None]
        return torch.where(kept[:, None], gradient, 0.0), None, None


def fused_cross_entropy(input, target, ignore_index=-100, reduction="mean"):
    """The mean is over labels that are not ignored."""
    kept = target != ignore_index
    wrong = kept & ((target < 0) | (target >= input.shape[1]))
    if wrong.any():
        raise ValueError(f"target: a label is not in [0, {input.shape[1]})")
    loss = Fused.apply(input.float(), torch.where(kept, target, 0), kept)
    total = {"none": loss, "sum": loss.sum(), "mean": loss.sum() / kept.sum()}[reduction]
    return total.to(input.dtype)


loss = loss_function(
    fused_cross_entropy,
    like="torch.nn.functional.cross_entropy",
    targets=["index"],
    options=["ignore_index"],
    dtypes=["float32", "bfloat16"],
    class_axis="rows",
)
test_fused = conformance_tests(loss)
