"""Findings: what the cases that a question was asked over have shown, taken in one look after another.

It asks nothing: that is `lossconform.examine`, which makes the record of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lossconform.checks.check import Question
from lossconform.expectations import Expectation
from lossconform.look import Look
from lossconform.reference.grades import Grade
from lossconform.reports.model import Cell
from lossconform.reports.model import Grade as GradeName


def hazard(question: Question, allowed: frozenset[str] | None) -> bool:
    """Whether policy values are all of those that accept nonsense in silence."""
    return bool(allowed) and (allowed or frozenset()) <= question.check.hazards


@dataclass(eq=False)
class Findings:
    """What the cases asked so far have shown."""

    question: Question
    expectations: list[Expectation]
    cases: int = 0
    telling: int = 0
    worst: Grade | None = None
    ulp: float | None = None
    failure: Look | None = None
    shown: Look | None = None
    known: list[Expectation] = field(default_factory=list)
    covered: Look | None = None
    allowed: frozenset[str] | None = None
    excused: bool = True
    cells: dict[str, Cell] = field(default_factory=dict)

    def note(self, seen: Look) -> bool:
        """Take in a look; return whether it is a deviation that no expectation covers."""
        self.cases += 1
        self.telling += seen.telling
        if self.shown is None and seen.telling:
            self.shown = seen
        judgement = seen.judgement
        if judgement.grade is not None and (self.worst is None or judgement.grade > self.worst):
            self.worst = judgement.grade
        if judgement.ulp is not None:
            self.ulp = max(self.ulp or 0.0, judgement.ulp)
        covering = next((e for e in self.expectations if e.covers(seen.case, judgement)), None)
        shows = not judgement.ok or hazard(self.question, seen.allowed)
        if shows and covering is not None and covering not in self.known:
            self.known.append(covering)
            self.covered = self.covered or seen
        if judgement.ok or covering is None:
            if seen.allowed is not None and seen.telling:
                self.allowed = seen.allowed if self.allowed is None else self.allowed & seen.allowed
                self.excused = self.excused and covering is not None
            return not judgement.ok
        return False

    @property
    def hazard(self) -> bool:
        """Whether nonsense is accepted in silence, and no expectation says so."""
        return hazard(self.question, self.allowed) and not self.excused

    def cell(self, regime: str, seen: Look) -> None:
        """Add a look to its regime."""
        old = self.cells.get(regime, Cell(regime=regime, cases=0, entries=0))
        judgement = seen.judgement
        seen_grades = [] if judgement.grade is None else [GradeName(judgement.grade.label)]
        order = list(GradeName)
        grade = max([*([] if old.grade is None else [old.grade]), *seen_grades], key=order.index, default=None)
        ulps = [u for u in (old.max_ulp, judgement.ulp) if u is not None]
        self.cells[regime] = Cell(
            regime=regime,
            cases=old.cases + 1,
            entries=old.entries + judgement.entries,
            grade=grade,
            max_ulp=max(ulps) if ulps else None,
        )
