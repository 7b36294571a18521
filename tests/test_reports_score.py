"""Counts with denominators, and the exit code."""

from __future__ import annotations

import pytest

from lossconform.reports import score
from lossconform.reports.journal import lost
from lossconform.reports.model import Question, Record, Run, Status, TargetRun, Verdict
from tests import run_factory as make


def _records(*verdicts: Verdict) -> list[Record]:
    return [make.record(verdict=verdict, mode=f"mode {n}") for n, verdict in enumerate(verdicts)]


def _target(*verdicts: Verdict, name: str = "torch", **changes: object) -> TargetRun:
    return make.target(name, records=_records(*verdicts), **changes)


PASS, KNOWN, FAIL, HAZARD = Verdict.PASS, Verdict.KNOWN, Verdict.FAIL, Verdict.HAZARD
UNSUPPORTED, NOT_RUN, CRASHED = Verdict.UNSUPPORTED, Verdict.NOT_RUN, Verdict.CRASHED


@pytest.mark.parametrize(
    ("code", "target"),
    [
        (0, _target(PASS)),
        (0, _target(PASS, KNOWN, UNSUPPORTED, NOT_RUN)),
        (1, _target(PASS, FAIL)),
        (1, _target(PASS, HAZARD)),
        (3, _target(PASS, expected=2)),
        (3, _target(FAIL, expected=2)),
        (3, _target(PASS, CRASHED)),
        (3, _target(FAIL, CRASHED)),
        (3, _target(PASS, status=Status.CRASHED)),
        (3, _target(FAIL, status=Status.INTERRUPTED)),
        (3, _target(expected=0)),
        (3, _target(UNSUPPORTED, NOT_RUN)),
        (3, lost("torch", "it could not be started")),
    ],
)
def test_exit_codes(code: int, target: TargetRun) -> None:
    assert code == score.exit_code(make.run(target))


def test_one_incomplete_target_makes_the_run_incomplete() -> None:
    assert score.exit_code(make.run(_target(FAIL), _target(PASS, name="jax", expected=2))) == 3
    assert score.exit_code(make.run(_target(PASS), _target(name="jax", expected=0))) == 3
    assert score.exit_code(make.run(_target(PASS), _target(HAZARD, name="jax"))) == 1


def test_a_run_without_targets_is_incomplete() -> None:
    run = make.run(targets=[])
    assert score.exit_code(run) == 3
    assert "no target was run" in score.conclusion(run)


def test_every_verdict_has_a_severity() -> None:
    assert set(Verdict) == set(score.SEVERITY)
    assert FAIL is score.worst([PASS, FAIL, KNOWN])
    assert PASS is score.worst([UNSUPPORTED, PASS])


def test_tallies_add_up() -> None:
    run = make.realistic()
    total = score.total(run)
    assert sum(t.expected for t in run.targets) == total.expected
    assert sum(len(t.records) for t in run.targets) == total.recorded
    assert total.expected == total.recorded + total.missing
    for tallies in (score.by_target(run), score.by_function(run), score.by_check(run)):
        assert total.expected == sum(tally.expected for tally in tallies.values())
        for verdict in Verdict:
            assert total[verdict] == sum(tally[verdict] for tally in tallies.values())


def test_what_did_not_run_is_expected_all_the_same() -> None:
    missing = Question(loss_function="torch.late", check="late", dtype="float32", mode="eager")
    run = make.run(_target(PASS, UNSUPPORTED, status=Status.CRASHED, expected=3, missing=[missing]))
    tally = score.by_target(run)["torch"]
    assert (tally.expected, tally.recorded, tally.executed, tally.missing) == (3, 2, 1, 1)
    assert _pair(score.by_function(run)["torch", "torch.late"]) == (1, 0)
    assert _pair(score.by_check(run)["late"]) == (1, 0)


def _pair(tally: score.Tally) -> tuple[int, int]:
    return tally.expected, tally.recorded


def test_a_loss_function_and_a_check_without_records_are_counted() -> None:
    run = make.run()
    assert score.by_function(run)["torch", make.FUNCTIONS["torch"][1]].expected == 0
    assert score.by_check(run)["smoothing"].expected == 0


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (
            make.run(_target(PASS, PASS, KNOWN, UNSUPPORTED)),
            "Nothing unexpected: of 4 expected records 2 pass and 1 is a known deviation; 1 is unsupported.",
        ),
        (make.run(_target(PASS, PASS)), "Nothing unexpected: of 2 expected records 2 pass."),
        (
            make.run(_target(PASS, FAIL, HAZARD, NOT_RUN)),
            "Unexpected: 1 fail and 1 hazard in 3 executed records; all 4 expected records are there.",
        ),
        (
            make.run(_target(PASS, HAZARD), _target(PASS, name="jax", expected=8, status=Status.CRASHED)),
            "Incomplete: jax crashed, 7 of 8 records missing. So far 0 fail and 1 hazard in 3 executed records.",
        ),
        (
            make.run(_target(PASS, CRASHED)),
            "Incomplete: torch 1 of 2 records crashed. So far 0 fail and 0 hazard in 1 executed record.",
        ),
    ],
)
def test_one_sentence(run: Run, said: str) -> None:
    assert said == score.conclusion(run)
