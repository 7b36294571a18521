"""What turns a record into pytest's outcome, and a failing record into what a person reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lossconform.adapters.base import Framework
from lossconform.checks.check import Question
from lossconform.examine import examine
from lossconform.expectations import Expectation
from lossconform.reports.model import Record, Verdict, Witness


class Examiner:
    """Examines questions of one target for pytest."""

    def __init__(self, framework: Framework, expectations: list[Expectation], keep: Callable[[Record], None]) -> None:
        self.framework = framework
        self.expectations = expectations
        self.keep = keep

    def examine(self, question: Question) -> None:
        """Ask a question; pass, skip, xfail or fail as its record says."""
        record = examine(self.framework, question, self.expectations)
        self.keep(record)
        if record.verdict is Verdict.FAIL:
            pytest.fail(explain(record, question), pytrace=False)
        if record.verdict is Verdict.KNOWN:
            pytest.xfail(f"known deviation {record.expectation}: {record.message}")
        if record.verdict in (Verdict.UNSUPPORTED, Verdict.NOT_RUN):
            pytest.skip(f"{record.verdict}: {record.message}")


def explain(record: Record, question: Question) -> str:
    """Return what a person needs of a failing record: what is wrong, the case, the distance, a program."""
    lines = [
        f"{record.loss_function} fails {record.check} ({record.dtype}, {record.mode})",
        f"question: {question.check.question}",
        f"finding:  {record.message}",
        f"cases:    {record.cases} asked, {record.telling} telling",
    ]
    if record.witness is not None:
        lines += _witness(record.witness)
    return "\n".join(lines)


def _witness(witness: Witness) -> list[str]:
    lines = []
    if witness.where is not None:
        lines += [
            f"where:    {witness.where}",
            f"got:      {witness.got}",
            f"wanted:   {witness.wanted}",
            f"distance: {witness.ulp:.4g} ULP; allowed: {witness.allowed}" if witness.ulp is not None else "",
        ]
    return [*lines, "reproduce it in the framework alone:", "", *_indented(witness.snippet)]


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.splitlines()]
