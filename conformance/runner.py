"""The runner: one pytest process a target, so that a crash takes no other target down, and one run made of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path

import lossconform
from lossconform.adapters import TargetError, describe
from lossconform.plan import check_infos, environment
from lossconform.reports.journal import JournalError, lost, recover
from lossconform.reports.model import Run, TargetRun, Timing

USAGE = 4
"""The exit code with which pytest says that it was asked for something that cannot be."""

POLL = 0.1


@dataclass(eq=False)
class Job:
    """The process of one target."""

    target: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    seconds: float = 0.0
    done: int = 0
    expected: int = 0
    _offset: int = field(default=0, repr=False)

    @property
    def journal(self) -> Path:
        """Where its records go."""
        return self.folder / f"{self.target}.journal"

    @property
    def log(self) -> Path:
        """Where what it prints goes."""
        return self.folder / f"{self.target}.log"

    def count(self) -> None:
        """Read how far it is from its journal."""
        try:
            with self.journal.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        if self._offset == 0 and whole:
            self.expected = _expected(whole.split(b"\n", 1)[0])
        self._offset += len(whole)
        self.done += whole.count(b'\n{"record":') + whole.startswith(b'{"record":')


def _expected(header: bytes) -> int:
    _, _, rest = header.partition(b'"expected":')
    digits = rest.lstrip().split(b",", 1)[0]
    return int(digits) if digits.isdigit() else 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run.

    Attributes:
        targets: in the order of the report.
        profile: how much to ask.
        seed: Hypothesis's.
        keyword: pytest's -k, to choose among the questions; empty for all.
        jobs: how many targets at once.
        command: how a person would ask for the same again.
    """

    targets: Sequence[str]
    profile: str
    seed: int
    keyword: str
    jobs: int
    command: str


def run(request: Request, folder: Path, watch: Callable[[Sequence[Job]], None]) -> Run:
    """Run the suite on every target and return what was seen.

    Args:
        request: what to run.
        folder: for journals and logs; exists.
        watch: called again and again with all jobs, to show how far they are.

    Raises:
        TargetError: a target does not import; the others are ended.
    """
    started = time.perf_counter()
    jobs = [Job(target, folder) for target in request.targets]
    interrupted = False
    with ExitStack() as stack:
        ini = stack.enter_context(as_file(files("lossconform.suite") / "pytest.ini"))
        stack.callback(_end, jobs)
        try:
            _work(request, jobs, ini, watch)
        except KeyboardInterrupt:
            interrupted = True
            _end(jobs)
    return Run(
        lossconform=lossconform.__version__,
        profile=request.profile,
        seed=request.seed,
        command=request.command,
        environment=environment(),
        checks=check_infos(),
        targets=[_recovered(job, interrupted) for job in jobs],
        timing=Timing(seconds=round(time.perf_counter() - started, 3)),
    )


def _work(request: Request, jobs: list[Job], ini: Path, watch: Callable[[Sequence[Job]], None]) -> None:
    # Those that compile in their usual mode take longest: started first, they do not run on alone at the end.
    waiting = sorted(jobs, key=lambda job: next(iter(describe(job.target).engine.modes)) == "eager")
    active: list[Job] = []
    while waiting or active:
        while waiting and len(active) < request.jobs:
            job = waiting.pop(0)
            _begin(job, request, ini)
            active.append(job)
        for job in list(active):
            assert job.process is not None  # noqa: S101 - begun
            code = job.process.poll()
            job.count()
            job.seconds = time.perf_counter() - job.started
            if code is not None:
                active.remove(job)
                if code == USAGE:
                    raise TargetError(_complaint(job))
        watch(jobs)
        time.sleep(POLL)


def _begin(job: Job, request: Request, ini: Path) -> None:
    job.journal.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ini), "--pyargs", "lossconform.suite"]
    command += ["--framework", job.target, "--profile", request.profile, "--hypothesis-seed", str(request.seed)]
    command += ["--journal", str(job.journal), "-p", "no:cacheprovider", "--tb=short"]
    command += ["-k", request.keyword] if request.keyword else []
    with job.log.open("wb") as log:
        job.process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            start_new_session=True,
        )
    job.started = time.perf_counter()


def _end(jobs: list[Job]) -> None:
    """End what still runs: an interrupt first, so that pytest can close its journal."""
    alive = [job.process for job in jobs if job.process is not None and job.process.poll() is None]
    for process in alive:
        process.send_signal(signal.SIGINT)
    for process in alive:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _complaint(job: Job) -> str:
    lines = [line for line in job.log.read_text("utf-8", "replace").splitlines() if line.startswith("ERROR: ")]
    return lines[0].removeprefix("ERROR: ") if lines else f"{job.target} could not be started; see {job.log}"


def _recovered(job: Job, interrupted: bool) -> TargetRun:
    detail = _how_it_ended(job)
    try:
        return recover(job.journal, interrupted=interrupted, detail=detail)
    except JournalError:
        return lost(job.target, f"it ended before its first check: {detail or 'nothing was asked'}; see {job.log.name}")


def _how_it_ended(job: Job) -> str:
    code = None if job.process is None else job.process.poll()
    if code is None:
        return "not started"
    if code < 0:
        return f"signal {-code} ({signal.Signals(-code).name})"
    return f"exit code {code}" if code > 1 else ""
