"""Losses that are brought along as targets of the command line, by name or entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from own_losses import EXAMPLES

from lossconform.adapters import TargetError, describe, targets_of
from lossconform.adapters.base import Framework
from lossconform.cli import main
from lossconform.reports.runfile import read as read_run


def test_the_name_of_an_entry_point_is_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    entry = EntryPoint("numpy-pair", "test_numpy_pair:loss", "lossconform.losses")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [entry] if group == entry.group else [])
    assert targets_of(["numpy-pair"]) == ["numpy-pair"]
    assert describe("numpy-pair").target == "numpy-pair"


def test_the_command_line_runs_a_loss_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    words = ["run", "--loss", "test_numpy_pair:loss", "--profile", "smoke", "-k", "dtype and float32"]
    assert main([*words, "--output", str(tmp_path)]) == 0
    (target,) = read_run(tmp_path / "run.json").targets
    assert target.target == "test_numpy_pair:loss"
    assert [str(record.verdict) for record in target.records] == ["pass"]


def test_a_target_of_ones_own_is_found_by_package_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert targets_of(["test_numpy_pair:loss", "jax"]) == ["jax", "test_numpy_pair:loss"]
    found = describe("test_numpy_pair:loss")
    assert isinstance(found, Framework)
    assert found.target == "test_numpy_pair:loss"


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("no_such_module:x", "no module 'no_such_module' can be imported"),
        ("test_numpy_pair:nothing", "test_numpy_pair has no 'nothing'"),
        ("test_numpy_pair:cross_entropy", "is of type function: make it a target"),
        ("test_numpy_pair:cross_entropy@jax.softmax", "like='jax.softmax' is no known loss function"),
    ],
)
def test_a_target_that_is_none_is_one_clear_line(
    target: str, complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    with pytest.raises(TargetError, match=complaint):
        describe(target)
    assert main(["run", "--loss", target]) == 2
    assert complaint in capsys.readouterr().err


def test_like_needs_a_loss(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--like", "torch.nn.functional.cross_entropy"]) == 2
    assert "of which loss?" in capsys.readouterr().err


def test_expectations_that_cannot_be_read_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--framework", "torch", "--expectations", str(tmp_path / "none.toml")]) == 2
    assert "none.toml: cannot be read" in capsys.readouterr().err
