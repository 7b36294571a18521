"""How JAX makes tensors, runs, compiles and differentiates calls, and writes them as source.

It knows no loss function: those are in `lossconform.adapters.jax_optax`.
"""
# ruff: noqa: D102 - each overrides a method of `Engine`, which says what it does

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from lossconform.adapters.base import Answer, Call, Engine, list_source, shown
from lossconform.adapters.settings import Setting
from lossconform.reference.case import Array

SHOW = 'print("{name}", {name}.tolist())'
"""The line of a snippet that shows a tensor's numbers exactly."""

STATE = (
    "jax_enable_x64",
    "jax_default_device",
    "jax_default_matmul_precision",
    "jax_disable_jit",
    "jax_debug_nans",
    "jax_numpy_dtype_promotion",
)
"""The options that a loss function must leave as they are."""


class JaxEngine(Engine):
    """The engine of JAX, on one device, with 64-bit types enabled."""

    modes = MappingProxyType(
        {
            "jit": "jax.jit of the whole call; value and gradient are one computation, as in a training step",
            "eager": "operator by operator, each compiled on its own",
        }
    )
    packages = ("jax", "jaxlib")

    def __init__(self, device: str = "cpu", libraries: tuple[str, ...] = ()) -> None:
        self.device = device
        self.libraries = libraries
        self._jax: Any = None
        self._kept: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def start(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", self.device)
        for library in self.libraries:
            importlib.import_module(library)
        self._jax = jax

    def state(self) -> dict[str, Setting]:
        config = self._jax.config
        return {
            **super().state(),
            **{
                f"jax.config.{name}": Setting(partial(getattr, config, name), partial(config.update, name))
                for name in STATE
            },
        }

    def tensor(self, array: Array) -> Any:
        # A copy, because on the CPU a JAX array may share the memory of the array that it is made of.
        return self._jax.numpy.array(np.array(array, order="C", copy=True))

    def array(self, tensor: Any) -> Array:
        return np.array(tensor, copy=True)

    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:
        tensors = {name: self.tensor(array) for name, array in call.tensors.items()}
        upstream = None if cotangent is None else self.tensor(cotangent)
        value, found = self._callable(call, mode, gradient)(tensors, upstream)
        return Answer(self.array(value), None if found is None else self.array(found))

    def _callable(self, call: Call, mode: str, gradient: bool) -> Callable[..., Any]:
        """Return the step of a call in a mode, from those kept if there is one: JAX keeps what it compiled with it."""
        if mode == "eager":
            return self._step(call, gradient)
        key = call.key()
        if key is None:
            return self._compile(call, gradient)
        key = (mode, gradient, *key)
        if key not in self._kept:
            self._kept[key] = self._compile(call, gradient)
        return self._kept[key]

    def _compile(self, call: Call, gradient: bool) -> Callable[..., Any]:
        compiled: Callable[..., Any] = self._jax.jit(self._step(call, gradient))
        return compiled

    def _step(self, call: Call, gradient: bool) -> Callable[..., Any]:
        """Return the function of tensors and cotangent that gives value and gradient."""
        jax = self._jax
        loss = self.function(call)
        name = call.prediction

        def step(tensors: dict[str, Any], upstream: Any) -> tuple[Any, Any]:
            if not gradient:
                return loss(**tensors), None
            value, pull = jax.vjp(lambda prediction: loss(**{**tensors, name: prediction}), tensors[name])
            (found,) = pull(jax.numpy.ones_like(value) if upstream is None else upstream.astype(value.dtype))
            return value, found

        return step

    def imports(self) -> list[str]:
        return [
            "import jax",
            "import jax.numpy",
            *(f"import {library}" for library in self.libraries),
            "",
            'jax.config.update("jax_enable_x64", True)',
            f'jax.config.update("jax_platforms", "{self.device}")',
        ]

    def tensor_source(self, array: Array) -> str:
        dtype = f'dtype="{array.dtype.name}"'
        if array.size == 0:
            # Nested lists do not tell the axes after an empty one.
            return f"jax.numpy.zeros({array.shape!r}, {dtype})"
        return f"jax.numpy.array({list_source(array)}, {dtype})"

    def run_source(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> list[str]:
        names = ", ".join(call.tensors)
        passed = ", ".join(f"{name}={name}" for name in call.tensors)
        if not gradient:
            compiled = [] if mode == "eager" else ["loss = jax.jit(loss)"]
            return [*compiled, f"value = loss({passed})", SHOW.format(name="value")]
        upstream, parameter, argument = "jax.numpy.ones_like(value)", "", ""
        if cotangent is not None:
            upstream, parameter, argument = "cotangent", ", cotangent", f", {self.tensor_source(cotangent)}"
        return [
            f"def step({names}{parameter}):",
            f"    value, pull = jax.vjp(lambda {call.prediction}: loss({passed}), {call.prediction})",
            f"    return value, pull({upstream})[0]",
            "",
            *([] if mode == "eager" else ["step = jax.jit(step)"]),
            f"value, gradient = step({names}{argument})",
            SHOW.format(name="value"),
            SHOW.format(name=shown("gradient", call.tensors[call.prediction].size)),
        ]
