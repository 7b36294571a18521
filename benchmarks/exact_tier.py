"""Logits per second of the exact tier on softmax cross-entropy, beside NumPy's float64 log-sum-exp and mpmath.

Run: python benchmarks/exact_tier.py [--seconds 1]. Medians of processor time over as many repeats as fit; everything on
one core, in one process, on the same rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import mpmath
import numpy as np

from lossconform.reference.case import Array, Case, Loss, TargetForm
from lossconform.reference.exact import evaluate

SIZES = ((10, 2000), (1000, 20), (50_000, 1))
"""Classes and rows."""

MPMATH = 10_000
"""mpmath gets a tenth of the rows, and at most this many classes."""

DTYPES = ("float32", "float64")


def numpy_loss(x: Array, labels: Array) -> Array:
    """Return the losses as anyone writes them in NumPy."""
    m = x.max(axis=1)
    loss: Array = m + np.log(np.exp(x - m[:, None]).sum(axis=1)) - x[np.arange(len(x)), labels]
    return loss


def mpmath_loss(x: list[list[float]], labels: list[int]) -> list[object]:
    """Return the losses in mpmath, at the precision that the exact tier starts with."""
    with mpmath.workprec(128):
        result = []
        for row, y in zip(x, labels, strict=True):
            m = mpmath.mpf(max(row))
            result.append(m + mpmath.log(mpmath.fsum(mpmath.exp(v - m) for v in row)) - row[y])
        return result


def median(call: Callable[[], object], seconds: float) -> float:
    """Return the median processor time of a call, repeated for about that many seconds, at least three times."""
    call()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each number")
    seconds = parser.parse_args().seconds
    print(f"NumPy {np.__version__}, mpmath {mpmath.__version__} on {mpmath.libmp.BACKEND}; million logits per second")
    print(f"{'dtype':8} {'C':>6} {'rows':>5} {'value':>8} {'+gradient':>9} {'mpmath':>8} {'NumPy':>8} {'ratio':>6}")
    for dtype in DTYPES:
        for classes, rows in SIZES:
            value, both, slow, plain = rates(dtype, classes, rows, seconds)
            print(
                f"{dtype:8} {classes:6} {rows:5} {value:8.3f} {both:9.3f} {slow:8.3f} {plain:8.1f} {plain / value:6.0f}"
            )
    print("ratio: NumPy's rate over that of the value")


def rates(dtype: str, classes: int, rows: int, seconds: float) -> tuple[float, float, float, float]:
    """Return the million logits per second of the value, with the gradient, of mpmath and of NumPy."""
    g = np.random.default_rng(0)
    x = g.normal(0, 4, (rows, classes)).astype(dtype)
    labels = g.integers(0, classes, rows)
    case = Case(loss=Loss.SOFTMAX_CROSS_ENTROPY, prediction=x, target=labels, target_form=TargetForm.INDEX)
    wide = x.astype(np.float64)
    few = [row[:MPMATH] for row in wide[: max(1, rows // 10)].tolist()]
    ends = [int(y) % len(few[0]) for y in labels[: len(few)]]
    logits = x.size / 1e6
    return (
        logits / median(partial(evaluate, case, gradient=False), seconds),
        logits / median(partial(evaluate, case), seconds),
        sum(map(len, few)) / 1e6 / median(partial(mpmath_loss, few, ends), seconds),
        logits / median(partial(numpy_loss, wide, labels), seconds),
    )


if __name__ == "__main__":
    main()
