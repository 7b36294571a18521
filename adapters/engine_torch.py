"""How PyTorch makes tensors, runs, compiles and differentiates calls, and writes them as source.

It knows no loss function: those are in `lossconform.adapters.pytorch`.
"""

# ruff: noqa: D102 - each overrides a method of `Engine`, which says what it does
from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from lossconform.adapters.base import Answer, Call, Engine, list_source, shown
from lossconform.adapters.generators import Generator
from lossconform.adapters.settings import Setting
from lossconform.reference.case import Array

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

COMPILED: dict[str, dict[str, Any]] = {
    "compiled": {"backend": "aot_eager_decomp_partition", "dynamic": False},
    "inductor": {"dynamic": False},
}
"""The arguments of torch.compile for each compiled mode, besides fullgraph: with it a graph break or a reached
recompile limit is an error; without it, it is a silent return to eager."""


class TorchEngine(Engine):
    """The engine of PyTorch, on one device."""

    modes = types.MappingProxyType(
        {
            "eager": "operator by operator",
            "compiled": "torch.compile with the backend aot_eager_decomp_partition: decompositions, no code generation",
            "inductor": "torch.compile with its default backend",
        }
    )
    packages = ("torch",)

    def __init__(self, device: str = "cpu", *, fullgraph: bool = True) -> None:
        self.device = device
        self.fullgraph = fullgraph
        self._torch: Any = None
        self._kept: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def start(self) -> None:
        import torch

        torch.set_num_threads(1)
        self._torch = torch

    def state(self) -> dict[str, Setting]:
        torch = self._torch
        return {
            **super().state(),
            "torch.get_default_dtype()": Setting(torch.get_default_dtype, torch.set_default_dtype, _bare),
            "torch.is_grad_enabled()": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
            "torch.are_deterministic_algorithms_enabled()": Setting(
                torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
            ),
            "torch.get_float32_matmul_precision()": Setting(
                torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
            ),
            "torch.get_num_threads()": Setting(torch.get_num_threads, torch.set_num_threads),
        }

    def generators(self) -> dict[str, Generator]:
        torch = self._torch
        return {
            **super().generators(),
            "torch": Generator(
                lambda: torch.get_rng_state().numpy().tobytes(),
                lambda state: torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8)),
                torch.manual_seed,
            ),
        }

    def tensor(self, array: Array) -> Any:
        torch = self._torch
        # A copy, because PyTorch warns of read-only memory. In C order, so that its strides are the usual ones.
        array = np.array(array, order="C", copy=True)
        if array.dtype == BFLOAT16:
            tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        else:
            tensor = torch.from_numpy(array)
        return tensor.to(self.device)

    def array(self, tensor: Any) -> Array:
        torch = self._torch
        tensor = tensor.detach().to("cpu", copy=True).contiguous()
        if tensor.dtype == torch.bfloat16:
            array: Array = tensor.view(torch.int16).numpy().view(BFLOAT16)
        else:
            array = tensor.numpy()
        return array

    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:
        torch = self._torch
        tensors = {name: self.tensor(array) for name, array in call.tensors.items()}
        prediction = tensors[call.prediction].requires_grad_(gradient)
        value = self._callable(call, mode, gradient)(**tensors)
        if not gradient:
            self.look_again(call, tensors)
            return Answer(self.array(value))
        found = None
        if value.requires_grad:
            upstream = torch.ones_like(value) if cotangent is None else self.tensor(cotangent).to(value.dtype)
            (found,) = torch.autograd.grad(value, prediction, upstream, allow_unused=True)
        self.look_again(call, tensors)
        return Answer(self.array(value), self.array(torch.zeros_like(prediction) if found is None else found))

    def _callable(self, call: Call, mode: str, gradient: bool) -> Callable[..., Any]:
        """Return the callable of a call in a mode, from those kept if it was compiled before.

        Each shape and dtype has its own, so that none is ever compiled a second time.
        """
        loss = self.function(call)
        if mode == "eager":
            return loss
        key = call.key()
        if key is None:
            return self._compile(loss, mode)
        shapes = tuple((array.shape, array.dtype.name) for array in call.tensors.values())
        key = (mode, gradient, shapes, *key)
        if key not in self._kept:
            self._kept[key] = self._compile(loss, mode)
        return self._kept[key]

    def _compile(self, loss: Callable[..., Any], mode: str) -> Callable[..., Any]:
        # Dynamo keeps what it compiled, and counts recompilations, by code object: all closures of
        # `Engine.function` would share one. A copy of the code object gives each its own.
        assert isinstance(loss, types.FunctionType)  # noqa: S101 - for the type checker
        own = types.FunctionType(
            loss.__code__.replace(), loss.__globals__, loss.__name__, loss.__defaults__, loss.__closure__
        )
        compiled: Callable[..., Any] = self._torch.compile(own, **COMPILED[mode], fullgraph=self.fullgraph)
        return compiled

    def imports(self) -> list[str]:
        return ["import torch"]

    def tensor_source(self, array: Array) -> str:
        dtype = f"dtype=torch.{array.dtype.name}"
        if self.device != "cpu":
            dtype += f", device={self.device!r}"
        if array.size == 0:
            # Nested lists do not tell the axes after an empty one.
            return f"torch.empty({array.shape!r}, {dtype})"
        return f"torch.tensor({list_source(array)}, {dtype})"

    def run_source(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> list[str]:
        names = ", ".join(f"{name}={name}" for name in call.tensors)
        lines = []
        if mode != "eager":
            options = ", ".join(f"{name}={value!r}" for name, value in COMPILED[mode].items())
            lines += [f"loss = torch.compile(loss, {options}, fullgraph={self.fullgraph})"]
        if gradient:
            lines += [f"{call.prediction}.requires_grad_()"]
        lines += [f"value = loss({names})", 'print("value", value.tolist())']
        if gradient:
            upstream = "torch.ones_like(value)" if cotangent is None else self.tensor_source(cotangent)
            found = shown("gradient", call.tensors[call.prediction].size)
            lines += [
                f"(gradient,) = torch.autograd.grad(value, {call.prediction}, {upstream})",
                f'print("{found}", {found}.tolist())',
            ]
        return lines


def _bare(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
