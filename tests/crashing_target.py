"""A target of four loss functions, of which the third ends the process: a pytest plugin that registers itself.

The functions are log-sum-exp in NumPy, correct, slow and harmless but for the one.
"""

from __future__ import annotations

import os
import signal
from types import MappingProxyType
from typing import Any

import numpy as np

import lossconform.adapters
from lossconform.adapters.base import Answer, Call, Engine, Framework, LossFunction
from lossconform.adapters.contract import Contract, Source
from lossconform.reference.case import Array, Case, Loss

SOURCE = Source("A target that crashes", "1", "all of it", "https://example.org/")


class CrashingEngine(Engine):
    """Answers log-sum-exp in float64; the function 'third' kills its process."""

    modes = MappingProxyType({"eager": "NumPy"})
    packages = ("numpy",)

    def start(self) -> None:
        if os.environ.get("CRASHING_TARGET") == "import":
            raise RuntimeError("its library is broken")

    def tensor(self, array: Array) -> Any:
        return array

    def array(self, tensor: Any) -> Array:
        return np.asarray(tensor)

    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:
        if call.function == "third":
            os.kill(os.getpid(), signal.SIGKILL)
        x = call.arguments["x"].astype(np.float64)
        m = x.max(axis=-1, keepdims=True)
        with np.errstate(all="ignore"):
            e = np.exp(x - np.where(np.isfinite(m), m, 0.0))
            total = e.sum(axis=-1, keepdims=True)
            value = (m + np.log(total))[..., 0]
            factor = np.ones_like(value) if cotangent is None else cotangent.astype(np.float64)
            slope = e / total * factor[..., None]
        dtype = call.arguments["x"].dtype
        return Answer(value.astype(dtype), slope.astype(dtype) if gradient else None)

    def imports(self) -> list[str]:
        return ["import numpy"]

    def tensor_source(self, array: Array) -> str:
        return repr(array)

    def run_source(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> list[str]:
        return ["value = loss(x)"]


def _function(name: str) -> LossFunction:
    def call(case: Case) -> Call:
        return Call(name, {"x": case.prediction}, "x")

    return LossFunction(name, Contract(loss=Loss.LOG_SUM_EXP, source=SOURCE, dtypes=("float64", "float32")), call)


def framework(target: str = "crashing") -> Framework:
    """Return the target."""
    return Framework(target, CrashingEngine(), tuple(_function(n) for n in ("first", "second", "third", "fourth")))


lossconform.adapters.TARGETS["crashing"] = "crashing_target"
