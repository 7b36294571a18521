"""A target whose loss functions misbehave, each in the way that its name says: a pytest plugin that registers itself.

All are log-sum-exp in NumPy otherwise, as `crashing_target` has it.
"""

from __future__ import annotations

import ctypes
import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import crashing_target
import numpy as np

import lossconform.adapters
from lossconform.adapters.base import Answer, Call, Framework, LossFunction
from lossconform.adapters.contract import Contract
from lossconform.reference.case import Array, Case, Loss

READY = "ISOLATED_TARGET_READY"
"""The variable with the named pipe that the loss function 'waits' opens before it waits for ever; without it, it
answers."""


def forever() -> None:
    while True:
        pass


def noise() -> None:
    print('{"record": {}}\n{"footer": {}}')  # noqa: T201 - the misdeed
    os.write(1, b"\x00\xff garbage \x1b[2J\n")
    sys.stderr.write("more garbage\n")


def environment() -> None:
    os.environ["ISOLATED_TARGET"] = "changed"


def floating() -> None:
    np.seterr(divide="raise")


def seed() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the misdeed


def thread() -> None:
    if all(one.name != "left behind" for one in threading.enumerate()):
        threading.Thread(target=threading.Event().wait, name="left behind").start()


def interrupt() -> None:
    raise KeyboardInterrupt("not a person's")


def hog() -> None:
    held = b"x" * (400 << 20)
    forever()
    del held


def waits() -> None:
    if READY in os.environ:
        Path(os.environ[READY]).write_text("ready")
        forever()


DEEDS: dict[str, Callable[[], object]] = {
    "first": lambda: None,
    "noise": noise,
    "environment": environment,
    "floating": floating,
    "thread": thread,
    "seed": seed,
    "draw": lambda: (random.random(), np.random.random()),  # noqa: NPY002, S311 - no misdeed
    "exit": lambda: sys.exit(3),
    "interrupt": interrupt,
    "leave": lambda: os._exit(4),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "hog": hog,
    "hang": forever,
    "waits": waits,
    "nan": lambda: None,
    "last": lambda: None,
}


class IsolatedEngine(crashing_target.CrashingEngine):
    """Answers log-sum-exp after it has done what the function's name says."""

    modes = MappingProxyType({"eager": "NumPy"})

    def start(self) -> None:
        pass

    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:
        DEEDS[call.function]()
        answer = super().run(call, mode=mode, cotangent=cotangent, gradient=gradient)
        return Answer(answer.value * np.float32(np.nan)) if call.function == "nan" else answer


def _function(name: str) -> LossFunction:
    def call(case: Case) -> Call:
        return Call(name, {"x": case.prediction}, "x")

    contract = Contract(loss=Loss.LOG_SUM_EXP, source=crashing_target.SOURCE, dtypes=("float32",))
    return LossFunction(name, contract, call)


def framework(target: str = "isolated") -> Framework:
    """Return the target."""
    return Framework(target, IsolatedEngine(), tuple(_function(name) for name in DEEDS))


lossconform.adapters.TARGETS["isolated"] = "isolated_target"
