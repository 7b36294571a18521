"""Logits per second of each tier on softmax cross-entropy, against NumPy's float64 log-sum-exp in the same run.

Run: python benchmarks/tiers.py [--seconds 1] [--regimes 4]. The least processor time of many calls in turns, on the
same rows, in one process: on a busy machine a median tells of the others. `end to end` is tiers.evaluate with the
correct rounding of every entry decided, canonical form included. Then every loss against the exact tier, and the rows
that are left to it, per regime.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from lossconform.adapters.contract import Contract
from lossconform.profiles import Profile
from lossconform.reference import double_double_losses, exact, fast, float_hessian, tiers
from lossconform.reference.canonical import canonical
from lossconform.reference.case import BINARY, Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.exact import evaluate
from lossconform.reference.float_arithmetic import DOUBLE_DOUBLE, FAST
from lossconform.reference.losses import FAMILIES
from lossconform.reference.policy import Policy
from lossconform.strategies.regimes import ALL, fill

SIZES = ((10, 20_000), (1000, 1000), (50_000, 20))
"""Classes and rows."""

EXACT_LOGITS = 50_000
"""How many logits the exact tier gets."""


def numpy_log_sum_exp(x: Array) -> Array:
    """Return log-sum-exp as anyone writes it in NumPy."""
    m = x.max(axis=1)
    result: Array = m + np.log(np.exp(x - m[:, None]).sum(axis=1))
    return result


def case_of(dtype: str, classes: int, rows: int) -> Case:
    """Return a softmax cross-entropy of index labels."""
    g = np.random.default_rng(0)
    x = g.normal(0, 4, (rows, classes)).astype(dtype)
    labels = g.integers(0, classes, rows)
    return Case(loss=Loss.SOFTMAX_CROSS_ENTROPY, prediction=x, target=labels, target_form=TargetForm.INDEX)


def any_case(loss: Loss, form: Form, dtype: str, classes: int, rows: int) -> Case:
    """Return a case of any loss and form of prediction: labels 0 and 1, a class, or a distribution."""
    g = np.random.default_rng(0)
    z = g.normal(0, 4, (rows, classes))
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = 1 / (1 + np.exp(-z)) if loss in BINARY else e / e.sum(axis=1, keepdims=True)
    x = {Form.LOGITS: z, Form.PROBABILITIES: p, Form.LOG_PROBABILITIES: np.log(p)}[form]
    target: dict[str, Any] = {}
    if loss in BINARY:
        target = {"target": g.integers(0, 2, z.shape).astype(dtype), "target_form": TargetForm.BINARY}
    elif loss is Loss.KL_DIVERGENCE:
        target = {"target": g.dirichlet(np.ones(classes), rows).astype(dtype), "target_form": TargetForm.DISTRIBUTION}
    elif loss is Loss.SOFTMAX_CROSS_ENTROPY:
        target = {"target": g.integers(0, classes, rows), "target_form": TargetForm.INDEX}
    gamma = {"gamma": 2.0} if loss is Loss.FOCAL else {}
    return Case(loss=loss, form=form, prediction=x.astype(dtype), **target, **gamma)


def moved(case: Case) -> Case:
    """Return the case with a direction."""
    return case.replace(direction=np.random.default_rng(1).normal(0, 1, case.prediction.shape))


def rates(calls: dict[str, tuple[int, Callable[[], object]]], seconds: float) -> dict[str, float]:
    """Return the million logits per second of each call, given how many logits it looks at; calls take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _, call in calls.values():
        call()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds * len(calls) or len(next(iter(times.values()))) < 10:
        for name, (_, call) in calls.items():
            before = time.process_time()
            call()
            times[name].append(time.process_time() - before)
    return {name: size / 1e6 / min(times[name]) for name, (size, _) in calls.items()}


def speed(seconds: float) -> None:
    """Print the table of rates."""
    print("million logits per second (times NumPy's float64 log-sum-exp)")
    for classes, rows in SIZES:
        small, wide = case_of("float32", classes, rows), case_of("float64", classes, rows)
        problem, wide_problem = canonical(small, Policy()), canonical(wide, Policy())
        few = case_of("float32", classes, max(1, EXACT_LOGITS // classes))
        directed, wide_directed, few_directed = (canonical(moved(case), Policy()) for case in (small, wide, few))
        n, k = rows * classes, few.prediction.size
        found = rates(
            {
                "NumPy": (n, partial(numpy_log_sum_exp, wide_problem.x)),
                "fast, value": (n, partial(fast.evaluate, problem, gradient=False)),
                "fast, gradient too": (n, partial(fast.evaluate, problem)),
                "double-double, value": (n, partial(double_double_losses.evaluate, wide_problem, gradient=False)),
                "double-double, gradient too": (n, partial(double_double_losses.evaluate, wide_problem)),
                "exact, value": (k, partial(evaluate, few, gradient=False)),
                "exact, gradient too": (k, partial(evaluate, few)),
                "end to end, float32 value": (n, partial(tiers.evaluate, small, gradient=False)),
                "end to end, float32 gradient too": (n, partial(tiers.evaluate, small)),
                "end to end, float64 value": (n, partial(tiers.evaluate, wide, gradient=False)),
                "end to end, float64 gradient too": (n, partial(tiers.evaluate, wide)),
                "fast, Hessian-vector product": (n, partial(float_hessian.evaluate, directed, FAST)),
                "double-double, Hessian-vector product": (
                    n,
                    partial(float_hessian.evaluate, wide_directed, DOUBLE_DOUBLE),
                ),
                "exact, Hessian-vector product": (k, partial(exact.hessian_product, few_directed)),
            },
            seconds,
        )
        print(f"C = {classes}, {rows} rows")
        for name, rate in found.items():
            print(f"  {name:38} {rate:9.3f} {rate / found['NumPy']:9.4f}")


def every_loss(seconds: float, classes: int, rows: int) -> None:
    """Print how many times as fast as the exact tier the others are, of every loss."""
    print(f"times the exact tier, C = {classes}: fast in float32, double-double in float64; value; with the gradient")
    for loss, form in FAMILIES:
        small, wide = (any_case(loss, form, dtype, classes, rows) for dtype in ("float32", "float64"))
        few = any_case(loss, form, "float32", classes, max(1, EXACT_LOGITS // 5 // classes))
        problem, wide_problem = canonical(small, Policy()), canonical(wide, Policy())
        found = rates(
            {
                f"{tier}{gradient}": (case.prediction.size, partial(call, of, gradient=gradient))
                for gradient in (False, True)
                for tier, case, call, of in (
                    ("fast", small, fast.evaluate, problem),
                    ("double-double", wide, double_double_losses.evaluate, wide_problem),
                    ("exact", few, evaluate, few),
                )
            },
            seconds,
        )
        ratios = (
            found[f"{tier}{gradient}"] / found[f"exact{gradient}"]
            for tier in ("fast", "double-double")
            for gradient in (False, True)
        )
        print(f"  {loss:22} {form:18}" + "".join(f"{ratio:8.0f}" for ratio in ratios))


def shares(batches: int) -> None:
    """Print how many rows are left to the exact tier, per regime and format."""
    print(f"rows left to the exact tier, of {batches} batches each: value alone; with the gradient")
    print(f"{'regime':22} {'target':13} {'dtype':9} {'rows':>8} {'value':>8} {'both':>8}")
    profile = cast(Profile, SimpleNamespace(rows=2000, classes=10, many=2000))
    stated = SimpleNamespace(loss=Loss.SOFTMAX_CROSS_ENTROPY, reductions=(Reduction.NONE,), options={})
    contract = cast(Contract, stated)
    for regime in ALL:
        for form in (TargetForm.INDEX, TargetForm.ONE_HOT, TargetForm.DISTRIBUTION):
            for dtype in ("float32", "bfloat16", "float16", "float64"):
                left: Counter[str] = Counter()
                for seed in range(batches if dtype != "float64" else max(1, batches // 4)):
                    case = fill(regime, contract, Form.LOGITS, form, dtype, profile, seed)
                    left["rows"] += case.prediction.shape[0]
                    for gradient, name in ((False, "value"), (True, "both")):
                        left[name] += tiers.examine(case, gradient=gradient)[1].rows.get("exact", 0)
                print(f"{regime.id:22} {form:13} {dtype:9} {left['rows']:8} {left['value']:8} {left['both']:8}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each number")
    parser.add_argument("--regimes", type=int, default=4, help="batches a regime")
    given: Any = parser.parse_args()
    speed(given.seconds)
    for classes, rows in SIZES:
        every_loss(given.seconds / 4, classes, rows)
    shares(given.regimes)


if __name__ == "__main__":
    main()
