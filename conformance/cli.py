"""The command line: `lossconform run | report | list`.

Exit codes: 0 nothing unexpected, 1 unexpected failures, 2 asked for what cannot be, 3 the run is incomplete.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lossconform import __version__, console
from lossconform.adapters import GROUPS, TARGETS, TargetError, describe, targets_of, versions
from lossconform.checks import CHECKS
from lossconform.profiles import PROFILES
from lossconform.reference.policy import CHOICES
from lossconform.reports.html.page import write as write_page
from lossconform.reports.merge import MergeError, merge
from lossconform.reports.runfile import RunFileError, read, write
from lossconform.reports.score import exit_code
from lossconform.runner import Request, run

USAGE = 2
ERRORS = (TargetError, RunFileError, MergeError)


class UsageError(Exception):
    """Something was asked for that cannot be; the message is one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    try:
        code: int = options.command(options, given)
    except (*ERRORS, UsageError) as error:
        print(f"lossconform: {error}", file=sys.stderr)  # noqa: T201
        return USAGE
    except BrokenPipeError:
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lossconform", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--version", action="version", version=f"lossconform {__version__}")
    commands = parser.add_subparsers(required=True, metavar="run | report | list")

    runs = commands.add_parser("run", help="run the suite and write the report")
    runs.set_defaults(command=_run)
    runs.add_argument(
        "--framework",
        action="append",
        metavar="TARGET",
        help=f"may be given more than once: {', '.join([*TARGETS, *GROUPS])}; by default all that are installed",
    )
    runs.add_argument("--profile", default="quick", metavar="NAME", help=f"{', '.join(PROFILES)}; default quick")
    runs.add_argument("--seed", type=int, default=0, help="of the generated cases; default 0")
    runs.add_argument("--check", action="append", metavar="ID", help="only this check; may be given more than once")
    runs.add_argument(
        "-k", dest="keyword", default="", metavar="EXPRESSION", help="only questions that match, as in pytest"
    )
    runs.add_argument(
        "--output",
        type=Path,
        default=Path("lossconform-report"),
        metavar="FOLDER",
        help="for the run file and the report",
    )
    runs.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="targets at once; default 2")

    reports = commands.add_parser("report", help="make a report from run files")
    reports.set_defaults(command=_report)
    reports.add_argument("runs", nargs="+", type=Path, metavar="RUN.json")
    reports.add_argument("--output", type=Path, default=Path("report.html"), metavar="PATH")

    lists = commands.add_parser("list", help="list what can be asked for")
    lists.set_defaults(command=_list)
    lists.add_argument(
        "what", choices=["targets", "functions", "checks", "policies", "profiles"], nargs="?", default="targets"
    )
    return parser


def _missing(target: str) -> list[str]:
    """Return the packages of a target that are not installed."""
    return [name for name, version in versions(describe(target)).items() if version is None]


def _targets(names: list[str] | None) -> list[str]:
    """Return the targets to run: those asked for, which must be installed, or all that are."""
    asked = targets_of(names or ["all"])
    missing = {target: _missing(target) for target in asked}
    if names is None:
        found = [target for target in asked if not missing[target]]
        if not found:
            raise UsageError(
                "no framework is installed: pip install 'lossconform[torch]' (or tensorflow, keras, jax, all)"
            )
        return found
    for target in asked:
        if missing[target]:
            extra = target.split("-")[0]
            raise TargetError(
                f"{target} is not installed ({', '.join(missing[target])} missing): pip install 'lossconform[{extra}]'"
            )
    return asked


def _run(options: argparse.Namespace, given: list[str]) -> int:
    if options.profile not in PROFILES:
        raise UsageError(f"unknown profile {options.profile!r}: expected one of {', '.join(PROFILES)}")
    for check in options.check or []:
        if check not in CHECKS:
            raise UsageError(f"unknown check {check!r}: expected one of {', '.join(CHECKS)}")
    if options.jobs < 1:
        raise UsageError(f"--jobs {options.jobs}: expected at least 1")
    targets = _targets(options.framework)
    folder = _folder(options.output)
    keyword = " or ".join(f"{check}-" for check in options.check or []) or options.keyword
    request = Request(
        targets=targets,
        profile=options.profile,
        seed=options.seed,
        keyword=keyword,
        jobs=options.jobs,
        command=shlex.join(["lossconform", *given]),
    )
    screen = Console()
    if screen.width < console.WIDTH:
        screen = Console(width=console.WIDTH)
    with console.progress(screen) as watch:
        result = run(request, folder, watch)
    write(result, folder / "run.json")
    write_page(result, folder / "report.html")
    for target in targets:
        (folder / f"{target}.journal").unlink(missing_ok=True)
    console.summary(result, screen)
    screen.print(f"run file: {(folder / 'run.json').resolve()}", soft_wrap=True)
    screen.print(f"report:   {(folder / 'report.html').resolve()}", soft_wrap=True)
    return exit_code(result)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made: {error.strerror}; choose another --output") from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"{path}: cannot be written to; choose another --output")
    return path


def _report(options: argparse.Namespace, given: list[str]) -> int:  # noqa: ARG001
    result = merge([read(path) for path in options.runs])
    write_page(result, options.output)
    print(f"report: {options.output.resolve()}")  # noqa: T201
    return exit_code(result)


def _list(options: argparse.Namespace, given: list[str]) -> int:  # noqa: ARG001
    lines = {
        "targets": lambda: [
            f"{name:<18}{'installed' if not _missing(name) else 'not installed: ' + ', '.join(_missing(name))}"
            for name in TARGETS
        ],
        "functions": lambda: [f"{name:<18}{f.id}" for name in TARGETS for f in describe(name).functions],
        "checks": lambda: [f"{check.id:<22}{check.question}" for check in CHECKS.values()],
        "policies": lambda: [
            f"{name:<22}{value:<18}{meaning}" for name, values in CHOICES.items() for value, meaning in values.items()
        ],
        "profiles": lambda: list(PROFILES),
    }[options.what]()
    print("\n".join(lines))  # noqa: T201
    return 0
