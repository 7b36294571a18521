"""The self-test: it says what it sampled, it tells a survivor and a false alarm, and its exit code says so too."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest
import run_factory

from lossconform import cli, selftest
from lossconform.adapters.miniatures import faulty, unusual
from lossconform.reports import runfile
from lossconform.reports.html import page
from lossconform.reports.model import Assumption
from lossconform.selftest import Outcome, Subject, ask, assumptions, line_of, subjects, table, totals

SEEN = [
    Assumption(function="exp", worst=0.678, allowed=4.0, argument="-0x1.89cp-32", samples=3000, ok=True),
    Assumption(function="exp(0) = 1", worst=0.0, allowed=0.0, argument="0x0.0p+0", samples=39, ok=True),
]
WRONG = Subject("numpy", "value", "no_shift")
RIGHT = Subject("numpy", "correct", "log_sigmoid")


def outcome(subject: Subject, *against: str) -> Outcome:
    return Outcome(subject, "something", ("value", "gradient"), against, tuple(f"{a}: said" for a in against), 1.0)


def test_what_the_reference_assumes_holds_here() -> None:
    found = assumptions(100)
    assert [a.function for a in found] == ["exp", "log", "log1p", "exp(0) = 1"]
    assert [a.allowed for a in found] == [4.0, 4.0, 4.0, 0.0]
    assert all(a.ok and 0 <= a.worst <= a.allowed and a.samples > 0 for a in found)
    assert [float.fromhex(a.argument) for a in found]


def test_one_seed_gives_the_same_numbers() -> None:
    assert assumptions(50, seed=3) == assumptions(50, seed=3)
    assert assumptions(50, seed=3) != assumptions(50, seed=4)


def test_the_command_prints_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = assumptions(50)
    monkeypatch.setattr(cli, "assumptions", lambda seed: found)
    assert cli.main(["selftest"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == table(found)
    assert [line.split()[0] for line in printed] == ["function", "exp", "log", "log1p", "exp(0)"]
    monkeypatch.setattr(cli, "assumptions", lambda seed: [found[0].model_copy(update={"ok": False}), *found[1:]])
    assert cli.main(["selftest"]) == 1
    assert "TOO FAR" in capsys.readouterr().out


def test_a_run_without_it_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    runfile.write(run_factory.run(selftest=SEEN), path)
    assert runfile.read(path).selftest == SEEN
    content = json.loads(path.read_text())
    del content["selftest"]
    path.write_text(json.dumps(content))
    assert runfile.read(path).selftest == []


def test_the_page_shows_it() -> None:
    run = run_factory.run(selftest=SEEN)
    html = page.render(run)
    assert "The oracle on this machine" in html
    assert "-0x1.89cp-32" in html
    assert "cannot be trusted" not in html
    bad = run.selftest[0].model_copy(update={"ok": False, "worst": float("inf")})
    assert "cannot be trusted" in page.render(run.model_copy(update={"selftest": [bad, run.selftest[1]]}))
    assert "The oracle" not in page.render(run.model_copy(update={"selftest": []}))


def test_a_fault_and_a_correct_loss_are_asked() -> None:
    wrong, right = ask(WRONG, 0), ask(RIGHT, 0)
    assert (wrong.good, wrong.asked, wrong.against) == (True, ("value",), ("value",))
    assert (right.good, right.against) == (True, ())
    assert {"value", "gradient", "dtype"} <= set(right.asked)


def test_what_is_said_of_each() -> None:
    assert line_of(outcome(WRONG, "value", "gradient"))[0].endswith("caught by: value, gradient")
    assert line_of(outcome(WRONG, "value"))[0].endswith("caught by: value (not by gradient)")
    assert line_of(outcome(WRONG))[0].endswith("SURVIVED (not by value, gradient)")
    known = dataclasses.replace(outcome(WRONG), excuse="no check looks there")
    assert line_of(known)[0].endswith("SURVIVED, as known: no check looks there (not by value, gradient)")
    assert line_of(outcome(RIGHT))[0].endswith("left alone by 2 checks")
    alarm = line_of(outcome(RIGHT, "value"))
    assert alarm[0].endswith("FALSE ALARM")
    assert alarm[1].strip() == "value: said"


def test_the_totals_have_their_denominators() -> None:
    lines = totals([outcome(WRONG, "value"), outcome(WRONG), outcome(RIGHT), outcome(RIGHT, "value")])
    assert lines[0] == "1/2 faults caught by a check named for them; 1/2 correct losses failed"
    assert lines[2:] == ["survived: no_shift", "failed although correct: log_sigmoid"]


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ([outcome(WRONG, "value"), outcome(RIGHT)], 0),
        ([outcome(WRONG), outcome(RIGHT)], 1),
        ([dataclasses.replace(outcome(WRONG), excuse="no check looks there"), outcome(RIGHT)], 0),
        ([outcome(WRONG, "value"), outcome(RIGHT, "value")], 1),
    ],
)
def test_the_exit_code_of_kill(
    seen: list[Outcome], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest, "outcomes", lambda asked, seed, jobs: iter(seen))
    monkeypatch.setattr(selftest, "subjects", lambda packages: [])
    assert cli.main(["selftest", "--kill"]) == code
    printed = capsys.readouterr().out
    assert "faults of value, in numpy" in printed
    assert "correct losses, in numpy" in printed


def test_a_package_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    monkeypatch.setattr(selftest, "outcomes", lambda asked, seed, jobs: iter([outcome(WRONG, "value")]))
    assert cli.main(["selftest", "--kill"]) == 0
    assert capsys.readouterr().out.startswith("torch is not installed: its miniatures are not asked\n")


def test_every_numpy_miniature_is_a_subject() -> None:
    found = subjects(["numpy"])
    assert len(found) == len(set(found))
    assert [s.id for s in found if not s.correct] == list(faulty.FAULTS)
    assert [s.id for s in found if s.correct] == list(unusual.VARIATIONS)


def test_no_jobs_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", "--jobs", "0"]) == 2
    assert "--jobs 0" in capsys.readouterr().err
