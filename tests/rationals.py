"""Formats and grades in rational arithmetic: slow, and plainly what their definitions say."""

from __future__ import annotations

import math
from fractions import Fraction

from lossconform.reference.formats import Format
from lossconform.reference.grades import Grade

INF = math.inf


def exponent(q: Fraction) -> int:
    """Return the exponent of the binade of a positive rational."""
    e = q.numerator.bit_length() - q.denominator.bit_length()
    return e - 1 if Fraction(2) ** e > q else e


def spacing(q: Fraction, fmt: Format) -> Fraction:
    """Return the spacing of a format's numbers in the binade of a rational; beyond the format its last one."""
    e = exponent(abs(q)) if q else fmt.min_exponent
    return Fraction(2) ** (min(max(e, fmt.min_exponent), fmt.max_exponent) - fmt.precision + 1)


def nearest(q: Fraction, fmt: Format) -> float:
    """Round a rational to nearest even in a format, with integers only."""
    if q == 0:
        return 0.0
    quantum = Fraction(2) ** (max(exponent(abs(q)), fmt.min_exponent) - fmt.precision + 1)
    n, rest = divmod(abs(q), quantum)
    n += rest * 2 > quantum or (rest * 2 == quantum and n % 2 == 1)
    result = n * quantum
    if result > Fraction(fmt.finite_max):
        return math.copysign(INF, q) if fmt.infinities else math.nan
    return float(result) if q > 0 else -float(result)


def root(n: int) -> Fraction:
    """Return the square root of an integer, to 2**-100."""
    return Fraction(math.isqrt(n << 200), 1 << 100)


def bound(
    grade: Grade, unit: Fraction, parts: dict[str, float], n: int, rows: int, u: Fraction, u_acc: Fraction
) -> Fraction:
    """Return the error that a grade allows: the table of docs/numerics.md, line by line; unit is one ULP."""
    base, shift, terms, batch, floor = (Fraction(parts[k]) for k in ("base", "shift", "terms", "batch", "floor"))
    if grade is Grade.CORRECTLY_ROUNDED:
        return unit / 2
    if grade is Grade.FAITHFUL:
        return unit
    if grade is Grade.ACCURATE:
        return 4 * unit
    always = 4 * u * base + unit / 2 + floor
    likely = 2 * root(n) * u_acc * terms + (2 * root(rows) + 1) * u_acc * batch
    if grade is Grade.SHIFT_STABLE:
        return always + likely
    if grade is Grade.BACKWARD_STABLE:
        return always + likely + 4 * u * shift
    inner, outer = max(Fraction(n - 1), 2 * root(n)), max(Fraction(rows), 2 * root(rows) + 1)
    return always + 4 * u * shift + inner * u_acc * terms + outer * u_acc * batch
