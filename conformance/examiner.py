"""What turns a record into pytest's outcome, and a failing record into what a person reads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from lossconform.adapters.base import LossFunction, Unsupported
from lossconform.adapters.generators import seeded
from lossconform.adapters.settings import Snapshot
from lossconform.checks.check import Question
from lossconform.crash import crashed, shown
from lossconform.examine import examine
from lossconform.expectations import Expectation
from lossconform.identify import identified
from lossconform.isolation import Misbehaved, Watched
from lossconform.profiles import Profile
from lossconform.reports.model import Record, Verdict, Witness


class Examiner:
    """Examines questions of one target for pytest."""

    def __init__(self, framework: Watched, expectations: list[Expectation], keep: Callable[[Record], None]) -> None:
        self.framework = framework
        self.expectations = expectations
        self.keep = keep
        self._known: dict[str, LossFunction] = {}
        self._unseeded: set[str] = set()

    def examine(self, question: Question) -> None:
        """Ask a question; pass, skip, xfail or fail as its record says."""
        record = self._record(question)
        self.keep(record)
        if record.verdict in (Verdict.FAIL, Verdict.HAZARD, Verdict.CRASHED):
            pytest.fail(explain(record, question), pytrace=False)
        if record.verdict is Verdict.KNOWN:
            pytest.xfail(f"known deviation {record.expectation}: {record.message}")
        if record.verdict in (Verdict.UNSUPPORTED, Verdict.NOT_RUN):
            pytest.skip(f"{record.verdict}: {record.message}")

    def _record(self, question: Question) -> Record:
        """Return the record of a question. Global state that changed meanwhile fails it, and is put back."""
        last = self.framework.last
        last.forget()
        before = Snapshot(self.framework.engine.state())
        try:
            if question.function.open:
                question = replace(question, function=self._identified(question.function, question.profile))
            record = examine(self.framework, question, self.expectations)
            seeds = [f"{name} was seeded" for name in self._seeded(question)]
        except Misbehaved as error:
            record, seeds = crashed(self.framework, question, last.case, str(error)), []
        changes = before.restore() + seeds
        if not changes or record.verdict is Verdict.CRASHED:
            return record
        message = f"changed global state: {'; '.join(changes)}"
        if record.verdict is Verdict.FAIL:
            # What else is wrong may come of the change.
            return record.model_copy(update={"message": f"{message}; {record.message}"})
        witness = shown(self.framework, question, last.case, "changed global state")
        update = {"verdict": Verdict.FAIL, "message": message, "witness": witness, "expectation": None}
        return record.model_copy(update=update)

    def _seeded(self, question: Question) -> list[str]:
        """Return the global generators that a loss function seeds; one that did not is not looked at again."""
        function, case = question.function, self.framework.last.case
        if case is None or function.id in self._unseeded:
            return []
        gradient = question.gradient

        def again() -> None:
            with suppress(Unsupported):
                self.framework.ask(function, case, mode=question.mode, gradient=gradient)

        found = seeded(self.framework.engine.generators(), again)
        if not found:
            self._unseeded.add(function.id)
        return found

    def _identified(self, function: LossFunction, profile: Profile) -> LossFunction:
        """Return a loss function whose open policies are identified, which is done once."""
        if function.id not in self._known:
            self._known[function.id] = identified(self.framework, function, profile)
        return self._known[function.id]


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
        lines += [f"where:    {witness.where}", f"got:      {witness.got}", f"wanted:   {witness.wanted}"]
    if witness.ulp is not None:
        bound = "" if witness.allowed is None else f"; allowed: {witness.allowed}"
        lines.append(f"distance: {witness.ulp:.4g} ULP{bound}")
    return [*lines, "reproduce it in the framework alone:", "", *_indented(witness.snippet)]


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.splitlines()]
