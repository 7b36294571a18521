"""What a run amounts to: counts with their denominators, and the exit code.

Counts are over what was *expected*, never over what happened to run: leaving checks out cannot raise a score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lossconform.reports.model import Question, Record, Run, Status, TargetRun, Verdict

PASSED = 0
UNEXPECTED = 1
INCOMPLETE = 3

SEVERITY = (
    Verdict.CRASHED,
    Verdict.FAIL,
    Verdict.HAZARD,
    Verdict.KNOWN,
    Verdict.NOT_RUN,
    Verdict.PASS,
    Verdict.UNSUPPORTED,
)
"""Verdicts, worst first. A pass stands before unsupported: where some dtype is not supported, the rest still counts."""

EXECUTED = (Verdict.PASS, Verdict.KNOWN, Verdict.FAIL, Verdict.HAZARD)
"""The verdicts of records whose check looked at answers."""


@dataclass(frozen=True)
class Tally:
    """How many records were expected, and how many there are of each verdict."""

    expected: int
    counts: Mapping[Verdict, int]

    def __getitem__(self, verdict: Verdict) -> int:
        return self.counts.get(verdict, 0)

    @property
    def recorded(self) -> int:
        """How many records there are, whatever their verdict."""
        return sum(self.counts.values())

    @property
    def executed(self) -> int:
        """How many of them looked at answers: pass, known deviation, fail or hazard."""
        return sum(self[verdict] for verdict in EXECUTED)

    @property
    def missing(self) -> int:
        """How many expected records are not there."""
        return max(self.expected - self.recorded, 0)

    @property
    def unexpected(self) -> int:
        """How many records are a fail or a hazard."""
        return self[Verdict.FAIL] + self[Verdict.HAZARD]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts; ValueError if there are none."""
    return min(verdicts, key=SEVERITY.index)


def of_target(target: TargetRun) -> Tally:
    """Return the tally of one target."""
    return Tally(target.expected, Counter(record.verdict for record in target.records))


def by_target(run: Run) -> dict[str, Tally]:
    """Return the tally of each target."""
    return {target.target: of_target(target) for target in run.targets}


def by_function(run: Run) -> dict[tuple[str, str], Tally]:
    """Return the tally of each (target, loss function), those without a record among them.

    What a crash left without a record counts as expected where the run file names it.
    """
    return {
        (target.target, name): _tally(target.records, target.missing, "loss_function", name)
        for target in run.targets
        for name in _ordered([f.id for f in target.functions], target, "loss_function")
    }


def by_check(run: Run) -> dict[str, Tally]:
    """Return the tally of each check over all targets, those without a record among them."""
    names = dict.fromkeys(check.id for check in run.checks)
    for target in run.targets:
        names.update(dict.fromkeys(_ordered([], target, "check")))
    records = [record for target in run.targets for record in target.records]
    missing = [question for target in run.targets for question in target.missing]
    return {name: _tally(records, missing, "check", name) for name in names}


def total(run: Run) -> Tally:
    """Return the tally of the whole run."""
    tallies = by_target(run).values()
    counts: Counter[Verdict] = Counter()
    for tally in tallies:
        counts.update(tally.counts)
    return Tally(sum(tally.expected for tally in tallies), counts)


def complete(target: TargetRun) -> bool:
    """Say whether a target did all that was expected of it; one that looked at no answer did not."""
    tally = of_target(target)
    return (
        target.status is Status.COMPLETE and tally.missing == 0 and tally[Verdict.CRASHED] == 0 and tally.executed > 0
    )


def exit_code(run: Run) -> int:
    """Return 3 if the run is incomplete, else 1 if it has a fail or a hazard, else 0.

    Incomplete is: no target; a target that crashed, was interrupted or looked at no answer; a record that crashed or is
    missing. It comes first, because a run that did not see everything cannot be trusted with the rest.
    """
    if not run.targets or not all(complete(target) for target in run.targets):
        return INCOMPLETE
    return UNEXPECTED if total(run).unexpected else PASSED


def conclusion(run: Run) -> str:
    """Return one sentence for a person: what the exit code means for this run."""
    tally = total(run)
    code = exit_code(run)
    executed = "1 executed record" if tally.executed == 1 else f"{tally.executed:,} executed records"
    findings = f"{tally[Verdict.FAIL]:,} fail and {tally[Verdict.HAZARD]:,} hazard in {executed}"
    if code == INCOMPLETE:
        gaps = "; ".join(gap(target) for target in run.targets if not complete(target)) or "no target was run"
        return f"Incomplete: {gaps}. So far {findings}."
    if code == UNEXPECTED:
        return f"Unexpected: {findings}; all {tally.expected:,} expected records are there."
    known, unsupported, not_run = tally[Verdict.KNOWN], tally[Verdict.UNSUPPORTED], tally[Verdict.NOT_RUN]
    sentence = f"Nothing unexpected: of {tally.expected:,} expected records {tally[Verdict.PASS]:,} pass"
    if known:
        sentence += f" and {known:,} {'is a known deviation' if known == 1 else 'are known deviations'}"
    for count, word in ((unsupported, "unsupported"), (not_run, "not run")):
        if count:
            sentence += f"; {count:,} {'is' if count == 1 else 'are'} {word}"
    return sentence + "."


def gap(target: TargetRun) -> str:
    """Return why a target is not complete, in a few words."""
    tally = of_target(target)
    words = []
    if target.status is not Status.COMPLETE:
        words.append(str(target.status))
    elif tally[Verdict.CRASHED]:
        words.append(f"{tally[Verdict.CRASHED]:,} of {tally.expected:,} records crashed")
    if tally.missing:
        words.append(f"{tally.missing:,} of {tally.expected:,} records missing")
    if tally.executed == 0:
        words.append(target.detail if target.detail and not target.expected else "no check looked at an answer")
    return f"{target.target} " + ", ".join(words)


def _tally(records: Iterable[Record], missing: Iterable[Question], field: str, name: str) -> Tally:
    counts = Counter(record.verdict for record in records if getattr(record, field) == name)
    absent = sum(getattr(question, field) == name for question in missing)
    return Tally(counts.total() + absent, counts)


def _ordered(first: list[str], target: TargetRun, field: str) -> list[str]:
    seen = [getattr(question, field) for question in (*target.records, *target.missing)]
    return list(dict.fromkeys([*first, *seen]))
