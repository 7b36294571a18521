"""Global settings that a loss function has no business to change: how each is read and put back.

Random number generators are none of them: see `generators`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

OWN = (
    "PYTEST_",
    "TORCH",
    "_TORCH",
    "PYTORCH_",
    "TRITON_",
    "TF_",
    "TF2_",
    "XLA_",
    "JAX_",
    "KERAS_",
    "CUDA_",
    "CUBLAS_",
    "OMP_",
    "KMP_",
)
"""Beginnings of the environment variables that pytest and frameworks set themselves, some as late as the first
compilation."""

POOL = "ThreadPoolExecutor-"
"""The beginning of the names of a pool's workers: a compiler starts them when first asked, and they end with the
process."""


@dataclass(frozen=True)
class Setting:
    """One global setting.

    Attributes:
        read: returns its value.
        write: puts a value back; None where that cannot be done.
        shown: returns the value as a message shows it.
    """

    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None
    shown: Callable[[Any], str] = str


def of_process() -> dict[str, Setting]:
    """Return the settings of any Python process, by the name that a message calls them."""
    settings = {
        "the environment": Setting(_environment, _set_environment),
        "threads that keep the process from ending": Setting(_threads, shown=lambda names: ", ".join(names) or "none"),
        "numpy.geterr()": Setting(np.geterr, lambda old: np.seterr(**old)),
        "subnormal numbers": Setting(_subnormals),
    }
    config = getattr(sys.modules.get("keras"), "config", None)
    if config is not None:
        settings["keras.config.floatx()"] = Setting(config.floatx, config.set_floatx)
        settings["keras.config.epsilon()"] = Setting(config.epsilon, config.set_epsilon)
    return settings


class Snapshot:
    """What settings were at one time."""

    def __init__(self, settings: Mapping[str, Setting]) -> None:
        self._settings = settings
        self._before = {name: setting.read() for name, setting in settings.items()}

    def restore(self) -> list[str]:
        """Put back what has changed since, where that can be done; return a line for each change."""
        lines = []
        for name, setting in self._settings.items():
            old, new = self._before[name], setting.read()
            if old != new:
                lines.append(_change(name, setting, old, new))
                if setting.write is not None:
                    setting.write(old)
        return lines


def _change(name: str, setting: Setting, old: Any, new: Any) -> str:
    if setting.read is not _environment:
        return f"{name} from {setting.shown(old)} to {setting.shown(new)}"
    # Only names: what a variable holds may be a secret, and a run file is shown around.
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return f"{name}: {', '.join(changed)}"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN)}


def _set_environment(old: dict[str, str]) -> None:
    for name in _environment().keys() - old.keys():
        del os.environ[name]
    os.environ.update(old)


def _threads() -> list[str]:
    return sorted(
        thread.name
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread() and not thread.name.startswith(POOL)
    )


def _subnormals() -> str:
    """Return what the processor does with subnormal numbers in this thread: a library can have it flush them."""
    return "kept" if np.float64(5e-324) * np.float64(1.0) > 0 else "flushed to zero"
