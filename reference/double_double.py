"""Double-double arithmetic on float64 arrays: pairs (h, l) that stand for h + l, about 106 bits.

Products are exact by splitting (Dekker, Veltkamp), exp and log1p go through tables that Arb fills. Every function says
within what relative error its result is; the derivations are in docs/numerics-tiers.md. Nothing here guards against
overflow, and results below FLOOR are only right within FLOOR.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from flint import arb, ctx

from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import product, split

Pair = tuple[Float64, Float64]

EXP = 2.0**-91
"""Relative error of `exp`."""

LOG1P = 2.0**-94
"""Relative error that `log1p` adds to that of its argument."""

ROUND = 2.0**-101
"""Relative error of `times`, `over` and, for terms of one sign, `plus`."""

FLOOR = 2.0**-990
"""What may be lost in absolute terms: exponentials end at exp(LEAST), and the errors of smaller products underflow."""

LEAST = -690.0

STEPS = 4096
"""exp is tabulated at multiples of log(2) / STEPS."""

CELLS = 1024
"""log is tabulated at multiples of 1 / CELLS."""


def quick_two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """Return s = fl(a + b) and a + b - s, for |a| >= |b| (Dekker)."""
    s = a + b
    return s, b - (s - a)


def plus(a: Pair, b: Pair) -> Pair:
    """Return a + b; the error is relative to |a| + |b|."""
    s, e = two_sum(a[0], b[0])
    high, low = quick_two_sum(s, e + (a[1] + b[1]))
    return high, low


def times(a: Pair, b: Pair) -> Pair:
    """Return a · b."""
    p, e = product(a[0], b[0])
    high, low = quick_two_sum(p, e + (a[0] * b[1] + a[1] * b[0]))
    return high, low


def over(a: Pair, b: Pair) -> Pair:
    """Return a / b."""
    q = a[0] / b[0]
    p, e = product(q, b[0])
    left = ((a[0] - p) - e) + (a[1] - q * b[1])
    high, low = quick_two_sum(q, left / b[0])
    return high, low


def pair_of(q: Fraction) -> tuple[float, float]:
    """Return a rational as a pair, within 2^-106 relative."""
    high = float(q)
    return high, float(q - Fraction(high))


@dataclass(frozen=True)
class _Exp:
    """2^(j / STEPS) as pairs, and log(2) / STEPS in three parts, of which two have 30 bits."""

    high: Float64
    low: Float64
    step: tuple[float, float, float]


@dataclass(frozen=True)
class _Log:
    """log(i / CELLS) as pairs, 0 where i is below 3/4 CELLS, and log 2 in three parts, of which two have 40 bits."""

    high: Float64
    low: Float64
    two: tuple[float, float, float]


def _pairs(balls: list[arb]) -> Pair:
    high = [float(b) for b in balls]
    return np.array(high), np.array([float(b - h) for b, h in zip(balls, high, strict=True)])


def _cut(ball: arb, bits: int) -> tuple[float, float, float]:
    """Return a positive number as the sum of two floats of so many bits, at most, and a third."""
    parts = []
    for _ in range(2):
        mantissa, exponent = np.frexp(float(ball))
        parts.append(float(np.ldexp(np.floor(np.ldexp(mantissa, bits)), exponent - bits)))
        ball = ball - parts[-1]
    return parts[0], parts[1], float(ball)


@cache
def _exp_table() -> _Exp:
    before, ctx.prec = ctx.prec, 192
    try:
        step = arb(2).log() / STEPS
        return _Exp(*_pairs([(step * j).exp() for j in range(STEPS)]), _cut(step, 30))
    finally:
        ctx.prec = before


@cache
def _log_table() -> _Log:
    before, ctx.prec = ctx.prec, 192
    try:
        start = 3 * CELLS // 4
        balls = [arb(0)] * start + [(arb(i) / CELLS).log() for i in range(start, 3 * CELLS // 2 + 1)]
        return _Log(*_pairs(balls), _cut(arb(2).log(), 40))
    finally:
        ctx.prec = before


def exp(high: Float64, low: Float64) -> Pair:
    """Return the exponential of pairs within EXP relative; the arrays are lost.

    For high <= 0 and |low| at most half its spacing; low is 0 where high is below LEAST, and the result is exp(LEAST).
    With k = rint(x STEPS / log 2), r = x - k log(2) / STEPS and T = 2^(k / STEPS) it is T + T (exp(r) - 1), where
    |r| < 2^-13.4: r and r²/2 in double-double, the rest of the series in float64.
    """
    table = _exp_table()
    first, second, third = table.step
    np.maximum(high, LEAST, out=high)
    k = high * (STEPS / np.log(2.0))
    np.rint(k, out=k)
    t = k * first
    np.subtract(high, t, out=t)  # exact
    u = k * second  # exact
    # r = t - u + (low - k third), as a pair (r, s).
    np.multiply(k, third, out=high)
    np.subtract(low, high, out=low)
    r, s = _minus(t, u, low)
    index = k.astype(np.int64)
    # r²/2 = a²/2 exactly + b (r + a)/2.
    a, b = split(r)
    half = a * a
    half *= 0.5
    np.add(a, r, out=a)
    b *= a
    b *= 0.5
    # s (1 + r) + b (r + a)/2 + r³ (1/6 + ...)
    rest = r * (1 / 720)
    rest += 1 / 120
    rest *= r
    rest += 1 / 24
    rest *= r
    rest += 1 / 6
    rest *= r
    rest *= r
    rest *= r
    rest += b
    np.multiply(s, r, out=a)
    a += s
    rest += a
    # exp(r) - 1 = v + rest
    v = np.add(r, half, out=b)
    np.subtract(v, r, out=a)
    np.subtract(half, a, out=half)
    rest += half
    j = index & (STEPS - 1)
    th, tl = table.high[j], table.low[j]
    p, e = product(th, v)
    e += th * rest
    v += 1.0
    tl *= v
    e += tl
    s, rest = quick_two_sum(th, p)
    rest += e
    np.add(s, rest, out=th)
    np.subtract(th, s, out=p)
    np.subtract(rest, p, out=rest)
    index >>= STEPS.bit_length() - 1
    index += 1023
    index <<= 52
    scale = index.view(np.float64)
    th *= scale
    rest *= scale
    return th, rest


def _minus(t: Float64, u: Float64, low: Float64) -> Pair:
    """Return t - u + low as a pair, where all three are arrays of numbers below 2^-13."""
    s = t - u
    v = s - t
    e = (t - (s - v)) - (u + v)
    e += low
    r = s + e
    np.subtract(r, s, out=s)
    e -= s
    return r, e


def log1p(high: Float64, low: Float64) -> Pair:
    """Return log(1 + high + low) within LOG1P relative, for arguments >= 0."""
    none = np.zeros_like(high)
    return _log(plus((np.ones_like(high), none), (high, low)), (high, low))


def log(high: Float64, low: Float64) -> Pair:
    """Return the logarithm of pairs within LOG1P relative, for normal positive numbers that they are exactly."""
    return _log((high, low), None)


def _log(s: Pair, beyond_one: Pair | None) -> Pair:
    """Return the logarithm of s, which is 1 + beyond_one where that is given.

    With s = 2^k m, m near F = i / CELLS and z = (m - F) / (m + F), it is k log 2 + log F + 2 atanh z. Where F is 1 and
    k is 0, m - F is what lies beyond one, so that nothing cancels.
    """
    table = _log_table()
    m, k = np.frexp(s[0])
    small = m < 0.75
    k = (k - small).astype(np.float64)
    m, m_low = (np.ldexp(part, -k.astype(np.int32)) for part in s)
    i = np.rint(m * CELLS)
    f = i / CELLS
    own = (k == 0) & (f == 1)
    none = np.zeros_like(f)
    top = two_sum(m - f, m_low)
    if beyond_one is not None:
        top = np.where(own, beyond_one[0], top[0]), np.where(own, beyond_one[1], top[1])
    twice = twice_atanh(over(top, plus((m, m_low), (f, none))))
    index = np.where((i >= 0) & (i <= 3 * CELLS // 2), i, 0.0).astype(np.int64)  # NaN passes through the rest
    first, second, third = table.two
    result = plus(quick_two_sum(k * first, k * second), (k * third, none))
    result = plus(result, (table.high[index], table.low[index]))
    result = plus(result, twice)
    return np.where(own, twice[0], result[0]), np.where(own, twice[1], result[1])


def twice_atanh(z: Pair) -> Pair:
    """Return 2 atanh(z), which is log((1 + z) / (1 - z)), within 2^-97 relative, for |z| < 2^-11.5."""
    return times((2 * z[0], 2 * z[1]), _atanh_over(z))


def _atanh_over(z: Pair) -> Pair:
    """Return atanh(z) / z = 1 + z²/3 + z⁴/5 + ... for |z| < 2^-11.5."""
    w = times(z, z)
    third = pair_of(Fraction(1, 3))
    x = w[0]
    tail = x * x * (1 / 5 + x * (1 / 7 + x * (1 / 9)))
    c = times(w, (np.full_like(x, third[0]), np.full_like(x, third[1])))
    c = plus(c, (tail, np.zeros_like(x)))
    return plus((np.ones_like(x), np.zeros_like(x)), c)


def fold(high: Float64, low: Float64) -> Pair:
    """Return the sum over axis 1 of nonnegative pairs, within (depth + 2)² 2^-106 relative; the arrays are lost."""
    width = high.shape[1]
    while width > 1:
        half = width // 2
        a, b = high[:, :half], high[:, width - half : width]
        s = a + b
        t = s - a
        e = (a - (s - t)) + (b - t)
        low[:, :half] += low[:, width - half : width]
        low[:, :half] += e
        high[:, :half] = s
        width -= half
    result = quick_two_sum(high[:, 0], low[:, 0])
    return result[0], result[1]
