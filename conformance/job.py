"""A job: the process of one target as the runner sees it, through its journal and what the system says of it."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from lossconform.reports.journal import case_file
from lossconform.reports.model import TargetRun

START = 300.0
"""Seconds that a process may take before its first question and between two, whatever one question may take."""

LEAVE = 10.0
"""Seconds that a process may take to end once its journal has reached its end, or once it is interrupted: threads that
a loss function left behind keep it."""


@dataclass(frozen=True)
class Limits:
    """What a process may take.

    Attributes:
        timeout: seconds for one question.
        memory: MiB that it may hold; None for as much as there is.
    """

    timeout: float = 300.0
    memory: int | None = 16384


@dataclass(eq=False)
class Job:
    """The processes of one target, one after another: the next goes on where the last one ended.

    Attributes:
        kept: what is known of the target already, where there is nothing to ask.
        done: how many records there are.
        recorded: how many of them the present process wrote.
        finished: whether the journal has reached its end.
        problem: how the last process ended, if before its time; else empty.
        seconds: of all its processes.
    """

    target: str
    folder: Path
    kept: TargetRun | None = None
    process: subprocess.Popen[bytes] | None = None
    done: int = 0
    expected: int = 0
    recorded: int = 0
    finished: bool = False
    problem: str = ""
    seconds: float = 0.0
    _started: float = field(default=0.0, repr=False)
    _grown: float = field(default=0.0, repr=False)
    _asking: bool = field(default=False, repr=False)
    _lines: int = field(default=0, repr=False)
    _offset: int = field(default=0, repr=False)

    @property
    def name(self) -> str:
        """The target's name as a file may bear it; two targets have two."""
        safe = re.sub(r"[^A-Za-z0-9._-]", "-", self.target)
        return safe if safe == self.target else f"{safe}-{hashlib.sha256(self.target.encode()).hexdigest()[:8]}"

    @property
    def journal(self) -> Path:
        """Where its records go."""
        return self.folder / f"{self.name}.journal"

    @property
    def log(self) -> Path:
        """Where what it prints goes."""
        return self.folder / f"{self.name}.log"

    @property
    def begun(self) -> bool:
        """Whether the present process has written a line of its journal."""
        return self._lines > 0

    def begin(self, command: list[str], environment: dict[str, str]) -> None:
        """Start a process; what it prints comes after what the last one printed."""
        with self.log.open("wb" if self.process is None else "ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self._started = self._grown = time.perf_counter()
        self._lines = self.recorded = 0
        self._asking = False

    def count(self) -> None:
        """Read how far it is from what its journal has grown by."""
        try:
            with self.journal.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
        for line in lines:
            self._take(line)
        if lines:
            self._lines += len(lines)
            self._grown = time.perf_counter()

    def _take(self, line: bytes) -> None:
        if self._offset == 0:
            self.expected = _expected(line)
        self._offset += len(line)
        record = line.startswith(b'{"record":')
        self.done += record
        self.recorded += record
        self._asking = line.startswith(b'{"begin":')
        self.finished = self.finished or line.startswith(b'{"footer":')

    def over(self, limits: Limits) -> str:
        """Say which limit the process exceeds; empty if none."""
        waited = time.perf_counter() - self._grown
        if self._asking and waited > limits.timeout:
            return f"timed out after {limits.timeout:g} s"
        if not self.finished and waited > max(START, limits.timeout):
            return f"timed out after {max(START, limits.timeout):g} s without a question"
        held = self._memory()
        if limits.memory is not None and held > limits.memory:
            return f"out of memory: {held} MiB where {limits.memory} are allowed"
        return ""

    def lingers(self) -> bool:
        """Whether it has reached its end and does not go away."""
        return self.finished and time.perf_counter() - self._grown > LEAVE

    def _memory(self) -> int:
        """Return the MiB that the process holds; 0 where the system does not say."""
        assert self.process is not None  # noqa: S101 - begun
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_bytes().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def interrupt(self) -> None:
        """Ask the process to close its journal and end."""
        if self.process is not None and self.alive():
            self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the process and all that it started, which outlive one that crashed."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.wait()

    def rest(self) -> None:
        """Take in that the process has ended: how far it came, and how long it took."""
        self.count()
        self.seconds += time.perf_counter() - self._started

    def ended(self) -> str:
        """Say how the process ended."""
        code = None if self.process is None else self.process.poll()
        if code is None:
            return "not ended"
        return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"

    def clean(self) -> None:
        """Remove its journal and the case beside it."""
        self.journal.unlink(missing_ok=True)
        case_file(self.journal).unlink(missing_ok=True)


def _expected(header: bytes) -> int:
    _, _, rest = header.partition(b'"expected":')
    digits = rest.lstrip().split(b",", 1)[0]
    return int(digits) if digits.isdigit() else 0
