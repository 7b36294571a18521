"""Going on with a run: whether an earlier run file and what is asked for now are one run in two parts."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import lossconform
from lossconform.adapters import describe, targets_of, versions
from lossconform.plan import environment
from lossconform.reports.model import Run
from lossconform.reports.runfile import read

OPTIONS = {
    "framework": "--framework",
    "loss": "--loss",
    "like": "--like",
    "profile": "--profile",
    "seed": "--seed",
    "check": "--check",
    "keyword": "-k",
    "expectations": "--expectations",
}
"""The options that say what is asked. One that is not given now is as it was."""


class ResumeError(Exception):
    """A run cannot be gone on with; the message is one line."""


def resumed(
    folder: Path, options: argparse.Namespace, parse: Callable[[Sequence[str]], argparse.Namespace]
) -> tuple[Run, argparse.Namespace]:
    """Return the run to go on with and the options that it was asked for with.

    Args:
        folder: where its run file is.
        options: those given now.
        parse: reads the words of a command line.

    Raises:
        RunFileError: there is no run file, or it cannot be read.
        ResumeError: it is another run: it differs in an option, or in the version of something.
    """
    path = folder / "run.json"
    run = read(path)
    words = shlex.split(run.command)
    if words[:2] != ["lossconform", "run"] or "&&" in words:
        raise ResumeError(f"{path}: cannot be gone on with: it was not written by lossconform run")
    try:
        before, usual = parse(words[1:]), parse(["run"])
    except SystemExit:
        raise ResumeError(f"{path}: cannot be gone on with: its command is not understood: {run.command}") from None
    for name, option in OPTIONS.items():
        was, now = getattr(before, name), getattr(options, name)
        if now != getattr(usual, name) and _comparable(name, now) != _comparable(name, was):
            raise ResumeError(f"{path}: cannot be gone on with: {option} was {_shown(was)}, not {_shown(now)}")
    for name, was, now in _versions(run):
        if was != now:
            raise ResumeError(f"{path}: cannot be gone on with: {name} was {was}, and is {now}")
    return run, before


def _comparable(name: str, value: object) -> object:
    return targets_of(value) if name == "framework" and isinstance(value, list) else value


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not given" if value in (None, "") else str(value)


def _versions(run: Run) -> list[tuple[str, object, object]]:
    """Return what the answers depend on: the name of each, what it was and what it is."""
    here = environment()
    found: list[tuple[str, object, object]] = [("lossconform", run.lossconform, lossconform.__version__)]
    found += [(name, run.environment.get(name), here.get(name)) for name in {**run.environment, **here}]
    for target in run.targets:
        # A target that did not come as far as its versions is asked from the beginning.
        now = versions(describe(target.target)) if target.versions else {}
        found += [
            (f"{name} of {target.target}", target.versions.get(name), now.get(name) or "unknown")
            for name in {**target.versions, **now}
        ]
    return found
