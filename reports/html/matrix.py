"""Loss functions against checks: the worst verdict over dtypes and modes, with its share of the records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lossconform.reports import score
from lossconform.reports.html.rows import Row
from lossconform.reports.model import CheckInfo, Run, Verdict


@dataclass(frozen=True)
class Cell:
    """One loss function and one check: `count` of `total` expected records have the worst verdict.

    Attributes:
        verdict: None if a crash or an interruption left no record at all.
        anchor: the first of these records, or the list of what is missing.
    """

    verdict: Verdict | None
    count: int
    total: int
    anchor: str


@dataclass(frozen=True)
class Line:
    """One loss function: a cell for each check, None where it was not to be asked."""

    function: str
    url: str | None
    tally: score.Tally
    cells: list[Cell | None]


@dataclass(frozen=True)
class Matrix:
    """The checks that have records, the lines of each target, and the tally of each check."""

    checks: list[CheckInfo]
    groups: list[tuple[str, list[Line]]]
    totals: list[score.Tally]


def matrix(run: Run, rows: list[Row]) -> Matrix:
    """Return the matrix of a run; checks that no loss function was asked are left out."""
    tallies = {name: tally for name, tally in score.by_check(run).items() if tally.expected}
    questions = {check.id: check.question for check in run.checks}
    places: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        places.setdefault((row.target, row.record.loss_function, row.record.check), []).append(row)
    missing = Counter((t.target, q.loss_function, q.check) for t in run.targets for q in t.missing)
    urls = {(t.target, f.id): f.url for t in run.targets for f in t.functions}
    groups: dict[str, list[Line]] = {target.target: [] for target in run.targets}
    for (target, function), tally in score.by_function(run).items():
        keys = [(target, function, check) for check in tallies]
        cells = [_cell(target, places.get(key, []), missing[key]) for key in keys]
        groups[target].append(Line(function, urls.get((target, function)), tally, cells))
    return Matrix(
        checks=[CheckInfo(id=name, question=questions.get(name, "")) for name in tallies],
        groups=list(groups.items()),
        totals=list(tallies.values()),
    )


def _cell(target: str, rows: list[Row], missing: int) -> Cell | None:
    if not rows:
        return Cell(None, missing, missing, f"missing-{target}") if missing else None
    verdict = score.worst(row.record.verdict for row in rows)
    alike = [row for row in rows if row.record.verdict is verdict]
    return Cell(verdict, len(alike), len(rows) + missing, alike[0].anchor)
