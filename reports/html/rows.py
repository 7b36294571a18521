"""The records of a run in the order in which a page lists them, each with its anchor."""

from __future__ import annotations

from dataclasses import dataclass

from lossconform.reports.model import Record, Run, Verdict


@dataclass(frozen=True)
class Row:
    """A record with its target and its place in the list."""

    number: int
    target: str
    record: Record

    @property
    def anchor(self) -> str:
        """The id of its row."""
        return f"r{self.number}"

    @property
    def detail(self) -> str | None:
        """The id of its account among the deviations; None if it is not one."""
        return f"d{self.number}" if self.record.verdict in DEVIATIONS else None


DEVIATIONS = (Verdict.CRASHED, Verdict.FAIL, Verdict.HAZARD, Verdict.KNOWN)
"""Verdicts that a page gives an account of."""


def rows(run: Run) -> list[Row]:
    """Return all records, those of one loss function and check together, in the order of the run's lists.

    Loss functions and checks that those lists do not name come after, as they are first seen.
    """
    checks = _places([check.id for check in run.checks], [r.check for t in run.targets for r in t.records])
    ordered = []
    for target in run.targets:
        functions = _places([f.id for f in target.functions], [r.loss_function for r in target.records])
        places = [(functions[record.loss_function], checks[record.check]) for record in target.records]
        # Sorted by place alone, so that records of one loss function and check keep the order of the run.
        order = sorted(range(len(places)), key=places.__getitem__)
        ordered += [(target.target, target.records[index]) for index in order]
    return [Row(number, name, record) for number, (name, record) in enumerate(ordered)]


def _places(listed: list[str], seen: list[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(dict.fromkeys([*listed, *seen]))}
