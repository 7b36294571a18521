"""Logits per second of the exact tier on softmax cross-entropy, beside NumPy's float64 log-sum-exp and mpmath.

Run: python benchmarks/exact_tier.py [--seconds 1]. The least processor time of many calls in turns; everything on one
core, in one process, on the same rows, of which mpmath gets some.
"""

from __future__ import annotations

import argparse
from functools import partial

import flint
import mpmath
import numpy as np
from tiers import rates

from lossconform.reference.case import Array, Case, Loss, TargetForm
from lossconform.reference.exact import evaluate, precisions

SIZES = ((10, 200), (1000, 4), (50_000, 1))
"""Classes and rows: calls of a few milliseconds, so that some are undisturbed."""

MPMATH = 1000
"""mpmath gets about so many logits."""

DTYPES = ("float32", "float64")


def numpy_loss(x: Array, labels: Array) -> Array:
    """Return the losses as anyone writes them in NumPy."""
    m = x.max(axis=1)
    loss: Array = m + np.log(np.exp(x - m[:, None]).sum(axis=1)) - x[np.arange(len(x)), labels]
    return loss


def mpmath_loss(x: list[list[float]], labels: list[int]) -> list[object]:
    """Return the losses in mpmath, at the precision that the exact tier starts with."""
    with mpmath.workprec(precisions(len(x[0]))[0]):
        result = []
        for row, y in zip(x, labels, strict=True):
            m = mpmath.mpf(max(row))
            result.append(m + mpmath.log(mpmath.fsum(mpmath.exp(v - m) for v in row)) - row[y])
        return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each number")
    seconds = parser.parse_args().seconds
    print(f"NumPy {np.__version__}, python-flint {flint.__version__}, mpmath {mpmath.__version__} on", end=" ")
    print(f"{mpmath.libmp.BACKEND}; million logits per second")
    print(f"{'dtype':8} {'C':>6} {'rows':>5} {'value':>8} {'+gradient':>9} {'mpmath':>8} {'NumPy':>8} {'/mpmath':>8}")
    for dtype in DTYPES:
        for classes, rows in SIZES:
            found = measured(dtype, classes, rows, seconds)
            columns = " ".join(f"{found[name]:8.3f}" for name in ("value", "gradient", "mpmath", "NumPy"))
            print(f"{dtype:8} {classes:6} {rows:5} {columns} {found['value'] / found['mpmath']:8.1f}")


def measured(dtype: str, classes: int, rows: int, seconds: float) -> dict[str, float]:
    """Return the million logits per second of the value, with the gradient, of mpmath and of NumPy."""
    g = np.random.default_rng(0)
    x = g.normal(0, 4, (rows, classes)).astype(dtype)
    labels = g.integers(0, classes, rows)
    case = Case(loss=Loss.SOFTMAX_CROSS_ENTROPY, prediction=x, target=labels, target_form=TargetForm.INDEX)
    wide = x.astype(np.float64)
    few = wide[: max(1, MPMATH // classes)].tolist()
    ends = labels[: len(few)].tolist()
    return rates(
        {
            "value": (x.size, partial(evaluate, case, gradient=False)),
            "gradient": (x.size, partial(evaluate, case)),
            "mpmath": (sum(map(len, few)), partial(mpmath_loss, few, ends)),
            "NumPy": (x.size, partial(numpy_loss, wide, labels)),
        },
        seconds,
    )


if __name__ == "__main__":
    main()
