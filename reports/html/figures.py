"""Numbers as a person reads them: shortest decimals beside hex floats, distances, arrays of any shape."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from lossconform.reports.model import Numbers

DIGITS = {"float64": 17, "float32": 9, "float16": 5, "bfloat16": 4}
"""Significant digits that tell any two numbers of a dtype apart."""

SHOWN = 48
"""How many entries of an array a page shows; witnesses are small, and the run file has them all."""


@dataclass(frozen=True)
class Figure:
    """An array as text, twice: in decimal and, where that says more, in hex."""

    title: str
    decimal: str
    hex: str | None


def decimal(text: str, dtype: str) -> str:
    """Return the shortest decimal that rounds to a hex float in its dtype; other text comes back as it is."""
    if dtype not in DIGITS:
        return text
    try:
        value = float.fromhex(text)
    except (ValueError, OverflowError):
        return text
    if not math.isfinite(value):
        return repr(value)
    for digits in range(1, DIGITS[dtype] + 1):
        shown = float(f"{value:.{digits}g}")
        if _rounded(shown, dtype) == value:
            return repr(shown)
    return repr(value)


def distance(ulp: float | None) -> str:
    """Return a distance in ULP with about three digits; nothing for None."""
    if ulp is None:
        return ""
    if math.isnan(ulp):
        return "NaN"
    if math.isinf(ulp):
        return "∞"
    if ulp == 0 or 0.001 <= ulp < 100:
        return f"{ulp:.3g}"
    if 100 <= ulp < 1e5:
        return f"{ulp:,.0f}"
    mantissa, exponent = f"{ulp:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def figure(numbers: Numbers) -> Figure:
    """Return an array as nested lists; of a large one the first entries, and how many more there are."""
    shape = ", ".join(map(str, numbers.shape)) + ("," if len(numbers.shape) == 1 else "")
    title = f"{numbers.dtype}, shape ({shape})" if numbers.shape else numbers.dtype
    shown = _nested([decimal(text, numbers.dtype) for text in numbers.data], numbers.shape)
    raw = _nested(numbers.data, numbers.shape)
    return Figure(title, shown, raw if raw != shown else None)


def _nested(texts: list[str], shape: list[int]) -> str:
    if len(texts) > SHOWN:
        return f"[{', '.join(texts[:SHOWN])}, … {len(texts) - SHOWN:,} more in the run file]"
    size, row = math.prod(shape), math.prod(shape[1:])
    if size == len(texts):
        return _block(texts, shape, 1)
    if texts and row and size % len(texts) == 0 and len(texts) % row == 0:
        return f"{_block(texts, [len(texts) // row, *shape[1:]], 1)} {size // len(texts):,} times over"
    return f"[{', '.join(texts)}]"  # a run file may say anything; a page shows what is there


def _block(texts: list[str], shape: list[int], depth: int) -> str:
    if not shape:
        return texts[0]
    if len(shape) == 1:
        return f"[{', '.join(texts)}]"
    step = math.prod(shape[1:])
    rows = [_block(texts[i * step : (i + 1) * step], shape[1:], depth + 1) for i in range(shape[0])]
    return f"[{(',' + chr(10) + ' ' * depth).join(rows)}]"


def _rounded(value: float, dtype: str) -> float:
    """Return `value` rounded to the dtype, infinite where it overflows."""
    if dtype == "float64":
        return value
    try:
        if dtype == "bfloat16":
            (bits,) = struct.unpack("<I", struct.pack("<f", value))
            bits += 0x7FFF + ((bits >> 16) & 1)
            (rounded,) = struct.unpack("<f", struct.pack("<I", bits & 0xFFFF0000))
        else:
            code = "<f" if dtype == "float32" else "<e"
            (rounded,) = struct.unpack(code, struct.pack(code, value))
    except OverflowError:
        return math.copysign(math.inf, value)
    return float(rounded)
