"""Autograd functions that part a gradient from its value: how a wrong gradient hides behind a right value.

Importing this module imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Tensor = Any
"""A tensor; PyTorch's own annotations are not followed."""


class Bend(torch.autograd.Function):  # type: ignore[misc]
    """The identity, whose gradient is changed by a function of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Return x."""
        ctx.change = change
        return x.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        """Return the changed gradient, in its own dtype."""
        return ctx.change(upstream).to(upstream.dtype), None


class Through(torch.autograd.Function):  # type: ignore[misc]
    """The value of one tensor with the gradient of another of the same shape."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, slope: Tensor) -> Tensor:
        """Return the value."""
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor]:
        """Hand the gradient to the other tensor."""
        return None, upstream


def bend(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Return x, whose gradient is changed."""
    result: Tensor = Bend.apply(x, change)
    return result


def through(value: Tensor, slope: Tensor) -> Tensor:
    """Return a value with the gradient of another tensor."""
    result: Tensor = Through.apply(value, slope)
    return result
