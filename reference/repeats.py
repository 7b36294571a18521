"""Cases of very many rows that are a few rows over and over: how they are made and recognised.

What such a case answers follows exactly from the few: a mean over all rows is the mean over those, and a sum so many
times their sum. So it is evaluated at the price of the few, and is written down in few numbers.
"""

from __future__ import annotations

import numpy as np

from lossconform.reference.case import Array, Case, Reduction

MANY = 1024
"""Entries of an array above which repetitions are looked for."""

MOST = 8
"""The most rows that may be repeated."""

ROWS = ("prediction", "target", "sample_weight", "where")
"""The arrays of a case that have its rows."""


def period(array: Array) -> int:
    """Return of how many rows an array is made, over and over; all of them where there are more than `MOST`.

    Rows are compared bit for bit. Arrays of at most `MANY` entries, and those without axes, are not looked at.
    """
    n = len(array) if array.ndim else 1
    if array.size <= MANY:
        return n
    whole = array.tobytes()
    return next((p for p in range(1, MOST + 1) if n % p == 0 and array[:p].tobytes() * (n // p) == whole), n)


def repeated(case: Case, times: int) -> Case:
    """Return a case with its rows, those of the first axis, so many times over."""
    arrays = {name: getattr(case, name) for name in ROWS}
    return case.replace(**{name: np.concatenate([a] * times) for name, a in arrays.items() if a is not None})


def folded(case: Case) -> tuple[Case, int]:
    """Return a case of few rows, and how many times over a given one has those rows; the given one and 1 if it has not.

    The number of times is a power of two, so that multiplying by it is exact. The gradient of the few rows is that of
    the many: a mean's upstream gradient is divided by the number of times. The value of a mean is the same; that of a
    sum is so many times as large. Only a reduced case of shape (rows, classes) is folded, without a
    direction.
    """
    n = case.prediction.shape[0]
    arrays = {name: getattr(case, name) for name in ROWS}
    given = {name: a for name, a in arrays.items() if a is not None}
    if case.prediction.size <= MANY or case.prediction.ndim != 2 or case.class_axis != 1:
        return case, 1
    if case.reduction is Reduction.NONE or case.direction is not None:
        return case, 1
    rows = int(np.lcm.reduce([period(array) for array in given.values()]))
    # All powers of two among the factors of the number of repetitions.
    times = n // rows & -(n // rows)
    small = {name: array[: n // times] for name, array in given.items()}
    if case.reduction is not Reduction.SUM:
        upstream = np.ones((), case.prediction.dtype) if case.cotangent is None else case.cotangent
        share = (upstream.astype(np.float64) / times).astype(upstream.dtype)
        if not np.array_equal(share.astype(np.float64) * times, upstream.astype(np.float64)):
            return case, 1
        small["cotangent"] = share
    return (case.replace(**small), times) if times > 1 else (case, 1)
