"""Adapters: how each framework is asked, and what it promises. Frameworks are imported only when asked to."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import os
import sys

from lossconform.adapters.base import Framework, resolve

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


ENTRY_POINTS = "lossconform.losses"
"""The group of entry points in which a package registers losses of its own, as results of `loss_function`."""


def registered() -> dict[str, str]:
    """Return the losses that installed packages register: each name and where it is, as package:name."""
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def targets_of(names: list[str]) -> list[str]:
    """Return the targets that a list of target and group names stands for, each once.

    Those of `TARGETS` come first, in their order, then losses that were brought along: package:name, package:name@like,
    or the name of an entry point.
    """
    asked: set[str] = set()
    own: dict[str, None] = {}
    for name in names:
        if ":" in name or name in registered():
            own[name] = None
            continue
        if name not in TARGETS and name not in GROUPS:
            known = ", ".join([*TARGETS, *GROUPS, *registered()])
            raise TargetError(
                f"unknown framework {name!r}: expected one of {known}, or package:name for a loss of your own"
            )
        asked.update(GROUPS.get(name, (name,)))
    return [*(target for target in TARGETS if target in asked), *own]


def describe(target: str) -> Framework:
    """Return a target's contracts and calls without importing the framework; for a loss of one's own, its module is.

    Raises `TargetError` for an unknown target, or one that is not what it should be.
    """
    (target,) = targets_of([target])
    if target not in TARGETS:
        return _brought(target)
    framework: Framework = importlib.import_module(TARGETS[target]).framework(target)
    return framework


def _brought(target: str) -> Framework:
    """Return a loss of one's own by package:name, package:name@like or the name of an entry point."""
    place, _, like = registered().get(target, target).partition("@")
    module, _, name = place.partition(":")
    if "" not in sys.path:
        # As `python -m` has it: a module beside which the command is given is found.
        sys.path.insert(0, "")
    try:
        found = resolve(f"{importlib.import_module(module).__name__}.{name}")
    except ModuleNotFoundError as error:
        raise TargetError(f"{target}: no module {error.name!r} can be imported; is it installed, or here?") from error
    except AttributeError as error:
        raise TargetError(f"{target}: {module} has no {name!r}") from error
    except Exception as error:
        raise TargetError(f"{target}: {module} fails to import: {type(error).__name__}: {error}") from error
    if like:
        found = _like(target, found, like)
    if not isinstance(found, Framework):
        raise TargetError(
            f"{target} is of type {type(found).__name__}: make it a target with loss_function of one of "
            f"lossconform.adapters.{{pytorch, tensorflow_nn, keras_losses, jax_optax, numpy_losses, command}}, "
            "or say which known loss function it is like"
        )
    return dataclasses.replace(found, target=target)


def _like(target: str, found: object, like: str) -> Framework:
    """Return a callable as a target like a known loss function, run by the same engine."""
    from lossconform.adapters.own import StatementError, find

    try:
        known, _ = find(like)
        framework: Framework = importlib.import_module(TARGETS[known]).loss_function(found, like=like)
    except StatementError as error:
        raise TargetError(f"{target}: {error}") from error
    return framework


def start(target: str) -> Framework:
    """Return a target ready to be asked. Raises `TargetError` if it is not installed or does not import."""
    return ready(describe(target))


def ready(framework: Framework) -> Framework:
    """Return a framework that was started: imported, and set as it must be. Raises `TargetError`."""
    target = framework.target
    os.environ.update(framework.environment)
    try:
        framework.engine.start()
    except ModuleNotFoundError as error:
        mend = f": pip install 'lossconform[{target.split('-')[0]}]'" if target in TARGETS else ""
        raise TargetError(f"{target} is not installed ({error.name} is missing){mend}") from error
    except Exception as error:
        raise TargetError(f"{target} is installed but fails to import: {type(error).__name__}: {error}") from error
    return framework
