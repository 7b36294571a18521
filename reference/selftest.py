"""Whether this machine's NumPy is what the fast tier assumes: exp, log and log1p within 4 ULP, and exp(0) = 1.

The bounds of the fast tier are proven from that assumption (docs/numerics-tiers.md). No test can prove it; this one
samples it, against ball arithmetic, over the ranges that the tiers use, in arrays of several lengths and orders because
NumPy has several loops. It says nothing of the exact tier, which assumes only Arb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flint import arb, ctx

from lossconform.reference.formats import FORMATS, Float64, ulp

ALLOWED = 4.0
"""ULP: what `bounds.EF` stands for."""


@dataclass(frozen=True)
class Check:
    """One sampled fact.

    Attributes:
        name: the function.
        worst: the largest error seen, in ULP.
        argument: where, as a hex float.
        samples: how many arguments were looked at.
        ok: whether the assumption held throughout.
    """

    name: str
    worst: float
    argument: str
    samples: int
    ok: bool


def _exponents(g: np.random.Generator, low: float, high: float, n: int) -> Float64:
    result: Float64 = np.exp2(g.uniform(low, high, n))
    return result


def _exp_arguments(g: np.random.Generator, n: int) -> Float64:
    near_powers = -np.log(2.0) * g.integers(0, 1020, n) + g.normal(0, 1e-12, n)
    result: Float64 = np.minimum(np.concatenate([-g.uniform(0, 708, n), -_exponents(g, -60, 9, n), near_powers]), 0.0)
    return result


def _log_arguments(g: np.random.Generator, n: int) -> Float64:
    return np.concatenate([_exponents(g, -1000, 1000, n), 1 + g.normal(0, 1, n) * _exponents(g, -52, -3, n)])


def _log1p_arguments(g: np.random.Generator, n: int) -> Float64:
    return np.concatenate([_exponents(g, -1000, 60, n), -_exponents(g, -1000, -1e-3, n), g.uniform(-0.5, 4, n)])


FUNCTIONS: dict[str, tuple[Callable[[Float64], Float64], Callable[[arb], arb], Callable[..., Float64]]] = {
    "exp": (np.exp, lambda x: x.exp(), _exp_arguments),
    "log": (np.log, lambda x: x.log(), _log_arguments),
    "log1p": (np.log1p, lambda x: x.log1p(), _log1p_arguments),
}
"""Each function in NumPy and in Arb, and the arguments it is sampled at."""


def selftest(samples: int = 1000, seed: int = 0) -> list[Check]:
    """Return what sampling shows, one check a function and one for exp(0).

    Args:
        samples: how many arguments of each kind a function is sampled at; there are two or three kinds.
        seed: of the arguments.
    """
    g = np.random.default_rng(seed)
    checks = [_check(name, *functions[:2], functions[2](g, samples)) for name, functions in FUNCTIONS.items()]
    zeros = np.exp(np.zeros(33)), np.exp(np.zeros((3, 5), order="F")), np.exp(-np.zeros(1))
    return [*checks, Check("exp(0) = 1", 0.0, "0x0.0p+0", 39, all(bool((z == 1).all()) for z in zeros))]


def _check(name: str, function: Callable[[Float64], Float64], ball: Callable[[arb], arb], x: Float64) -> Check:
    answers = [function(x), np.concatenate([function(x[i : i + 7]) for i in range(0, len(x), 7)])]
    answers.append(function(np.repeat(x, 3)[::3]))
    before, ctx.prec = ctx.prec, 160
    try:
        exact = [ball(arb(v)) for v in x.tolist()]
        spacing = ulp(np.array([float(b) for b in exact]), FORMATS["float64"])
        errors = [[float(abs(b - v)) for b, v in zip(exact, a.tolist(), strict=True)] for a in answers]
    finally:
        ctx.prec = before
    worst = np.max(np.array(errors), axis=0) / spacing
    k = int(np.argmax(worst))
    return Check(name, float(worst[k]), float(x[k]).hex(), len(x), bool((worst <= ALLOWED).all()))
