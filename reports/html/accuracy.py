"""Accuracy by loss function, dtype and regime: one table for each check that records regimes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lossconform.reports.html.rows import Row
from lossconform.reports.model import Cell, CheckInfo, Grade, Run

GRADES = list(Grade)


@dataclass(frozen=True)
class AccuracyLine:
    """One loss function in one dtype: for each regime the worst over the modes, None where it was not asked."""

    target: str
    function: str
    dtype: str
    anchor: str
    cells: list[Cell | None]


@dataclass(frozen=True)
class AccuracyTable:
    """One check of accuracy."""

    check: CheckInfo
    regimes: list[str]
    lines: list[AccuracyLine]

    @property
    def functions(self) -> list[tuple[str, list[AccuracyLine]]]:
        """The lines of each loss function of each target."""
        groups: dict[tuple[str, str], list[AccuracyLine]] = {}
        for line in self.lines:
            groups.setdefault((line.target, line.function), []).append(line)
        return [(function, lines) for (_, function), lines in groups.items()]


def accuracy(run: Run, rows: list[Row]) -> list[AccuracyTable]:
    """Return a table for each check whose records have regimes."""
    questions = {check.id: check for check in run.checks}
    by_check: dict[str, list[Row]] = {}
    for row in rows:
        if row.record.regimes:
            by_check.setdefault(row.record.check, []).append(row)
    return [_table(questions.get(name, CheckInfo(id=name, question="")), found) for name, found in by_check.items()]


def _table(check: CheckInfo, rows: list[Row]) -> AccuracyTable:
    regimes = list(dict.fromkeys(cell.regime for row in rows for cell in row.record.regimes))
    places: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        places.setdefault((row.target, row.record.loss_function, row.record.dtype), []).append(row)
    lines = []
    for place, found in places.items():
        cells = [cell for row in found for cell in row.record.regimes]
        pooled = [pool([cell for cell in cells if cell.regime == regime]) for regime in regimes]
        lines.append(AccuracyLine(*place, found[0].anchor, pooled))
    return AccuracyTable(check, regimes, lines)


def pool(cells: list[Cell]) -> Cell | None:
    """Return what several modes gave in one regime: the worst grade, the largest distance, all entries."""
    if not cells:
        return None
    grades = [cell.grade for cell in cells if cell.grade is not None]
    distances = [cell.max_ulp for cell in cells if cell.max_ulp is not None]
    return Cell(
        regime=cells[0].regime,
        cases=sum(cell.cases for cell in cells),
        entries=sum(cell.entries for cell in cells),
        grade=max(grades, key=GRADES.index, default=None),
        # NaN is no distance at all, which is worse than any.
        max_ulp=max(distances, key=lambda ulp: (math.isnan(ulp), ulp), default=None),
    )
