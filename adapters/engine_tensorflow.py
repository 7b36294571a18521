"""How TensorFlow makes tensors, runs, compiles and differentiates calls, and writes them as source.

It knows no loss function: those are in `lossconform.adapters.tensorflow_nn`.
"""

# ruff: noqa: D102 - each overrides a method of `Engine`, which says what it does
from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np

from lossconform.adapters.base import Answer, Call, Engine, list_source, shown
from lossconform.adapters.settings import Setting
from lossconform.reference.case import Array

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

DECORATORS: dict[str, dict[str, Any]] = {"function": {}, "xla": {"jit_compile": True}}
"""The arguments of tf.function for each compiled mode."""

SHOW = 'print("{name}", {name}.numpy().tolist())'
"""The line of a snippet that shows a tensor's numbers exactly."""


class TensorFlowEngine(Engine):
    """The engine of TensorFlow. In the compiled modes value and gradient are one graph, as in a training step."""

    modes = MappingProxyType(
        {
            "eager": "operator by operator",
            "function": "tf.function",
            "xla": "tf.function(jit_compile=True)",
        }
    )
    packages = ("tensorflow", "tensorflow-cpu")

    def __init__(self) -> None:
        self._tf: Any = None
        self._kept: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def start(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        # Refused once TensorFlow has run anything: then somebody else has chosen.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        self._tf = tf

    def state(self) -> dict[str, Setting]:
        config = self._tf.config
        return {
            **super().state(),
            "tf.executing_eagerly()": Setting(self._tf.executing_eagerly),
            "tf.config.functions_run_eagerly()": Setting(config.functions_run_eagerly, config.run_functions_eagerly),
            "tf.config.optimizer.get_jit()": Setting(config.optimizer.get_jit, config.optimizer.set_jit),
        }

    def tensor(self, array: Array) -> Any:
        # A copy, because an eager tensor may share the memory of the array that it is made of.
        return self._tf.constant(np.array(array, order="C", copy=True))

    def array(self, tensor: Any) -> Array:
        return np.array(tensor.numpy(), copy=True)

    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:
        tensors = {name: self.tensor(array) for name, array in call.tensors.items()}
        upstream = None if cotangent is None else self.tensor(cotangent)
        value, found = self._callable(call, mode, gradient)(tensors, upstream)
        return Answer(self.array(value), None if found is None else self.array(found))

    def _callable(self, call: Call, mode: str, gradient: bool) -> Callable[..., Any]:
        """Return the step of a call in a mode, from those kept if it was traced before.

        Each shape and dtype has its own, because TensorFlow warns when one function is traced often.
        """
        if mode == "eager":
            return self._step(call, gradient)
        key = call.key()
        if key is None:
            return self._trace(call, mode, gradient)
        shapes = tuple((array.shape, array.dtype.name) for array in call.tensors.values())
        key = (mode, gradient, shapes, *key)
        if key not in self._kept:
            self._kept[key] = self._trace(call, mode, gradient)
        return self._kept[key]

    def _trace(self, call: Call, mode: str, gradient: bool) -> Callable[..., Any]:
        traced: Callable[..., Any] = self._tf.function(self._step(call, gradient), **DECORATORS[mode])
        return traced

    def _step(self, call: Call, gradient: bool) -> Callable[..., Any]:
        """Return the function of tensors and cotangent that gives value and gradient."""
        tf = self._tf
        loss = self.function(call)
        prediction = call.prediction

        def step(tensors: dict[str, Any], upstream: Any) -> tuple[Any, Any]:
            if not gradient:
                return loss(**tensors), None
            with tf.GradientTape() as tape:
                tape.watch(tensors[prediction])
                value = loss(**tensors)
            found = tape.gradient(
                value,
                tensors[prediction],
                output_gradients=None if upstream is None else tf.cast(upstream, value.dtype),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            # What was gathered has a gradient in slices.
            return value, tf.convert_to_tensor(found)

        return step

    def imports(self) -> list[str]:
        return ["import numpy as np", "import tensorflow as tf"]

    def name(self, dotted: str) -> str:
        return dotted.replace("tensorflow.", "tf.", 1) if dotted.startswith("tensorflow.") else dotted

    def tensor_source(self, array: Array) -> str:
        dtype = f"tf.{array.dtype.name}"
        if array.size == 0:
            # Nested lists do not tell the axes after an empty one.
            return f"tf.zeros({array.shape!r}, dtype={dtype})"
        numbers = list_source(array)
        if array.dtype == BFLOAT16:
            # From a list, TensorFlow goes through float32 and flushes subnormals to zero.
            return f"tf.constant(np.array({numbers}, dtype={dtype}.as_numpy_dtype))"
        return f"tf.constant({numbers}, dtype={dtype})"

    def run_source(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> list[str]:
        names = ", ".join(f"{name}={name}" for name in call.tensors)
        options = "".join(f", {name}={value!r}" for name, value in DECORATORS.get(mode, {}).items())
        if not gradient:
            compiled = [] if mode == "eager" else [f"loss = tf.function(loss{options})"]
            return [*compiled, f"value = loss({names})", SHOW.format(name="value")]
        upstream = {} if cotangent is None else {"cotangent": cotangent}
        parameters = ", ".join([*call.tensors, *upstream])
        return [
            *(f"{name} = {self.tensor_source(array)}" for name, array in upstream.items()),
            f"def step({parameters}):",
            "    with tf.GradientTape() as tape:",
            f"        tape.watch({call.prediction})",
            f"        value = loss({names})",
            f"    return value, tape.gradient({', '.join(['value', call.prediction, *upstream])})",
            "",
            *([] if mode == "eager" else [f"step = tf.function(step{options})"]),
            f"value, gradient = step({parameters})",
            SHOW.format(name="value"),
            SHOW.format(name=shown("gradient", call.tensors[call.prediction].size)),
        ]
