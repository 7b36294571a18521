"""Dual numbers a + b·eps with eps² = 0 over mpmath: the forward mode, for one direction an input.

Every operation is its Taylor series cut after the linear term. Nothing here knows of a loss. For second derivatives the
numbers of a dual are themselves of that kind, `Moving`: a + b·delta, for one direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mpmath import mp, mpf

mp.dps = 400
"""Enough for log(exp(x) / sum of exp) to keep 80 digits of a loss of 1e-320."""

Index = tuple[int, ...]
"""Which entry of the prediction an input is."""

EMPTY: Mapping[Index, Any] = {}


def number(x: Any) -> Any:
    """Return a float exactly, as mpf."""
    return mpf(float(x))


@dataclass(frozen=True)
class Moving:
    """A number and its derivative along the direction in which the whole prediction moves."""

    real: Any
    slope: Any

    def __add__(self, other: Any) -> Moving:
        return Moving(self.real + other.real, self.slope + slope_of(other))

    def __sub__(self, other: Any) -> Moving:
        return self + other * mpf(-1)

    def __mul__(self, other: Any) -> Moving:
        return Moving(self.real * other.real, self.slope * other.real + slope_of(other) * self.real)

    def __truediv__(self, other: Any) -> Moving:
        quotient = self.real / other.real
        return Moving(quotient, (self.slope - quotient * slope_of(other)) / other.real)

    def __rtruediv__(self, other: Any) -> Moving:
        return Moving(other, mpf(0)) / self

    def __rsub__(self, other: Any) -> Moving:
        return self * mpf(-1) + other

    def __neg__(self) -> Moving:
        return self * mpf(-1)

    __radd__, __rmul__ = __add__, __mul__


def slope_of(x: Any) -> Any:
    """Return the derivative of a number; plain ones do not move."""
    return x.slope if isinstance(x, Moving) else mpf(0)


def _exp(x: Any) -> Any:
    value = mp.exp(x.real)
    return Moving(value, value * x.slope) if isinstance(x, Moving) else value


def _log(x: Any) -> Any:
    return Moving(mp.log(x.real), x.slope / x.real) if isinstance(x, Moving) else mp.log(x)


def _power(x: Any, n: Any) -> Any:
    value = mp.power(x.real, n)
    if not isinstance(x, Moving):
        return value
    return Moving(value, n * mp.power(x.real, n - 1) * x.slope if n else mpf(0))


def _sum(numbers: list[Any]) -> Any:
    value = mp.fsum([n.real for n in numbers])
    if not any(isinstance(n, Moving) for n in numbers):
        return value
    return Moving(value, mp.fsum([slope_of(n) for n in numbers]))


@dataclass(frozen=True)
class Dual:
    """A value and its first derivatives by the inputs that it depends on."""

    a: Any
    b: Mapping[Index, Any] = field(default_factory=dict)

    def __add__(self, other: Dual) -> Dual:
        return Dual(self.a + other.a, _merge(self.b, other.b, mpf(1)))

    def __sub__(self, other: Dual) -> Dual:
        return Dual(self.a - other.a, _merge(self.b, other.b, mpf(-1)))

    def __mul__(self, other: Dual) -> Dual:
        return Dual(self.a * other.a, _merge(_scaled(self.b, other.a), other.b, self.a))

    def __truediv__(self, other: Dual) -> Dual:
        quotient = self.a / other.a
        return Dual(quotient, _scaled(_merge(self.b, other.b, -quotient), 1 / other.a))

    def exp(self) -> Dual:
        """Return exp: exp(a) (1 + b·eps)."""
        value = _exp(self.a)
        return Dual(value, _scaled(self.b, value))

    def log(self) -> Dual:
        """Return the logarithm: log a + (b / a)·eps."""
        return Dual(_log(self.a), _scaled(self.b, 1 / self.a))

    def power(self, exponent: Any) -> Dual:
        """Return a power: a^n (1 + n b / a·eps)."""
        slope = _power(self.a, exponent - 1) * exponent if exponent else mpf(0)
        return Dual(_power(self.a, exponent), _scaled(self.b, slope))

    def times(self, factor: Any) -> Dual:
        """Return the product with a constant."""
        return Dual(self.a * factor, _scaled(self.b, factor))


def _scaled(b: Mapping[Index, Any], factor: Any) -> dict[Index, Any]:
    return {key: v * factor for key, v in b.items()}


def _merge(b: Mapping[Index, Any], other: Mapping[Index, Any], factor: Any) -> Mapping[Index, Any]:
    if not other:
        return b
    result = dict(b)
    for key, v in other.items():
        result[key] = result[key] + v * factor if key in result else v * factor
    return result


def constant(x: Any) -> Dual:
    """Return a number that depends on no input."""
    return Dual(mpf(x), EMPTY)


def total(numbers: list[Dual]) -> Dual:
    """Return a sum; derivatives are collected once."""
    value = _sum([n.a for n in numbers])
    slopes: dict[Index, Any] = {}
    for n in numbers:
        for key, v in n.b.items():
            slopes[key] = slopes[key] + v if key in slopes else v
    return Dual(value, slopes)
