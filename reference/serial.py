"""Cases as JSON: hex floats for numbers, so that what is read is what was written, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossconform.reference.case import ARRAYS, Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.formats import dtype_of
from lossconform.reference.repeats import period

_ENUMS = {"loss": Loss, "form": Form, "target_form": TargetForm, "reduction": Reduction}


def number(x: float) -> str:
    """Return a float as text: hex, or nan, inf, -inf."""
    return x.hex() if math.isfinite(x) else str(x)


def array_to_json(array: Array, *, whole: bool = False) -> dict[str, Any]:
    """Return dtype, shape and data of an array; floats in hex, integers and booleans in decimal.

    Of a large array that is a few rows over and over, only those are written, unless the whole is wanted.
    """
    few = array if whole or not array.ndim else array[: period(array)]
    if array.dtype.kind in "biu":
        data = [str(int(v)) for v in few.ravel().tolist()]
    else:
        data = [number(v) for v in few.astype(np.float64).ravel().tolist()]
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def array_from_json(data: dict[str, Any]) -> Array:
    """Undo `array_to_json`. Raises ValueError or KeyError on anything else."""
    name, shape = data["dtype"], data["shape"]
    if np.dtype(name if name != "bfloat16" else "float32").kind in "biu":
        few = np.array([int(v) for v in data["data"]], dtype=name)
    else:
        few = np.array([float.fromhex(v) for v in data["data"]], dtype=np.float64).astype(dtype_of(name))
    size = math.prod(shape)
    if few.size == size:
        return few.reshape(shape)
    if few.size == 0 or size % few.size:
        raise ValueError(f"{few.size} numbers do not fill the shape {tuple(shape)}, nor do they over and over")
    return np.tile(few, size // few.size).reshape(shape)


def case_to_json(case: Case) -> dict[str, Any]:
    """Return the fields of a case that are not at their default."""
    result: dict[str, Any] = {"loss": str(case.loss)}
    for name, field in Case.__dataclass_fields__.items():
        value = getattr(case, name)
        if value is None or (name not in ARRAYS and value == field.default):
            continue
        if name in ARRAYS:
            result[name] = array_to_json(value)
        else:
            result[name] = str(value) if name in _ENUMS else value
    return result


def case_from_json(data: dict[str, Any]) -> Case:
    """Undo `case_to_json`. Raises ValueError naming the field that is wrong."""
    fields: dict[str, Any] = {}
    for name, value in data.items():
        if name not in Case.__dataclass_fields__:
            raise ValueError(f"case: unknown field {name!r}")
        try:
            if name in ARRAYS:
                fields[name] = array_from_json(value)
            else:
                fields[name] = _ENUMS[name](value) if name in _ENUMS else value
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"case: field {name!r}: {error}") from error
    return Case(**fields)
