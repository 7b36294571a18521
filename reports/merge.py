"""Several run files into one. It is not a comparison: that needs the same targets, this needs different ones."""

from __future__ import annotations

from collections.abc import Sequence

from lossconform.reports.model import CheckInfo, Run, Timing

SAME = ("schema_version", "lossconform", "profile", "seed")
"""The fields without which the records of two runs do not answer the same questions."""


class MergeError(Exception):
    """Runs do not belong together; the message names what differs."""


def merge(runs: Sequence[Run]) -> Run:
    """Return one run with the targets of all, in the order given.

    Commands that differ are joined; entries of the environment that differ say which targets they belong to; times are
    the earliest start, the sum of the seconds and the largest peak.

    Raises:
        MergeError: there are none, they differ in version, profile or seed, or a target is in two of them.
    """
    if not runs:
        raise MergeError("there are no runs to merge")
    for name in SAME:
        _same(name, runs)
    owner: dict[str, Run] = {}
    for run in runs:
        for target in run.targets:
            if target.target in owner:
                raise MergeError(f"target {target.target} is in two of the runs; merge takes each target once")
            owner[target.target] = run
    starts = [run.timing.started for run in runs if run.timing.started is not None]
    peaks = [run.timing.peak_mib for run in runs if run.timing.peak_mib is not None]
    found = [one for run in runs for one in run.selftest]
    return Run(
        lossconform=runs[0].lossconform,
        profile=runs[0].profile,
        seed=runs[0].seed,
        command=" && ".join(dict.fromkeys(run.command for run in runs)),
        environment=_environment(runs),
        checks=_checks(runs),
        targets=[target for run in runs for target in run.targets],
        selftest=[one for k, one in enumerate(found) if one not in found[:k]],
        timing=Timing(
            started=min(starts, default=None),
            seconds=sum(run.timing.seconds for run in runs),
            peak_mib=max(peaks, default=None),
        ),
    )


def _names(run: Run) -> str:
    return ", ".join(target.target for target in run.targets) or "a run without targets"


def _same(name: str, runs: Sequence[Run]) -> None:
    first, *rest = runs
    for run in rest:
        one, other = getattr(first, name), getattr(run, name)
        if one != other:
            raise MergeError(f"{name} differs: {one!r} ({_names(first)}) and {other!r} ({_names(run)})")


def _environment(runs: Sequence[Run]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name in dict.fromkeys(name for run in runs for name in run.environment):
        owners: dict[str, list[str]] = {}
        for run in runs:
            owners.setdefault(run.environment.get(name, "not recorded"), []).append(_names(run))
        only = next(iter(owners))
        merged[name] = only if len(owners) == 1 else "; ".join(f"{v} ({', '.join(n)})" for v, n in owners.items())
    return merged


def _checks(runs: Sequence[Run]) -> list[CheckInfo]:
    checks: dict[str, CheckInfo] = {}
    for run in runs:
        for check in run.checks:
            if checks.setdefault(check.id, check) != check:
                raise MergeError(
                    f"check {check.id} asks two things: {checks[check.id].question!r} and {check.question!r}"
                )
    return list(checks.values())
