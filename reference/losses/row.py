"""One row of a canonical problem, as the exact tier sees it, and what a family of losses must answer for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flint import fmpq

from lossconform.reference.policy import Policy
from lossconform.reference.real import ZERO, Real
from lossconform.reference.real import Number as Number


@dataclass(eq=False, slots=True)
class Row:
    """One row: the prediction and the weights that the options come to.

    Attributes:
        x: the prediction of each class.
        where: whether each class takes part.
        plain: whether all do and no number is infinite or NaN.
        t: the weighted target of each class; of a binary loss the weight a of the positive term. Zeros left out.
        b: the weight of the negative term of a binary loss. Zeros left out.
        weight: the row's own weight, already in t and b.
        top: the first class with the largest number, in a plain row.
        gathered: whether the target is an index, so that classes with t = 0 are never multiplied.
        policy: what the mathematics leaves open.
        clip: the bounds that probabilities are clipped to, where the policy says so.
        target_clip: the bounds that target probabilities are clipped to.
        log_t: the target as log-probabilities, for a KL divergence that is given them.
        gamma: the exponent of a focal loss.
        alpha: the weight of target 1 of a focal loss; None without one.
    """

    x: Sequence[float]
    where: Sequence[bool]
    plain: bool
    t: dict[int, fmpq]
    b: dict[int, fmpq]
    weight: fmpq
    top: int
    gathered: bool
    policy: Policy
    clip: tuple[float, float] | None = None
    target_clip: tuple[float, float] | None = None
    log_t: Sequence[float] | None = None
    gamma: fmpq = ZERO
    alpha: fmpq | None = None
    parts: Any = None
    """What a family keeps between value and gradient of one row at one precision."""


def infinite(sign: int, factor: fmpq) -> Number:
    """Return an infinite slope of the given sign times a factor; 0 where the factor is."""
    return Real(ZERO) if factor == 0 else math.copysign(math.inf, sign if factor > 0 else -sign)


Value = Callable[[Row], list[Number]]
"""The values of a row before reduction: one, or one a class."""

Gradient = Callable[[Row, Sequence[fmpq]], list[Number]]
"""The gradient of the sum of the row's values times the given factors, by class."""

HessianProduct = Callable[[Row, Sequence[fmpq], Sequence[fmpq]], list[Number]]
"""The derivative of that gradient along a direction, by class: the row, the factors, the direction."""


Labelled = Callable[[Sequence[float], int, int], Real]
"""The value of a plain row with one label of weight 1, given the row, the label and the largest number's class."""


@dataclass(frozen=True)
class Family:
    """The formulas of one family of losses on one row.

    Attributes:
        value: of any row.
        gradient: of any row.
        labelled: the same as `value`, sooner, for the commonest rows; None if there is no such way.
    """

    value: Value
    gradient: Gradient
    labelled: Labelled | None = None
