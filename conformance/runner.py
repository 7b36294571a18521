"""The runner: one pytest process a target, so that a crash takes no other target down, and one run made of them.

A process that ends before its time, or that exceeds a limit, is started again for the questions that are left, after
the question that it ended within has its record.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import lossconform
from lossconform.adapters import TargetError, describe
from lossconform.crash import of_process
from lossconform.job import LEAVE, Job, Limits
from lossconform.plan import check_infos, environment, questions
from lossconform.profiles import PROFILES
from lossconform.reports.journal import Journal, JournalError, case_file, lost, open_questions, recover
from lossconform.reports.model import Question, Record, Run, TargetRun, Timing, Verdict
from lossconform.stop import Stop

# There is none on Windows.
fcntl: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None

USAGE, NOTHING = 4, 5
"""The exit codes with which pytest says that it was asked for something that cannot be, and that nothing was chosen."""

POLL = 0.5
"""Seconds between two looks at the processes."""

ENOUGH = 5
"""How many questions in a row a loss function may end its process in. Each costs a start, or a time limit."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run.

    Attributes:
        targets: in the order of the report.
        profile: how much to ask.
        seed: Hypothesis's.
        keyword: pytest's -k, to choose among the questions; empty for all.
        expectations: files of known deviations besides those that come with lossconform.
        jobs: how many targets at once.
        command: how a person would ask for the same again.
        limits: what each process may take.
        earlier: what an earlier run saw of targets: only what has no record, or crashed, is asked.
        seconds: that the earlier run took.
    """

    targets: Sequence[str]
    profile: str
    seed: int
    keyword: str
    expectations: Sequence[str] = ()
    jobs: int
    command: str
    limits: Limits = field(default_factory=Limits)
    earlier: Mapping[str, TargetRun] = field(default_factory=dict)
    seconds: float = 0.0


def run(request: Request, folder: Path, watch: Callable[[Iterable[Job]], None], stop: Stop) -> Run:
    """Run the suite on every target and return what was seen.

    Args:
        request: what to run.
        folder: for journals and logs; exists.
        watch: called again and again with the jobs that are under way, to show how far they are.
        stop: what asks the run to end, with everything seen so far.

    Raises:
        TargetError: a target does not import; the others are ended. Another run is writing to the folder.
    """
    started = time.perf_counter()
    with alone(folder):
        return _run(request, folder, watch, stop, started)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other runs from a folder, whose journals would be taken for this one's, where the system can."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise TargetError(f"--output {folder}: another run is writing there; wait for it, or choose another") from None
    finally:
        os.close(handle)


def _run(request: Request, folder: Path, watch: Callable[[Iterable[Job]], None], stop: Stop, started: float) -> Run:
    jobs = [_prepared(target, request, folder) for target in request.targets]
    with ExitStack() as stack:
        ini = stack.enter_context(as_file(files("lossconform.suite") / "pytest.ini"))
        stack.callback(_end, jobs)
        _work(request, jobs, ini, watch, stop)
        _end(jobs)
    targets = [_recovered(job, request, stop.asked) for job in jobs]
    for job in jobs:
        job.clean()
    return Run(
        lossconform=lossconform.__version__,
        profile=request.profile,
        seed=request.seed,
        command=request.command,
        environment=environment(),
        checks=check_infos(),
        targets=targets,
        timing=Timing(seconds=round(request.seconds + time.perf_counter() - started, 3)),
    )


def _prepared(target: str, request: Request, folder: Path) -> Job:
    """Return the job of a target, with the journal that it goes on with where it was begun earlier."""
    job = Job(target, folder)
    job.clean()
    earlier = request.earlier.get(target)
    if earlier is None or not earlier.versions:
        return job
    if not earlier.missing and all(record.verdict is not Verdict.CRASHED for record in earlier.records):
        job.kept = earlier
        return job
    Journal.again(job.journal, earlier).abandon()
    job.count()
    job.seconds = earlier.timing.seconds
    return job


def _work(request: Request, jobs: list[Job], ini: Path, watch: Callable[[Iterable[Job]], None], stop: Stop) -> None:
    # The longest first, so that they do not run on alone at the end.
    waiting = sorted((job for job in jobs if job.kept is None), key=lambda job: _length(job.target, request))
    active: list[Job] = []
    while (waiting or active) and not stop.asked:
        while waiting and len(active) < request.jobs:
            active.append(waiting.pop(0))
            _begin(active[-1], request, ini)
        before = list(active)
        active = [job for job in before if _goes_on(job, request, ini)]
        watch(before)
        if active:
            time.sleep(POLL)


def _length(target: str, request: Request) -> tuple[bool, int]:
    """Return what sorts targets by how long they take: those that compile in their usual mode, then by questions."""
    framework = describe(target)
    return next(iter(framework.engine.modes)) == "eager", -len(questions(framework, PROFILES[request.profile]))


def _begin(job: Job, request: Request, ini: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ini), "--pyargs", "lossconform.suite"]
    command += ["--framework", job.target, "--profile", request.profile, "--hypothesis-seed", str(request.seed)]
    command += ["--journal", str(job.journal), "-p", "no:cacheprovider", "--tb=short"]
    command += ["-k", request.keyword] if request.keyword else []
    command += [word for path in request.expectations for word in ("--expectations", path)]
    command += ["--go-on"] if job.journal.exists() else []
    job.begin(command, {**os.environ, "PYTHONHASHSEED": "0"})


def _goes_on(job: Job, request: Request, ini: Path) -> bool:
    """Look after a job; return whether it goes on, with this process or the next one."""
    job.count()
    problem = job.over(request.limits)
    if not problem and not job.lingers() and job.alive():
        return True
    assert job.process is not None  # noqa: S101 - begun
    ended = job.process.poll()
    job.kill()
    job.rest()
    if job.finished:
        return False
    if ended == USAGE and not job.begun and not job.done:
        raise TargetError(_complaint(job))
    job.problem = problem or (f"-k {request.keyword!r} chooses none" if ended == NOTHING else job.ended())
    try:
        again = _laid(job, request)
    except JournalError:
        return False
    if again:
        _begin(job, request, ini)
    return again


def _laid(job: Job, request: Request) -> bool:
    """Lay the end of a process at the door of the question it was in; return whether there is something left to ask."""
    asked, left = open_questions(job.journal)
    if asked is None:
        # It ended between two questions. The next one is no wiser, unless this one came further than the last.
        return job.recorded > 0 and bool(left)
    message = job.problem
    if message.startswith(("signal", "exit code")):
        message = f"the process ended during this check: {message}"
    record = of_process(job.target, request.profile, asked, case_file(job.journal), message)
    journal = Journal.resume(job.journal)
    journal.append(record)
    left = [question for question in left if question.id != asked.id]
    if _row(job.journal, asked) >= ENOUGH:
        given_up = [question for question in left if question.loss_function == asked.loss_function]
        for question in given_up:
            journal.append(_not_asked(question))
        left = [question for question in left if question not in given_up]
    if left:
        journal.abandon()
    else:
        journal.close()
    job.count()
    return bool(left)


def _row(journal: Path, asked: Question) -> int:
    """Return how many of a loss function's last questions in a row ended its process."""
    row = 0
    for record in recover(journal, interrupted=True).records:
        if record.loss_function == asked.loss_function:
            row = row + 1 if record.verdict is Verdict.CRASHED else 0
    return row


def _not_asked(question: Question) -> Record:
    message = f"not asked: {question.loss_function} ended its process in {ENOUGH} questions in a row"
    return Record(**question.model_dump(), verdict=Verdict.CRASHED, message=message)


def _end(jobs: list[Job]) -> None:
    """End what still runs: an interrupt first, so that pytest can close its journal."""
    alive = [job for job in jobs if job.alive()]
    for job in alive:
        job.interrupt()
    until = time.perf_counter() + LEAVE
    for job in alive:
        while job.alive() and time.perf_counter() < until:
            time.sleep(POLL / 5)
        job.kill()
        job.rest()


def _complaint(job: Job) -> str:
    lines = [line for line in job.log.read_text("utf-8", "replace").splitlines() if line.startswith("ERROR: ")]
    return lines[0].removeprefix("ERROR: ") if lines else f"{job.target} could not be started; see {job.log}"


def _recovered(job: Job, request: Request, interrupted: bool) -> TargetRun:
    """Return what is known of a target at the end of the run."""
    if job.kept is not None:
        return job.kept
    detail = "" if interrupted else job.problem
    try:
        found = recover(job.journal, interrupted=interrupted, detail=detail)
    except JournalError:
        if interrupted:
            return request.earlier.get(job.target) or lost(
                job.target, "interrupted before its first check", interrupted=True
            )
        ended = job.problem or "nothing was asked"
        if request.keyword and ended.startswith("-k "):
            return lost(job.target, f"{ended} of its questions")
        return lost(job.target, f"it ended before its first check: {ended}; see {job.log.name}")
    return found.model_copy(update={"timing": found.timing.model_copy(update={"seconds": round(job.seconds, 3)})})
