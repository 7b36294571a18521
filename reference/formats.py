"""Floating-point formats: rounding into them, their neighbours, and distances in ULP.

Every number of every format here is a float64, so arrays are float64 throughout and a `Format` says which of them
are meant. No framework's cast and none of ml_dtypes is used: several of them round twice. Everything is exact
arithmetic on float64: scaling by powers of two, `rint`, and error-free transformations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
HUGE = 2.0**1000
"""From here on a sum of two float64 numbers may overflow, and nothing is lost by scaling it down."""


@dataclass(frozen=True)
class Format:
    """A binary floating-point format with gradual underflow.

    Attributes:
        name: of its dtype.
        precision: bits of the significand, the hidden one included.
        min_exponent: exponent of the smallest normal number, 2**min_exponent.
        max_exponent: exponent of the largest finite binade.
        finite_max: the largest finite number.
        infinities: whether overflow gives an infinity; otherwise it gives NaN.
    """

    name: str
    precision: int
    min_exponent: int
    max_exponent: int
    finite_max: float
    infinities: bool = True

    @property
    def unit_roundoff(self) -> float:
        """Half the spacing of the numbers just above 1."""
        return 2.0**-self.precision

    @property
    def tiny(self) -> float:
        """The smallest positive normal number."""
        return 2.0**self.min_exponent

    @property
    def smallest(self) -> float:
        """The smallest positive number, subnormal."""
        return 2.0 ** (self.min_exponent - self.precision + 1)


def _ieee(name: str, precision: int, max_exponent: int) -> Format:
    largest = (2.0 - 2.0 ** (1 - precision)) * 2.0**max_exponent
    return Format(name, precision, 1 - max_exponent, max_exponent, largest)


FORMATS: dict[str, Format] = {
    "float64": _ieee("float64", 53, 1023),
    "float32": _ieee("float32", 24, 127),
    "bfloat16": _ieee("bfloat16", 8, 127),
    "float16": _ieee("float16", 11, 15),
}
"""The formats that a prediction may have."""

QUANTISED: dict[str, Format] = {
    "float8_e5m2": _ieee("float8_e5m2", 3, 15),
    "float8_e4m3fn": Format("float8_e4m3fn", 4, -6, 8, 448.0, infinities=False),
}
"""Formats that values are stored in but losses are not computed in."""

_BY_DTYPE = {
    np.dtype(np.float64): "float64",
    np.dtype(np.float32): "float32",
    np.dtype(np.float16): "float16",
    np.dtype(ml_dtypes.bfloat16): "bfloat16",
}


def format_of(dtype: Any) -> Format:
    """Return the format of a NumPy dtype; TypeError if a prediction cannot have it."""
    try:
        return FORMATS[_BY_DTYPE[np.dtype(dtype)]]
    except KeyError:
        raise TypeError(f"dtype {dtype}: expected one of {', '.join(FORMATS)}") from None


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a format of `FORMATS`, by name; ValueError for any other."""
    if name in FORMATS:
        return np.dtype(getattr(ml_dtypes, name, name))
    raise ValueError(f"format {name!r}: expected one of {', '.join(FORMATS)}")


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """Return s and e with s = fl(a + b) and s + e = a + b exactly, barring overflow (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def exponent(x: Float64) -> NDArray[np.int64]:
    """Return the exponent of the binade of each finite nonzero number; of 0 a very small one."""
    _, e = np.frexp(x)
    return np.where(x == 0, -1100, e.astype(np.int64) - 1)


def ulp(x: Float64, fmt: Format) -> Float64:
    """Return the spacing of the format's numbers in the binade of each x, subnormals included."""
    e = np.clip(exponent(x), fmt.min_exponent, fmt.max_exponent)
    spacing: Float64 = np.ldexp(1.0, (e - (fmt.precision - 1)).astype(np.int32))
    return spacing


def _odd_sum(h: Float64, low: Float64, sign: Any) -> Float64:
    """Return h + low + sign · (an infinitesimal) rounded to odd.

    A second rounding, to at most 51 bits, is then the right one (S. Boldo, G. Melquiond, IEEE Trans. Computers 57(4),
    2008).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        s, e = two_sum(h, low)
    rest = np.where(np.isfinite(s) & (e != 0), np.sign(e), sign)
    even = (np.ascontiguousarray(s).view(np.int64).reshape(np.shape(s)) & 1) == 0
    towards = np.nextafter(s, np.copysign(np.inf, rest))
    odd: Float64 = np.where((rest != 0) & even & np.isfinite(s), towards, s)
    return odd


def round_sum(h: Any, low: Any, fmt: Format, sign: Any = 0) -> Float64:
    """Round h + low, plus an infinitesimal of the given sign, to nearest even in the format.

    Args:
        h: float64, any shape.
        low: float64; |low| at most one spacing of h.
        fmt: the format to round into.
        sign: -1, 0 or +1: whether the exact number lies just below, at, or just above h + low.

    Returns:
        float64 array of numbers of the format. NaN and infinities pass through.
    """
    h = np.asarray(h, dtype=np.float64)
    low = np.broadcast_to(np.asarray(low, dtype=np.float64), h.shape)
    if fmt.precision == 53:
        return _round_float64(h, low, np.broadcast_to(np.asarray(sign), h.shape))
    return round_to(_odd_sum(h, low, sign), fmt)


def _round_float64(h: Float64, low: Float64, sign: NDArray[Any]) -> Float64:
    """Round h + low + sign · (an infinitesimal) into float64: only an exact tie needs the infinitesimal."""
    half = np.where(np.abs(h) >= HUGE, 0.5, 1.0)  # so that a tie with the power of two beyond the format is one
    with np.errstate(invalid="ignore", over="ignore"):
        s, e = two_sum(h * half, low * half)
        away = np.nextafter(s, np.copysign(np.inf, e))
        tie = 2 * np.abs(e) == np.abs(away - s)
        result: Float64 = np.where(tie & (np.sign(e) == sign), away, s) / half
    return result


def round_to(x: Any, fmt: Format) -> Float64:
    """Round float64 numbers to nearest even in the format; see `round_sum`."""
    x = np.asarray(x, dtype=np.float64)
    quantum = np.maximum(exponent(x), fmt.min_exponent).astype(np.int32) - np.int32(fmt.precision - 1)
    with np.errstate(invalid="ignore", over="ignore"):
        y = np.ldexp(np.rint(np.ldexp(x, -quantum)), quantum)
    overflow = np.inf if fmt.infinities else np.nan
    rounded: Float64 = np.where(np.abs(y) > fmt.finite_max, np.copysign(overflow, x), y)
    return rounded


def neighbours(x: Any, fmt: Format) -> tuple[Float64, Float64]:
    """Return the next smaller and the next larger number of the format, for numbers of the format.

    Beyond the largest finite number lies the infinity (or NaN, in a format without).
    """
    x = np.asarray(x, dtype=np.float64)
    return -_next_up(-x, fmt), _next_up(x, fmt)


def _next_up(x: Float64, fmt: Format) -> Float64:
    spacing = ulp(x, fmt)
    # Below a negative power of two the spacing towards zero is half as large.
    mantissa, _ = np.frexp(x)
    shrink = (mantissa == -0.5) & (spacing > fmt.smallest)
    with np.errstate(invalid="ignore", over="ignore"):
        up = x + np.where(shrink, spacing / 2, spacing)
    up = np.where(up > fmt.finite_max, np.inf if fmt.infinities else np.nan, up)
    return np.where(x == -np.inf, -fmt.finite_max, up)


def distance(answer: Any, h: Any, low: Any, fmt: Format) -> Float64:
    """Return the signed distance from h + low to the answer in ULP of the format at h + low.

    Total: NaN to NaN is 0, as is an infinity to itself and +0 to -0; NaN to a number is NaN's own, +inf; an answer
    that overflowed is taken as the next power of two beyond the format, and so is an exact number beyond it.
    """
    answer, h, low = (np.asarray(v, dtype=np.float64) for v in (answer, h, low))
    quarter = np.where((np.abs(answer) >= HUGE) | (np.abs(h) >= HUGE), 0.25, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        beyond = np.ldexp(2 * quarter, fmt.max_exponent)
        spacing = ulp(np.where(np.isfinite(h), h, fmt.finite_max), fmt)
        a = np.clip(answer * quarter, -beyond, beyond)
        t = np.clip(h * quarter, -beyond, beyond)
        difference, rest = two_sum(a, -t)
        rest = rest - np.where(np.abs(t) < beyond, low * quarter, 0.0)
        result = (difference / spacing + rest / spacing) / quarter
    return np.where(np.isnan(answer) & np.isnan(h), 0.0, np.where(np.isnan(result), np.inf, result))
