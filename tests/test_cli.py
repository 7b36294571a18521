"""Bad input to the command line: one line on stderr that says what and how to mend it, exit code 2, nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import run_factory

from lossconform import cli
from lossconform.reports.runfile import write


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--framework", "caffe"], "unknown framework 'caffe': expected one of torch, tensorflow"),
        (["run", "--check", "vibes"], "unknown check 'vibes': expected one of value, gradient"),
        (["run", "--profile", "slow"], "unknown profile 'slow': expected one of smoke, quick, full"),
        (["run", "--jobs", "0"], "--jobs 0: expected at least 1"),
        (["report", "nowhere.json"], "nowhere.json: there is no such file"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert said in complaint(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_framework_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("lossconform.adapters.version", lambda package: None if package == "optax" else "1")
    assert cli.main(["run", "--framework", "jax"]) == 2
    assert complaint(capsys) == "lossconform: jax is not installed (optax missing): pip install 'lossconform[jax]'"


def test_no_framework_at_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("lossconform.adapters.version", lambda package: None)
    assert cli.main(["run"]) == 2
    assert "no framework is installed: pip install 'lossconform[torch]'" in complaint(capsys)


def test_an_output_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert cli.main(["run", "--framework", "torch", "--output", str(taken)]) == 2
    assert "cannot be made" in complaint(capsys)
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", "[1]", json.dumps({"kind": "coverage"}), "\x00\xff"])
def test_a_foreign_run_file(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    path.write_text(text, "latin-1")
    assert cli.main(["report", str(path), "--output", str(tmp_path / "report.html")]) == 2
    assert "run file" in complaint(capsys)
    assert not (tmp_path / "report.html").exists()


def test_a_report_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(run_factory.run(), tmp_path / "run.json")
    place = tmp_path / "no" / "such" / "folder" / "report.html"
    assert cli.main(["report", str(tmp_path / "run.json"), "--output", str(place)]) == 2
    assert "cannot be written" in complaint(capsys)


@pytest.mark.parametrize("what", ["targets", "functions", "checks", "policies", "profiles"])
def test_lists(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", what]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_importing_loads_neither_pytest_nor_a_framework() -> None:
    heavy = "pytest", "torch", "tensorflow", "keras", "jax"
    code = (
        "import sys, lossconform.reference.exact, lossconform.adapters\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_contracts_are_read_without_importing_a_framework() -> None:
    code = (
        "import sys; from lossconform.adapters import TARGETS, describe\n"
        "for target in TARGETS: assert describe(target).functions\n"
        "print([m for m in ('torch', 'tensorflow', 'keras', 'jax', 'optax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
