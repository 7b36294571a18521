"""The pytest plugin: options, the questions as tests, and the run file.

Without `--framework` it does nothing, so it is harmless to have installed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lossconform
from lossconform.adapters import TARGETS, TargetError, describe, start, versions
from lossconform.checks.check import Question as Asked
from lossconform.examiner import Examiner
from lossconform.expectations import ExpectationError, load
from lossconform.isolation import LastCase, Watched
from lossconform.plan import check_infos, environment, expectation_infos, function_infos, questions
from lossconform.profiles import PROFILES
from lossconform.reports.journal import Header, Journal, JournalError, case_file, recover
from lossconform.reports.model import Question, Record, Run, Timing
from lossconform.reports.runfile import RunFileError, write
from lossconform.stop import Stop

RECORD = "lossconform record"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a conformance run."""
    group = parser.getgroup("lossconform", "conformance of loss functions")
    group.addoption("--framework", metavar="TARGET", help=f"what to test: one of {', '.join(TARGETS)}, or package:name")
    group.addoption("--profile", default="quick", help=f"how much to ask: one of {', '.join(PROFILES)}; default quick")
    group.addoption(
        "--expectations",
        action="append",
        metavar="PATH",
        help="a file of known deviations of your own; may be repeated",
    )
    group.addoption("--run-file", metavar="PATH", help="where to write the run file; without it none is written")
    group.addoption(
        "--journal", metavar="PATH", help="where to write records as they come; by default beside the run file"
    )
    group.addoption(
        "--go-on", action="store_true", help="go on with the journal that is there: ask what has no record in it"
    )


def _worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _distributes(config: pytest.Config) -> bool:
    """Whether this process hands its tests to workers."""
    return not _worker(config) and bool(config.getoption("numprocesses", None))


def pytest_configure(config: pytest.Config) -> None:
    """Start the target, if one is asked for."""
    target = config.getoption("--framework")
    if target is None:
        return
    profile = config.getoption("--profile")
    if profile not in PROFILES:
        raise pytest.UsageError(f"unknown profile {profile!r}: expected one of {', '.join(PROFILES)}")
    try:
        framework = describe(target) if _distributes(config) else start(target)
        session = Conformance(config, framework, PROFILES[profile])
    except (TargetError, ExpectationError) as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(session, "lossconform-session")
    if not _worker(config):
        session.stop.__enter__()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each question of the module's group."""
    if "question" not in metafunc.fixturenames or not hasattr(metafunc.module, "GROUP"):
        return
    session = metafunc.config.pluginmanager.get_plugin("lossconform-session")
    if session is None:
        pytest.exit(f"lossconform.suite needs --framework: one of {', '.join(TARGETS)}", returncode=2)
    asked = questions(session.framework, session.profile, metafunc.module.GROUP)
    metafunc.parametrize("question", asked, ids=[q.id for q in asked])


class Conformance:
    """One target's run within a pytest session: it starts the journal, keeps the records and writes the run file."""

    def __init__(self, config: pytest.Config, framework: Any, profile: Any) -> None:
        self.config = config
        self.framework = framework
        self.profile = profile
        self.expectations = load(framework.target, [Path(path) for path in config.getoption("--expectations") or []])
        path = config.getoption("--run-file")
        self.run_file = None if path is None else Path(path)
        journal = config.getoption("--journal")
        if journal is None and self.run_file is not None:
            journal = self.run_file.with_name(self.run_file.name + ".journal")
        self.journal_path = None if journal is None or _worker(config) else Path(journal)
        self.journal: Journal | None = None
        self.last = LastCase()
        self.stop = Stop(interrupt=True)
        self._examiner: Examiner | None = None
        self.record: Record | None = None
        self.started = time.perf_counter()
        self.began = datetime.now(UTC).isoformat(timespec="seconds")

    @pytest.fixture
    def examiner(self) -> Examiner:
        """What asks a question in this session: one, because it keeps what it has identified."""
        if self._examiner is None:
            watched = Watched.of(self.framework, self.last, self.stop)
            self._examiner = Examiner(watched, self.expectations, self._keep)
        return self._examiner

    def _keep(self, record: Record) -> None:
        self.record = record

    def _open(self, plan: list[Question], expected: int) -> None:
        if self.journal_path is None or self.journal is not None:
            return
        try:
            if self.config.getoption("--go-on"):
                self.journal = Journal.resume(self.journal_path)
                self.journal.plan(plan)
            else:
                self.journal = Journal.open(self.journal_path, self._header(plan, expected))
            self.last = LastCase(case_file(self.journal_path))
        except (JournalError, OSError) as error:
            raise pytest.UsageError(str(error)) from None

    def _header(self, plan: list[Question], expected: int) -> Header:
        return Header(
            target=self.framework.target,
            versions={name: version or "unknown" for name, version in versions(self.framework).items()},
            modes=dict(self.framework.engine.modes),
            expected=expected,
            functions=function_infos(self.framework),
            expectations=expectation_infos(self.expectations),
            plan=plan,
            timing=Timing(started=self.began),
        )

    # Last, so that it sees what -k has left.
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Drop what pytest collects for a group of checks in which a target has no question, and what is answered."""
        items[:] = [item for item in items if not hasattr(item, "callspec") or not _empty(item)]
        if self.config.getoption("--go-on"):
            self._plan(items)
            answered = frozenset() if self.journal is None else self.journal.answered
            done = [item for item in items if _asks(item) and _name(item).id in answered]
            items[:] = [item for item in items if item not in set(done)]
            self.config.hook.pytest_deselected(items=done)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down what is to be asked."""
        self._plan(session.items)

    def _plan(self, items: list[pytest.Item]) -> None:
        plan = [_name(item) for item in items if _asks(item)]
        if plan and not _distributes(self.config):
            self._open(plan, len(plan))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Write down how much the workers are to ask: each collects the same."""
        known = {q.id for q in questions(self.framework, self.profile)}
        self._open([], sum(name.partition("[")[2].removesuffix("]") in known for name in ids))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Send the record along with the report, to wherever the journal is."""
        if self.journal is not None and _asks(item):
            self.journal.begin(_name(item))
        self.record = None
        try:
            return (yield)
        finally:
            self._send(item)

    def _send(self, item: pytest.Item) -> None:
        if self.record is not None:
            item.user_properties.append((RECORD, self.record.model_dump_json()))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the record of a test that was called."""
        if report.when != "call" or self.journal is None:
            return
        for name, text in report.user_properties:
            if name == RECORD:
                self.journal.append(Record.model_validate(json.loads(str(text))))

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Close the journal and write the run file."""
        self.stop.interrupt = False  # what is saved from here on is not to be cut short
        self.last.close()
        if self.journal is None or self.journal_path is None:
            return
        interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        if interrupted:
            self.journal.abandon()
        else:
            seconds = round(time.perf_counter() - self.started, 3)
            self.journal.close(Timing(started=self.began, seconds=seconds, peak_mib=_peak()))
        if self.run_file is not None:
            self._write(interrupted)

    def _write(self, interrupted: bool) -> None:
        assert self.journal_path is not None and self.run_file is not None  # noqa: S101, PT018 - checked by the caller
        target = recover(self.journal_path, interrupted=interrupted)
        run = Run(
            lossconform=lossconform.__version__,
            profile=self.profile.name,
            seed=int(self.config.getoption("hypothesis_seed", None) or 0),
            command="pytest " + " ".join(self.config.invocation_params.args),
            environment=environment(),
            checks=check_infos(),
            targets=[target],
            timing=target.timing,
        )
        try:
            write(run, self.run_file)
        except RunFileError as error:
            raise pytest.UsageError(str(error)) from None
        self.journal_path.unlink(missing_ok=True)
        case_file(self.journal_path).unlink(missing_ok=True)

    def pytest_unconfigure(self) -> None:
        """Stop listening for signals."""
        self.stop.__exit__()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many questions were answered how."""
        if self.run_file is not None and self.run_file.exists():
            terminalreporter.write_line(f"lossconform: run file {self.run_file}")


def _peak() -> float | None:
    """Return the most memory this process has held, in MiB, where the platform says."""
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _asks(item: pytest.Item) -> bool:
    return hasattr(item, "callspec") and isinstance(item.callspec.params.get("question"), Asked)


def _name(item: pytest.Item) -> Question:
    q = item.callspec.params["question"]  # type: ignore[attr-defined]
    return Question(loss_function=q.function.id, check=q.check.id, dtype=q.dtype, mode=q.mode)


def _empty(item: pytest.Item) -> bool:
    return "question" in item.callspec.params and not _asks(item)  # type: ignore[attr-defined]
