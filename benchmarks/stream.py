"""A billion logits in 4 GiB: the loss of a batch too large for memory, block by block, and the peak of the memory.

Run: python benchmarks/stream.py [--logits 1e9] [--classes 1000] [--gradient]. The address space is limited to 4 GiB
before the first block is made. A block is normal float32 logits of which each row is shifted anew, so that making one
costs little; NumPy's float64 log-sum-exp takes its turn on every sixteenth block. Then the most memory that one call of
tiers.evaluate holds beside the case, as copies of its logits in float64.
"""

from __future__ import annotations

import argparse
import resource
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from tiers import case_of, numpy_log_sum_exp

from lossconform.reference import tiers
from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.stream import stream, total

BLOCK = 1 << 22
"""Logits in a block."""

LIMIT = 4 << 30
"""Bytes."""


class Blocks:
    """Makes the blocks, and keeps the times that NumPy takes for some."""

    def __init__(self, logits: int, classes: int, reduction: Reduction) -> None:
        g = np.random.default_rng(0)
        self.rows = max(1, BLOCK // classes)
        self.count = -(-logits // (self.rows * classes))
        self.g, self.reduction = g, reduction
        self.base = g.normal(0, 4, (self.rows, classes)).astype(np.float32)
        self.making, self.numpy = 0.0, [0.0, 0.0]

    @property
    def logits(self) -> int:
        """How many there are in all."""
        return self.count * self.base.size

    def __iter__(self) -> Iterator[Case]:
        """Yield one case after the other."""
        for k in range(self.count):
            start = time.process_time()
            x = self.base + self.g.normal(0, 4, (self.rows, 1)).astype(np.float32)
            labels = self.g.integers(0, x.shape[1], self.rows)
            if k % 16 == 0:
                wide = x.astype(np.float64)
                before = time.process_time()
                numpy_log_sum_exp(wide)
                self.numpy[0] += time.process_time() - before
                self.numpy[1] += wide.size
            self.making += time.process_time() - start
            yield Case(
                loss=Loss.SOFTMAX_CROSS_ENTROPY,
                prediction=x,
                target=labels,
                target_form=TargetForm.INDEX,
                reduction=self.reduction,
            )


def run(logits: int, classes: int, gradient: bool) -> None:
    """Print the time and the peak of memory of one pass."""
    blocks = Blocks(logits, classes, Reduction.NONE if gradient else Reduction.MEAN)
    start = time.process_time()
    if gradient:
        for _ in stream(blocks):
            pass
    else:
        value = total(blocks)
        print(f"mean loss {float(value.h)!r} within [{float(value.lo):.3g}, {float(value.hi):.3g}]")
    used = time.process_time() - start - blocks.making
    rate, plain = blocks.logits / used / 1e6, blocks.numpy[1] / blocks.numpy[0] / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{blocks.logits:,} logits, C = {classes}, {'with the gradient' if gradient else 'value'}: {used:.0f} s of")
    print(f"processor time, {rate:.0f} million a second, {rate / plain:.2f} times NumPy's; at most {peak:.2f} GiB held")


def copies() -> None:
    """Print the peak of one call, in float64 copies of the logits."""
    print("tiers.evaluate: most memory beside the case, as float64 copies of its logits; value, gradient; index labels")
    for dtype in ("float32", "float64"):
        for classes in (10, 1000, 50_000):
            case = case_of(dtype, classes, (1 << 23) // classes)
            found = [peak(case, gradient) for gradient in (False, True)]
            print(f"  {dtype} C = {classes:6} {found[0]:6.2f} {found[1]:6.2f}")
    print("other losses, C = 1000")
    x = case_of("float32", 1000, (1 << 23) // 1000).prediction
    soft: dict[str, Any] = {"target": np.full_like(x, 2.0**-10), "target_form": TargetForm.DISTRIBUTION}
    for loss in (
        Loss.LOG_SUM_EXP,
        Loss.SOFTMAX,
        Loss.LOG_SOFTMAX,
        Loss.SOFTMAX_CROSS_ENTROPY,
        Loss.BINARY_CROSS_ENTROPY,
    ):
        options = soft if loss in (Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY) else {}
        case = Case(loss=loss, form=Form.LOGITS, prediction=x, **options)
        found = [peak(case, gradient) for gradient in (False, True)]
        print(f"  float32 {loss:22} {found[0]:6.2f} {found[1]:6.2f}")


def peak(case: Case, gradient: bool) -> float:
    """Return the most memory that a call holds, in float64 copies of the case's logits."""
    call = partial(tiers.evaluate, case, gradient=gradient)
    tracemalloc.start()
    call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 8 / case.prediction.size


def main() -> None:
    """Run it in 4 GiB, then print what one call holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logits", type=float, default=1e9)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--gradient", action="store_true", help="the gradient of each block too")
    given: Any = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    run(int(given.logits), given.classes, given.gradient)
    copies()


if __name__ == "__main__":
    main()
