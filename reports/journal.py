"""The journal: what one target's process writes as it goes, so that a crash loses nothing.

JSON lines: a header, then one line for each question begun and each record, then a footer. A journal without a footer
is that of a process that did not reach its end; another process can go on with it. It is not the run file, which is
made from it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, ValidationError, model_validator

from lossconform.reports.atomic import reason
from lossconform.reports.model import (
    ExpectationInfo,
    FunctionInfo,
    Model,
    Question,
    Record,
    Status,
    TargetRun,
    Timing,
    Verdict,
)
from lossconform.reports.runfile import field_error


class JournalError(Exception):
    """A journal cannot be written, or nothing can be recovered from it; the message is one line."""


class Header(Model):
    """What is known of a target before its first record.

    Attributes:
        expected: how many questions are to be answered.
        plan: which ones; empty where only their number is known.
    """

    kind: Literal["lossconform journal"] = "lossconform journal"
    schema_version: Literal[1] = 1
    target: str
    versions: dict[str, str]
    modes: dict[str, str]
    expected: NonNegativeInt
    functions: list[FunctionInfo]
    expectations: list[ExpectationInfo] = Field(default_factory=list)
    plan: list[Question] = Field(default_factory=list)
    timing: Timing = Field(default_factory=Timing)

    @model_validator(mode="after")
    def _plan_as_expected(self) -> Header:
        if self.plan and len(self.plan) != self.expected:
            raise ValueError(f"the plan has {len(self.plan)} questions; expected {self.expected}")
        return self


class _Line(Model):
    """Any line but the first: one of the four is there."""

    plan: list[Question] | None = None
    begin: Question | None = None
    record: Record | None = None
    footer: Timing | None = None


class Journal:
    """An open journal. Each line reaches the operating system before the call returns.

    As a context manager it writes the footer only when the block ends without an exception.
    """

    def __init__(self, path: str | Path, header: Header | None) -> None:
        self._path = Path(path)
        self._seen: set[str] = set()
        # What a loss function forks must not write as if it were this process.
        self._process = os.getpid()
        try:
            self._file = self._path.open("ab" if header is None else "wb")
        except OSError as error:
            raise JournalError(f"{path}: cannot be written: {reason(error)}") from error
        if header is not None:
            self._write(header)

    @classmethod
    def open(cls, path: str | Path, header: Header) -> Journal:
        """Begin a journal, in place of any that was there. Raises `JournalError` if it cannot be written."""
        return cls(path, header)

    @classmethod
    def resume(cls, path: str | Path) -> Journal:
        """Go on with a journal that has no footer; a last line that was cut short is removed.

        Raises:
            JournalError: it is not there, is not a journal, has a footer or cannot be written.
        """
        _, lines = _parse(Path(path))
        if any(line.footer is not None for line in lines):
            raise JournalError(f"{path}: it has reached its end")
        journal = cls(path, None)
        data = journal._path.read_bytes()
        os.truncate(journal._path, data.rfind(b"\n") + 1)
        journal._seen = {line.record.id for line in lines if line.record is not None}
        return journal

    @classmethod
    def again(cls, path: str | Path, target: TargetRun) -> Journal:
        """Begin a journal with what a run file holds of a target, but for the records of what crashed."""
        known = [*target.records, *target.missing]
        header = Header(
            target=target.target,
            versions=target.versions,
            modes=target.modes,
            expected=target.expected,
            functions=target.functions,
            expectations=target.expectations,
            plan=[_question(one) for one in known] if len(known) == target.expected else [],
            timing=Timing(started=target.timing.started),
        )
        journal = cls(path, header)
        for record in target.records:
            if record.verdict is not Verdict.CRASHED:
                journal.append(record)
        return journal

    @property
    def answered(self) -> frozenset[str]:
        """The ids of the questions that have a record."""
        return frozenset(self._seen)

    def plan(self, questions: list[Question]) -> None:
        """Note all that is to be answered, in order, in place of what the header says of it."""
        self._write(_Line(plan=questions))

    def begin(self, question: Question) -> None:
        """Note that a question is about to be asked, so that a crash can be laid at its door."""
        self._write(_Line(begin=question))

    def append(self, record: Record) -> None:
        """Add a record. Raises `JournalError` for a second one of the same id."""
        if record.id in self._seen:
            raise JournalError(f"{self._path}: record {record.id} is there twice")
        self._seen.add(record.id)
        self._write(_Line(record=record))

    def close(self, timing: Timing | None = None) -> None:
        """Write the footer, which says that the process reached its end, and close. A second call does nothing."""
        if not self._file.closed:
            self._write(_Line(footer=timing or Timing()))
            self._file.close()

    def abandon(self) -> None:
        """Close without a footer: the records so far stay, and the target is not complete."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _write(self, line: Model) -> None:
        if os.getpid() != self._process:
            return
        text = line.model_dump_json(exclude_none=isinstance(line, _Line))
        try:
            self._file.write(text.encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise JournalError(f"{self._path}: cannot be written: {reason(error)}") from error


def recover(path: str | Path, *, interrupted: bool = False, detail: str = "") -> TargetRun:
    """Return what a journal holds: complete with a footer; without one, crashed (or interrupted).

    A last line that was cut short is dropped. If the process crashed within a question that it had begun, that
    question gets a record with the verdict crashed.

    Args:
        path: the journal.
        interrupted: a person or a time limit ended the process.
        detail: what is known of its end, such as 'signal 11 (SIGSEGV)'.

    Raises:
        JournalError: there is no header, or a line within is not a journal's.
    """
    header, lines = _parse(Path(path))
    plan = _planned(header, lines)
    records = [line.record for line in lines if line.record is not None]
    footer = next((line.footer for line in lines if line.footer is not None), None)
    text = ""
    if footer is not None:
        status = Status.COMPLETE
    else:
        status = Status.INTERRUPTED if interrupted else Status.CRASHED
        under_way = lines[-1].begin if lines else None
        if under_way is not None and status is Status.CRASHED:
            records.append(_crashed(under_way, detail))
        text = _account(header, status, len(records), under_way, detail)
    # What is asked again later stands where it would have stood.
    place = {question.id: number for number, question in enumerate(plan)}
    records.sort(key=lambda record: place.get(record.id, len(place)))
    answered = {record.id for record in records}
    started = header.timing.started
    try:
        return TargetRun(
            target=header.target,
            status=status,
            detail=text,
            versions=header.versions,
            modes=header.modes,
            expected=len(plan) or header.expected,
            functions=header.functions,
            expectations=header.expectations,
            records=records,
            missing=[question for question in plan if question.id not in answered],
            timing=footer.model_copy(update={"started": footer.started or started}) if footer else header.timing,
        )
    except ValidationError as error:
        raise JournalError(f"{path}: {field_error(error)}") from error


def case_file(path: Path) -> Path:
    """Return where the case that is asked last is kept beside a journal."""
    return path.with_name(f"{path.name}.case")


def open_questions(path: str | Path) -> tuple[Question | None, list[Question]]:
    """Return the question that a journal ends within, if it does, and all that are planned and have no record.

    Raises:
        JournalError: there is no header, or a line within is not a journal's.
    """
    header, lines = _parse(Path(path))
    answered = {line.record.id for line in lines if line.record is not None}
    left = [question for question in _planned(header, lines) if question.id not in answered]
    return (lines[-1].begin if lines else None), left


def lost(target: str, detail: str, *, interrupted: bool = False) -> TargetRun:
    """Return a target of which nothing is known but its name: its process ended before its journal had a header."""
    return TargetRun(
        target=target,
        status=Status.INTERRUPTED if interrupted else Status.CRASHED,
        detail=detail,
        versions={},
        modes={},
        expected=0,
        functions=[],
        records=[],
    )


def _parse(path: Path) -> tuple[Header, list[_Line]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise JournalError(f"{path}: there is no such file") from None
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {reason(error)}") from error
    first, *rest = data.split(b"\n")
    try:
        header = Header.model_validate(json.loads(first))
    except ValidationError as error:
        raise JournalError(f"{path}: not a journal: {field_error(error)}") from error
    except (ValueError, RecursionError) as error:
        raise JournalError(f"{path}: not a journal: it has no header") from error
    lines: list[_Line] = []
    # After the last newline lies nothing, or a line that was cut short: either way it is not a line.
    for number, line in enumerate(rest[:-1], start=2):
        try:
            lines.append(_Line.model_validate(json.loads(line)))
        except ValidationError as error:
            raise JournalError(f"{path}: line {number}: {field_error(error)}") from error
        except (ValueError, RecursionError) as error:
            raise JournalError(f"{path}: line {number}: not JSON") from error
        if len(lines) > 1 and lines[-2].footer is not None:
            raise JournalError(f"{path}: line {number}: there is more after the footer")
    return header, lines


def _planned(header: Header, lines: list[_Line]) -> list[Question]:
    return next((line.plan for line in reversed(lines) if line.plan is not None), header.plan)


def _question(one: Question) -> Question:
    return Question(loss_function=one.loss_function, check=one.check, dtype=one.dtype, mode=one.mode)


def _crashed(question: Question, detail: str) -> Record:
    message = "the process ended during this check" + (f": {detail}" if detail else "")
    return Record(**question.model_dump(), verdict=Verdict.CRASHED, message=message)


def _account(header: Header, status: Status, records: int, under_way: Question | None, detail: str) -> str:
    text = f"{status}"
    if under_way is not None:
        text += f" during {under_way.id}"
    missing = max(header.expected - records, 0)
    text += f" with {records:,} of {header.expected:,} records: {missing:,} missing"
    return text + (f" ({detail})" if detail else "")
