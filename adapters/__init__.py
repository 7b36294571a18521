"""Adapters: how each framework is asked, and what it promises. Frameworks are imported only when asked to."""

from __future__ import annotations

import importlib
import importlib.metadata
import os

from lossconform.adapters.base import Framework

TARGETS = {
    "torch": "lossconform.adapters.pytorch",
    "tensorflow": "lossconform.adapters.tensorflow_nn",
    "keras-tensorflow": "lossconform.adapters.keras_losses",
    "keras-jax": "lossconform.adapters.keras_losses",
    "keras-torch": "lossconform.adapters.keras_losses",
    "jax": "lossconform.adapters.jax_optax",
}
"""Each target and the module that knows it: one line here and that module add a framework."""

GROUPS = {"keras": ("keras-tensorflow", "keras-jax", "keras-torch"), "all": tuple(TARGETS)}
"""Names that stand for several targets."""


DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu", "tf-nightly", "tf-nightly-cpu")}
"""Packages that come in distributions of more than one name."""


def version(package: str) -> str | None:
    """Return the installed version of a package; None if it is not installed."""
    for name in DISTRIBUTIONS.get(package, (package,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def versions(framework: Framework) -> dict[str, str | None]:
    """Return the version of each package that identifies a target; None for one that is not installed."""
    names = dict.fromkeys((*framework.packages, *framework.engine.packages))
    return {name: version(name) for name in names}


class TargetError(Exception):
    """A target cannot be used; the message says why and how to mend it."""


def targets_of(names: list[str]) -> list[str]:
    """Return the targets that a list of target and group names stands for, each once, in the order of `TARGETS`."""
    asked: set[str] = set()
    for name in names:
        if name not in TARGETS and name not in GROUPS:
            known = ", ".join([*TARGETS, *GROUPS])
            raise TargetError(f"unknown framework {name!r}: expected one of {known}")
        asked.update(GROUPS.get(name, (name,)))
    return [target for target in TARGETS if target in asked]


def describe(target: str) -> Framework:
    """Return a target's contracts and calls without importing the framework."""
    (target,) = targets_of([target])
    framework: Framework = importlib.import_module(TARGETS[target]).framework(target)
    return framework


def start(target: str) -> Framework:
    """Return a target ready to be asked. Raises `TargetError` if it is not installed or does not import."""
    framework = describe(target)
    os.environ.update(framework.environment)
    extra = target.split("-")[0]
    try:
        framework.engine.start()
    except ModuleNotFoundError as error:
        raise TargetError(
            f"{target} is not installed ({error.name} is missing): pip install 'lossconform[{extra}]'"
        ) from error
    except Exception as error:
        raise TargetError(f"{target} is installed but fails to import: {type(error).__name__}: {error}") from error
    return framework
