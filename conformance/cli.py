"""The command line: `lossconform run | smoke | report | selftest | list`.

Exit codes: 0 nothing unexpected, 1 unexpected failures, 2 asked for what cannot be, 3 the run is incomplete.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lossconform import __version__, console
from lossconform.adapters import GROUPS, TARGETS, TargetError, describe, registered, start, targets_of, versions
from lossconform.checks import CHECKS
from lossconform.expectations import ExpectationError
from lossconform.expectations import read as read_expectations
from lossconform.job import Limits
from lossconform.profiles import PROFILES
from lossconform.reference.policy import CHOICES
from lossconform.reports.html.page import write as write_page
from lossconform.reports.merge import MergeError, merge
from lossconform.reports.model import Run
from lossconform.reports.runfile import RunFileError, read, write
from lossconform.reports.score import exit_code
from lossconform.resume import ResumeError, resumed
from lossconform.runner import Request, run
from lossconform.selftest import assumptions, kill, table
from lossconform.smoke import lines_of, smoke
from lossconform.stop import Stop

USAGE = 2
ERRORS = (TargetError, RunFileError, MergeError, ResumeError, ExpectationError)


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
    commands = parser.add_subparsers(required=True, metavar="run | smoke | report | selftest | list")

    runs = commands.add_parser("run", help="run the suite and write the report")
    runs.set_defaults(command=_run)
    runs.add_argument(
        "--framework",
        action="append",
        metavar="TARGET",
        help=f"may be given more than once: {', '.join([*TARGETS, *GROUPS])}; by default all that are installed",
    )
    _add_loss(runs, "--loss")
    runs.add_argument("--profile", default="quick", metavar="NAME", help=f"{', '.join(PROFILES)}; default quick")
    runs.add_argument("--seed", type=int, default=0, help="of the generated cases; default 0")
    runs.add_argument("--check", action="append", metavar="ID", help="only this check; may be given more than once")
    runs.add_argument(
        "-k", dest="keyword", default="", metavar="EXPRESSION", help="only questions that match, as in pytest"
    )
    runs.add_argument(
        "--expectations",
        action="append",
        metavar="PATH",
        help="a file of known deviations of your own; may be given more than once",
    )
    runs.add_argument(
        "--output",
        type=Path,
        default=Path("lossconform-report"),
        metavar="FOLDER",
        help="for the run file and the report",
    )
    runs.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="targets at once; default 2")
    runs.add_argument(
        "--timeout", type=float, default=300.0, metavar="SECONDS", help="for one question; default %(default)g"
    )
    runs.add_argument(
        "--memory",
        type=int,
        default=16384,
        metavar="MIB",
        help="that one target may hold, 0 for as much as there is; default %(default)s",
    )
    runs.add_argument(
        "--resume", action="store_true", help="go on with the run in the output folder: ask only what has no record"
    )

    smokes = commands.add_parser(
        "smoke", help="see whether a loss of your own is asked as it should be: ten easy cases"
    )
    smokes.set_defaults(command=_smoke)
    _add_loss(smokes, "loss", nargs="+")

    reports = commands.add_parser("report", help="make a report from run files")
    reports.set_defaults(command=_report)
    reports.add_argument("runs", nargs="+", type=Path, metavar="RUN.json")
    reports.add_argument("--output", type=Path, default=Path("report.html"), metavar="PATH")

    tests = commands.add_parser("selftest", help="test the oracle's assumptions, and the checks themselves")
    tests.set_defaults(command=_selftest)
    tests.add_argument("--kill", action="store_true", help="ask every faulty and every correct miniature loss")
    tests.add_argument("--seed", type=int, default=0, help="of what is sampled and of the generated cases; default 0")
    tests.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes of --kill; default 2")

    lists = commands.add_parser("list", help="list what can be asked for")
    lists.set_defaults(command=_list)
    lists.add_argument(
        "what", choices=["targets", "functions", "checks", "policies", "profiles"], nargs="?", default="targets"
    )
    return parser


def _add_loss(parser: argparse.ArgumentParser, name: str, nargs: str | None = None) -> None:
    """Add the options that name losses of one's own."""
    more: dict[str, Any] = {"action": "append"} if nargs is None else {"nargs": nargs}
    parser.add_argument(
        name,
        metavar="PACKAGE:NAME",
        help="a loss of your own: what loss_function of an adapter returned, or a callable with --like; "
        "or the name of an entry point of lossconform.losses",
        **more,
    )
    parser.add_argument("--like", metavar="ID", help="the loss function whose signature and contract a callable has")


def _losses(names: list[str] | None, like: str | None) -> list[str]:
    """Return losses of one's own as targets."""
    if like is not None and not names:
        raise UsageError(f"--like {like}: of which loss? Name it with --loss package:name")
    return [name if like is None else f"{name}@{like}" for name in names or []]


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
            mend = f": pip install 'lossconform[{target.split('-')[0]}]'" if target in TARGETS else ""
            raise TargetError(f"{target} is not installed ({', '.join(missing[target])} missing){mend}")
    return asked


def _run(options: argparse.Namespace, given: list[str]) -> int:
    limits = _limits(options)
    earlier: Run | None = None
    if options.resume:
        # What is asked is what was asked; where, how many at once and the limits are as given now.
        earlier, before = resumed(options.output, options, _parser().parse_args)
        given = shlex.split(earlier.command)[1:]
        options = argparse.Namespace(**{**vars(before), "output": options.output, "jobs": options.jobs})
    if options.profile not in PROFILES:
        raise UsageError(f"unknown profile {options.profile!r}: expected one of {', '.join(PROFILES)}")
    for check in options.check or []:
        if check not in CHECKS:
            raise UsageError(f"unknown check {check!r}: expected one of {', '.join(CHECKS)}")
    if options.jobs < 1:
        raise UsageError(f"--jobs {options.jobs}: expected at least 1")
    losses = _losses(options.loss, options.like)
    asked = [*(options.framework or []), *losses] or None
    targets = _targets(asked) if earlier is None else [target.target for target in earlier.targets]
    folder = _folder(options.output)
    keyword = " or ".join(f"{check}-" for check in options.check or []) or options.keyword
    request = Request(
        targets=targets,
        profile=options.profile,
        seed=options.seed,
        keyword=keyword,
        expectations=_expectations(options.expectations),
        jobs=options.jobs,
        command=shlex.join(["lossconform", *given]),
        limits=limits,
        earlier={} if earlier is None else {target.target: target for target in earlier.targets},
        seconds=0.0 if earlier is None else earlier.timing.seconds,
    )
    screen = console.wide_enough(targets)
    with Stop(interrupt=False) as stop:
        with console.progress(screen) as watch:
            result = run(request, folder, watch, stop).model_copy(update={"selftest": assumptions(seed=options.seed)})
        write(result, folder / "run.json")
        write_page(result, folder / "report.html")
    console.summary(result, screen)
    screen.print(f"run file: {(folder / 'run.json').resolve()}", soft_wrap=True)
    screen.print(f"report:   {(folder / 'report.html').resolve()}", soft_wrap=True)
    return exit_code(result)


def _smoke(options: argparse.Namespace, given: list[str]) -> int:  # noqa: ARG001
    failed = False
    for target in _targets(_losses(options.loss, options.like)):
        framework = start(target)
        for function in framework.functions:
            outcomes = smoke(framework, function)
            print("\n".join([function.id, *lines_of(outcomes)]))  # noqa: T201
            failed = failed or any(outcome.problem for outcome in outcomes)
    return 1 if failed else 0


def _expectations(paths: list[str] | None) -> list[str]:
    """Return the files of known deviations, which can be read."""
    for path in paths or []:
        read_expectations(Path(path))
    return paths or []


def _limits(options: argparse.Namespace) -> Limits:
    # Not a number is not above 0.
    if not options.timeout > 0:
        raise UsageError(f"--timeout {options.timeout:g}: expected more than 0 seconds")
    if options.memory < 0:
        raise UsageError(f"--memory {options.memory}: expected MiB, or 0 for as much as there is")
    return Limits(timeout=options.timeout, memory=options.memory or None)


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


def _selftest(options: argparse.Namespace, given: list[str]) -> int:  # noqa: ARG001
    if options.jobs < 1:
        raise UsageError(f"--jobs {options.jobs}: expected at least 1")
    if options.kill:
        return 0 if kill(options.seed, options.jobs, partial(print, flush=True)) else 1
    found = assumptions(seed=options.seed)
    print("\n".join(table(found)))  # noqa: T201
    return 0 if all(a.ok for a in found) else 1


def _list(options: argparse.Namespace, given: list[str]) -> int:  # noqa: ARG001
    lines = {
        "targets": lambda: [
            f"{name:<18}{'installed' if not _missing(name) else 'not installed: ' + ', '.join(_missing(name))}"
            for name in [*TARGETS, *registered()]
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
