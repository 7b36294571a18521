"""Every deviation of a run: what nobody expected first, then what is known, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from lossconform.reports.html.rows import Row
from lossconform.reports.model import CheckInfo, ExpectationInfo, Run, Verdict

UNEXPECTED = (Verdict.CRASHED, Verdict.FAIL, Verdict.HAZARD)


@dataclass(frozen=True)
class Deviation:
    """Records that deviate in the same check, with the expectation that covers them, if one does.

    Attributes:
        rows: the records that deviate, one for each dtype and mode.
        total: how many records of the same loss functions and check were expected.
        source: the documentation of the loss function, where there is only one.
    """

    target: str
    functions: list[str]
    check: CheckInfo
    rows: list[Row]
    total: int
    expectation: ExpectationInfo | None
    source: str | None
    url: str | None


def unexpected(run: Run, rows: list[Row]) -> list[Deviation]:
    """Return what failed, is a hazard or crashed, by target, loss function and check."""
    found = [row for row in rows if row.record.verdict in UNEXPECTED]
    return _grouped(run, rows, found, lambda row: (row.target, row.record.loss_function, row.record.check))


def known(run: Run, rows: list[Row]) -> list[Deviation]:
    """Return the known deviations, by target and expectation."""
    found = [row for row in rows if row.record.verdict is Verdict.KNOWN]
    return _grouped(run, rows, found, lambda row: (row.target, row.record.expectation, row.record.check))


def _grouped(run: Run, rows: list[Row], found: list[Row], key: Callable[[Row], Hashable]) -> list[Deviation]:
    checks = {check.id: check for check in run.checks}
    expectations = {(t.target, e.id): e for t in run.targets for e in t.expectations}
    functions = {(t.target, f.id): f for t in run.targets for f in t.functions}
    missing = {t.target: t.missing for t in run.targets}
    groups: dict[Hashable, list[Row]] = {}
    for row in found:
        groups.setdefault(key(row), []).append(row)
    deviations = []
    for members in groups.values():
        target, record = members[0].target, members[0].record
        names = list(dict.fromkeys(row.record.loss_function for row in members))
        info = functions.get((target, names[0])) if len(names) == 1 else None
        alike = [r.record.loss_function for r in rows if r.target == target and r.record.check == record.check]
        alike += [q.loss_function for q in missing.get(target, []) if q.check == record.check]
        deviations.append(
            Deviation(
                target=target,
                functions=names,
                check=checks.get(record.check, CheckInfo(id=record.check, question="")),
                rows=members,
                total=sum(name in names for name in alike),
                expectation=expectations.get((target, record.expectation or "")),
                source=info.source if info else None,
                url=info.url if info else None,
            )
        )
    return deviations
