"""Cases as JSON: hex floats for numbers, so that what is read is what was written, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossconform.reference.case import ARRAYS, Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.formats import dtype_of

_ENUMS = {"loss": Loss, "form": Form, "target_form": TargetForm, "reduction": Reduction}


def number(x: float) -> str:
    """Return a float as text: hex, or nan, inf, -inf."""
    return x.hex() if math.isfinite(x) else str(x)


def array_to_json(array: Array) -> dict[str, Any]:
    """Return dtype, shape and data of an array; floats in hex, integers and booleans in decimal."""
    if array.dtype.kind in "biu":
        data = [str(int(v)) for v in array.ravel().tolist()]
    else:
        data = [number(v) for v in array.astype(np.float64).ravel().tolist()]
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def array_from_json(data: dict[str, Any]) -> Array:
    """Undo `array_to_json`. Raises ValueError or KeyError on anything else."""
    name = data["dtype"]
    if np.dtype(name if name != "bfloat16" else "float32").kind in "biu":
        return np.array([int(v) for v in data["data"]], dtype=name).reshape(data["shape"])
    values = [float.fromhex(v) for v in data["data"]]
    return np.array(values, dtype=np.float64).astype(dtype_of(name)).reshape(data["shape"])


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
