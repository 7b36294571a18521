"""What every miniature in PyTorch does besides its formula: reading arguments, options, reductions, the answer's dtype.

Written in elementary tensor operations and differentiated by autograd, so that faults of autograd can be cut out of it:
detached parts, saved tensors overwritten, masks applied too late. Every step is a method. It shares no code with the
reference. Importing this module imports PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from lossconform.adapters.miniatures.loss import POLICIES
from lossconform.adapters.miniatures.torch_autograd import Tensor

NAN, INF = float("nan"), float("inf")


@dataclass
class Rows:
    """The arguments of one call, in rows and in the dtype of the arithmetic.

    Attributes:
        x: the prediction, (N, C).
        dtype: its own dtype, which is that of the answer.
        shape: its own shape.
        axis: its class axis.
        target_form: what the target is.
        where: the classes that take part, (N, C).
        t: the target after smoothing, before weights, (N, C); a logarithm if it was given as one.
        weight: what each class's target is multiplied by, (N, C).
        row_weight: each row's weight, (N,).
        label_weight: the class weight of each row's label, (N,).
        pos_weight: the weight of positive terms, (C,).
        kept: the rows that are not ignored, (N,).
        nan_rows: the rows that are NaN because of their label, (N,).
        reduction: what is asked for.
    """

    x: Tensor
    dtype: Any
    shape: tuple[int, ...]
    axis: int
    target_form: str
    where: Tensor
    t: Tensor
    weight: Tensor
    row_weight: Tensor
    label_weight: Tensor
    pos_weight: Tensor
    kept: Tensor
    nan_rows: Tensor
    reduction: str


class TorchLoss:
    """A loss as a callable of tensors. Subclasses have the formulas.

    Args:
        policies: values other than the miniatures' usual, by keyword. It knows `mean_denominator`.
    """

    def __init__(self, **policies: str) -> None:
        self.policy = {**POLICIES, **policies}
        self.kept: dict[Any, Any] = {}
        """What a fault keeps from one call to the next; a correct loss keeps nothing."""

    def __call__(
        self,
        prediction: Tensor,
        target: Tensor | None = None,
        *,
        form: str = "logits",
        target_form: str = "none",
        axis: int = -1,
        class_weight: Tensor | None = None,
        pos_weight: Tensor | None = None,
        sample_weight: Tensor | None = None,
        ignore_index: int | None = None,
        where: Tensor | None = None,
        label_smoothing: float = 0.0,
        reduction: str = "none",
    ) -> Tensor:
        """Return the value, with its graph."""
        work = self.working(prediction.dtype)
        axis %= prediction.ndim
        x = self.rows(prediction, axis).to(work)
        n, c = x.shape
        b = Rows(
            x=x,
            dtype=prediction.dtype,
            shape=tuple(prediction.shape),
            axis=axis,
            target_form=target_form,
            where=torch.ones(n, c, dtype=torch.bool) if where is None else self.rows(where, axis),
            t=torch.zeros(n, c, dtype=work),
            weight=torch.ones(n, c, dtype=work),
            row_weight=torch.ones(n, dtype=work) if sample_weight is None else sample_weight.to(work).reshape(-1),
            label_weight=torch.ones(n, dtype=work),
            pos_weight=torch.ones(c, dtype=work) if pos_weight is None else pos_weight.to(work),
            kept=torch.ones(n, dtype=torch.bool),
            nan_rows=torch.zeros(n, dtype=torch.bool),
            reduction=reduction,
        )
        weights = None if class_weight is None else class_weight.to(work)
        if target is not None:
            self.read_target(b, target, weights, ignore_index)
            if label_smoothing:
                b.t = self.smooth(b, label_smoothing)
            self.weigh(b, weights)
        return self.evaluate(b)

    def working(self, dtype: Any) -> Any:
        """Return the dtype of the arithmetic: float64 for float64, float32 for all others."""
        return torch.float64 if dtype == torch.float64 else torch.float32

    def rows(self, array: Tensor, axis: int) -> Tensor:
        """Bring a tensor into the shape (rows, classes)."""
        return array.movedim(axis, -1).reshape(-1, array.shape[axis])

    def unrows(self, b: Rows, array: Tensor) -> Tensor:
        """Undo `rows`."""
        outer = b.shape[: b.axis] + b.shape[b.axis + 1 :]
        return array.reshape(*outer, b.shape[b.axis]).movedim(-1, b.axis)

    def read_target(self, b: Rows, target: Tensor, weights: Tensor | None, ignore_index: int | None) -> None:
        """Fill in t, kept and label_weight. Raises IndexError for a label that is no class."""
        if b.target_form != "index":
            b.t = self.rows(target, b.axis).to(b.x.dtype)
            return
        c = b.x.shape[1]
        labels = self.labels(target.reshape(-1), c)
        if ignore_index is not None:
            b.kept = ~self.ignored(labels, ignore_index)
        labels = self.outside(b, labels, (labels < 0) & b.kept, "refused", 0)
        labels = self.outside(b, labels, (labels >= c) & b.kept, "refused", c - 1)
        used = (b.kept & ~b.nan_rows).nonzero()[:, 0]
        b.t[used, labels[used]] = 1
        if weights is not None:
            b.label_weight[used] = weights[labels[used]]

    def labels(self, target: Tensor, classes: int) -> Tensor:
        """Return the labels as they are."""
        return target.long()

    def ignored(self, labels: Tensor, ignore_index: int) -> Tensor:
        """Return which rows count for nothing."""
        return labels == ignore_index

    def outside(self, b: Rows, labels: Tensor, outside: Tensor, rule: str, nearest: int) -> Tensor:
        """Do what a rule says to labels that are no class; return the labels."""
        c = b.x.shape[1]
        if not outside.any():
            return labels
        if rule == "refused":
            raise IndexError(f"label {int(labels[outside][0])} is none of {c} classes")
        if rule == "nan":
            b.nan_rows = b.nan_rows | outside
        elif rule == "zero":
            b.kept = b.kept & ~outside
        moved = {"clamped": torch.full_like(labels, nearest), "wrapped": labels % c}.get(rule, labels)
        return torch.where(outside, moved, labels)

    def smooth(self, b: Rows, amount: float) -> Tensor:
        """Return the target with some of its mass moved to every class; masked classes get none of it."""
        share = torch.where(b.where, torch.tensor(amount / b.x.shape[1], dtype=b.x.dtype), 0)
        return b.t * (1 - amount) + share

    def weigh(self, b: Rows, weights: Tensor | None) -> None:
        """Fill in what each class's target is multiplied by."""
        b.weight = b.row_weight[:, None].expand(b.x.shape)
        if weights is not None:
            b.weight = b.weight * weights

    def evaluate(self, b: Rows) -> Tensor:
        """Return the value in the prediction's dtype."""
        b.x = self.clean(b)
        return self.reduce(b, self.settle(b, self.values(b))).to(b.dtype)

    def clean(self, b: Rows) -> Tensor:
        """Return the prediction with ignored rows 0: what is masked after the loss is too late for its gradient."""
        return torch.where(b.kept[:, None], b.x, 0)

    def settle(self, b: Rows, values: Tensor) -> Tensor:
        """Return values with ignored rows 0 and rows without a meaning NaN."""
        return torch.where(b.nan_rows[:, None], NAN, torch.where(b.kept[:, None], values, 0))

    def denominator(self, b: Rows, entries: int) -> Tensor:
        """Return what a mean divides by, where a row has so many entries."""
        rule = {"batch_mean": "batch", "weighted_mean": "sample_weights"}.get(
            b.reduction, self.policy["mean_denominator"]
        )
        rows = b.row_weight[b.kept]
        amounts = {
            "elements": lambda: torch.tensor(float(len(b.kept) * entries)),
            "kept": lambda: b.kept.sum() * entries,
            "weights": lambda: (rows * b.label_weight[b.kept]).sum() * entries,
            "batch": lambda: torch.tensor(float(b.shape[0])),
            "sample_weights": lambda: rows.sum() * entries,
        }
        return amounts[rule]().to(b.x.dtype)

    def reduce(self, b: Rows, values: Tensor) -> Tensor:
        """Return the value as the reduction says; a mean of nothing is NaN."""
        if b.reduction == "none":
            if self.one_value_a_class():
                return self.unrows(b, values)
            return values.reshape(b.shape[: b.axis] + b.shape[b.axis + 1 :])
        summed = self.total(b, values)
        return summed if b.reduction == "sum" else summed / self.denominator(b, values.shape[1])

    def total(self, b: Rows, values: Tensor) -> Tensor:
        """Return the sum of the values of all rows."""
        return values.sum()

    def one_value_a_class(self) -> bool:
        """Whether reduction none has one value a class, not one a row."""
        return True

    def values(self, b: Rows) -> Tensor:
        """Return the values of every row, (N, entries)."""
        raise NotImplementedError
