"""A probability as the policies of a focal loss have it: what its factor sees, and its logarithms with their slopes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flint import fmpq

from lossconform.reference.losses import binary
from lossconform.reference.losses.row import Number, Row
from lossconform.reference.real import ONE, ZERO, Real, rational

Pair = tuple[fmpq | None, fmpq | None]
"""One for each class, the positive one first; None where one is infinite."""


@dataclass(slots=True, eq=False)
class Point:
    """A probability as the policies have it.

    Attributes:
        p: that of the factor.
        dp: its derivative by the prediction: 1, or 0 where it is clipped.
        logs: the negative logarithms of both classes' probabilities.
        slopes: their derivatives.
        bends: their second derivatives.
    """

    p: fmpq
    dp: fmpq
    logs: tuple[Number, Number]
    slopes: Pair
    bends: Pair

    @property
    def infinite_end(self) -> bool | None:
        """Which class, True for the positive one, has an infinite logarithm; None if neither has."""
        for log, positive in zip(self.logs, (True, False), strict=True):
            if not isinstance(log, Real):
                return positive
        return None

    def finite_logs(self) -> tuple[Real, Real]:
        """Return the logarithms where none is infinite."""
        positive, negative = self.logs
        assert isinstance(positive, Real) and isinstance(negative, Real)  # noqa: S101, PT018 - finite
        return positive, negative


def point(row: Row, x: float) -> Point | None:
    """Return what the loss of a probability is made of; None where that is NaN."""
    if not math.isfinite(x):
        return None
    q, inside = binary._range(row, x)
    clipped = row.policy.focal_range == "clipped"
    p = q if clipped else rational(x)
    if not 0 <= p <= 1:
        return None
    clamped = row.policy.probability_range.endswith("log_clamped")
    logs = binary._negative_log(q, clamped), binary._negative_log(1 - q, clamped)
    slopes, bends = _derivatives(q, clamped) if inside else ((ZERO, ZERO), (ZERO, ZERO))
    return Point(p, ONE if inside or not clipped else ZERO, logs, slopes, bends)


def _derivatives(q: fmpq, clamped: bool) -> tuple[Pair, Pair]:
    """Return the slopes of -log q and -log(1 - q) and their second derivatives."""
    divisor = q * (1 - q)
    if clamped and divisor < binary.DIVISOR_FLOOR:
        floor = binary.DIVISOR_FLOOR
        return ((q - 1) / floor, q / floor), (1 / floor, 1 / floor)
    if q == 0:
        return (None, ONE), (None, ONE)
    if q == 1:
        return (-ONE, None), (ONE, None)
    return (-1 / q, 1 / (1 - q)), (1 / (q * q), 1 / ((1 - q) * (1 - q)))
