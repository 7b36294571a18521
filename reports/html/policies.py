"""Policies as identified, against what is documented: one table a policy, and one of all."""

from __future__ import annotations

from dataclasses import dataclass

from lossconform.reference.policy import CHOICES
from lossconform.reports.html.marks import STATES, Mark
from lossconform.reports.html.rows import Row
from lossconform.reports.model import Observed, Run

Place = tuple[str, str]
"""A target and one of its loss functions."""


@dataclass(frozen=True)
class Finding:
    """What some dtypes and modes of one loss function showed of one policy.

    Attributes:
        observed: the values that all their telling cases allow.
        telling: how many telling cases there were.
        where: which dtypes and modes; empty if all agree.
    """

    documented: str | None
    assumed: str
    observed: tuple[str, ...]
    telling: int
    where: tuple[str, ...]
    anchor: str
    mark: Mark


@dataclass(frozen=True)
class Entry:
    """One loss function's findings on one policy, with the documentation."""

    target: str
    function: str
    findings: list[Finding]
    source: str | None
    url: str | None


@dataclass(frozen=True)
class PolicyTable:
    """One policy: what each value means, and who follows which."""

    name: str
    values: dict[str, str]
    entries: dict[Place, Entry]


def policies(run: Run, rows: list[Row]) -> list[PolicyTable]:
    """Return a table for each policy that some record looked at, in the order of `CHOICES`."""
    seen: dict[str, dict[Place, list[tuple[Row, Observed]]]] = {}
    for row in rows:
        for observed in row.record.policies:
            place = (row.target, row.record.loss_function)
            seen.setdefault(observed.policy, {}).setdefault(place, []).append((row, observed))
    clauses = {
        (target.target, function.id, clause.clause): clause
        for target in run.targets
        for function in target.functions
        for clause in function.clauses
    }
    tables = []
    for name in sorted(seen, key=lambda policy: list(CHOICES).index(policy) if policy in CHOICES else len(CHOICES)):
        entries = {}
        for place, observations in seen[name].items():
            clause = clauses.get((*place, f"policy {name}"))
            source = next((o.source for _, o in observations if o.source), clause.source if clause else None)
            entries[place] = Entry(*place, _findings(observations), source, clause.url if clause else None)
        tables.append(PolicyTable(name, CHOICES.get(name, {}), entries))
    return tables


def _findings(observations: list[tuple[Row, Observed]]) -> list[Finding]:
    """Pool what dtypes and modes showed: into one finding if one value explains all, else by what they showed."""
    telling = [pair for pair in observations if pair[1].telling]
    if not telling:
        return [_finding(observations, (), ())]
    common = set(telling[0][1].observed)
    for _, observed in telling:
        common &= set(observed.observed)
    if common:
        ordered = tuple(value for value in telling[0][1].observed if value in common)
        return [_finding(telling, ordered, ())]
    alike: dict[tuple[str, ...], list[tuple[Row, Observed]]] = {}
    for row, observed in telling:
        alike.setdefault(tuple(observed.observed), []).append((row, observed))
    if len(alike) == 1:
        return [_finding(telling, (), ())]
    return [
        _finding(pairs, values, tuple(f"{row.record.dtype} {row.record.mode}" for row, _ in pairs))
        for values, pairs in alike.items()
    ]


def _finding(pairs: list[tuple[Row, Observed]], observed: tuple[str, ...], where: tuple[str, ...]) -> Finding:
    row, first = pairs[0]
    telling = sum(o.telling for _, o in pairs)
    if not telling:
        state = "no evidence"
    elif not observed:
        state = "no known policy"
    elif first.documented is None:
        state = "undocumented"
    else:
        state = "as documented" if first.documented in observed else "differs"
    return Finding(first.documented, first.assumed, observed, telling, where, row.anchor, STATES[state])
