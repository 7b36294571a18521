"""How plain NumPy callables are run: those that return their value and their gradient themselves.

It is the way to bring a loss of one's own that no framework differentiates, and how the miniatures are asked.
"""

# ruff: noqa: D102 - each overrides a method of `Engine`, which says what it does
from __future__ import annotations

import importlib
import inspect
import types
from typing import Any

import numpy as np

from lossconform.adapters.base import CALL, Answer, Call, Engine, list_source, shown
from lossconform.reference.case import Array


class NumpyEngine(Engine):
    """The engine of callables that take arrays and options by keyword and return (value, gradient).

    The gradient has the prediction's shape. A callable with a parameter `cotangent` is given the upstream gradient, in
    the value's shape, or None for all ones, and returns the gradient of the sum of value times cotangent. One without
    it returns the gradient of the sum of its values, and the engine scales each row: that needs a value whose entries
    depend on their own leading axes alone, as every loss with one value a row or an element has.

    Args:
        modules: the modules that the callables are in; a snippet imports them.
    """

    modes = types.MappingProxyType({CALL: "a Python call with NumPy arrays"})
    packages = ("numpy",)

    def __init__(self, *modules: str) -> None:
        self.modules = modules

    def start(self) -> None:
        for module in self.modules:
            importlib.import_module(module)

    def tensor(self, array: Array) -> Array:
        # A copy: the case stays as it is, whatever the callable does to its arguments.
        return np.array(array, copy=True)

    def array(self, tensor: Any) -> Array:
        return np.asarray(tensor)

    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:
        if mode not in self.modes:
            raise ValueError(f"mode {mode!r}: expected one of {', '.join(self.modes)}")
        tensors: dict[str, Any] = {name: self.tensor(array) for name, array in call.tensors.items()}
        scaled = _takes_cotangent(call)
        if scaled:
            tensors["cotangent"] = None if cotangent is None else self.tensor(cotangent)
        with np.errstate(all="ignore"):
            value, slope = self.function(call)(**tensors)
            value, slope = self.array(value), self.array(slope)
            self.look_again(call, tensors)
            if not gradient:
                return Answer(value)
            if cotangent is not None and not scaled:
                slope = (slope * _beside(cotangent, slope)).astype(slope.dtype)
        return Answer(value, slope)

    def imports(self) -> list[str]:
        return ["import ml_dtypes", "import numpy as np", *(f"import {module}" for module in self.modules)]

    def tensor_source(self, array: Array) -> str:
        if array.size == 0:
            # Nested lists do not tell the axes after an empty one.
            return f"np.empty({array.shape!r}, {_dtype_source(array)})"
        text = list_source(array).replace("float('nan')", "np.nan").replace("float('inf')", "np.inf")
        return f"np.array({text}, {_dtype_source(array)})"

    def run_source(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> list[str]:  # noqa: ARG002
        names = [f"{name}={name}" for name in call.tensors]
        upstream = "None" if cotangent is None else self.tensor_source(cotangent)
        scaled = _takes_cotangent(call)
        if scaled and gradient and cotangent is not None:
            # `loss` is written with the call's own arguments: the upstream gradient goes straight to the callable.
            literals = [f"{name}={value!r}" for name, value in call.literals.items()]
            target = call.function if call.init is None else "loss_object"
            invoked = f"{target}({', '.join([*names, *literals, f'cotangent={upstream}'])})"
        else:
            invoked = f"loss({', '.join(names)})"
        lines = [f"value, gradient = {invoked}", 'print("value", np.asarray(value).astype(float).tolist())']
        if gradient and cotangent is not None and not scaled:
            lines += [
                f"cotangent = {upstream}",
                "gradient = gradient * cotangent.reshape(cotangent.shape + (1,) * (gradient.ndim - cotangent.ndim))",
            ]
        if gradient:
            found = shown("gradient", call.tensors[call.prediction].size)
            lines += [f'print("{found}", np.asarray({found}).astype(float).tolist())']
        return lines


def _takes_cotangent(call: Call) -> bool:
    target = call.target()
    return "cotangent" in inspect.signature(target.__call__ if call.init is not None else target).parameters


def _beside(cotangent: Array, slope: Array) -> Array:
    """Return the cotangent with an axis of length 1 for each trailing axis that it lacks."""
    if slope.shape[: cotangent.ndim] != cotangent.shape:
        raise ValueError(
            f"gradient: shape {slope.shape}; expected it to begin with {cotangent.shape}, that of the value. "
            "A callable of another class axis takes `cotangent` itself."
        )
    return cotangent.reshape(cotangent.shape + (1,) * (slope.ndim - cotangent.ndim))


def _dtype_source(array: Array) -> str:
    return "ml_dtypes.bfloat16" if array.dtype.name == "bfloat16" else f"np.{array.dtype.name}"
