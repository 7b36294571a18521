"""Runs of targets whose process ends in the middle, or does not begin: real processes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import crashing_target
import pytest

from lossconform import cli
from lossconform.adapters import TARGETS
from lossconform.job import Job
from lossconform.reports.model import Run, Status, Verdict
from lossconform.reports.runfile import read
from lossconform.runner import Request, _length, alone

HERE = Path(__file__).parent


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert TARGETS["crashing"] == crashing_target.__name__
    monkeypatch.setenv("PYTEST_PLUGINS", "crashing_target")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    return tmp_path / "out"


def run(output: Path, *more: str) -> int:
    return cli.main(["run", "--framework", "crashing", "--profile", "smoke", "--output", str(output), *more])


def records(run: Run) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = {}
    for record in run.targets[0].records:
        seen.setdefault(record.loss_function, set()).add(str(record.verdict))
    return seen


def test_a_crash_costs_its_own_record_and_says_incomplete(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(output, "-k", "value- and float32") == 3
    result = read(output / "run.json")
    (target,) = result.targets
    assert target.status is Status.COMPLETE
    crashed = [record for record in target.records if record.verdict is Verdict.CRASHED]
    assert [record.loss_function for record in crashed] == ["third"]
    assert crashed[0].message == "the process ended during this check: signal 9 (SIGKILL)"
    assert [record.loss_function for record in target.records] == ["first", "second", "third", "fourth"]
    assert (target.missing, len(target.records)) == ([], target.expected)
    assert "Incomplete" in capsys.readouterr().out
    assert "crashed" in (output / "report.html").read_text("utf-8")


def test_without_the_crash_the_run_is_complete(output: Path) -> None:
    assert run(output, "-k", "not third") == 0
    result = read(output / "run.json")
    assert result.targets[0].status is Status.COMPLETE
    assert len(result.targets[0].records) == result.targets[0].expected
    assert set(records(result)) == {"first", "second", "fourth"}


def test_a_framework_that_does_not_import_is_one_line_and_leaves_nothing(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRASHING_TARGET", "import")
    assert run(output) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error == ["lossconform: crashing is installed but fails to import: RuntimeError: its library is broken"]
    assert not (output / "run.json").exists()
    assert not (output / "report.html").exists()


def test_a_keyword_that_matches_nothing_is_incomplete(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(output, "-k", "nothing_has_this_name") == 3
    assert "-k 'nothing_has_this_name' chooses none of its questions" in " ".join(capsys.readouterr().out.split())


def test_a_folder_is_for_one_run_at_a_time(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output.mkdir()
    with alone(output):
        assert run(output) == 2
    said = f"lossconform: --output {output}: another run is writing there; wait for it, or choose another"
    assert capsys.readouterr().err.strip().splitlines() == [said]
    assert list(output.iterdir()) == []


def test_the_same_seed_gives_the_same_run_file_apart_from_times(output: Path, tmp_path: Path) -> None:
    texts = []
    for folder in ("one", "two"):
        assert run(tmp_path / folder, "-k", "not third", "--seed", "7") == 0
        content = json.loads((tmp_path / folder / "run.json").read_text("utf-8"))
        del content["command"]
        texts.append(json.dumps(_without_timing(content)))
    assert texts[0] == texts[1]


def _without_timing(content: object) -> object:
    if isinstance(content, dict):
        return {k: _without_timing(v) for k, v in content.items() if k != "timing"}
    return [_without_timing(v) for v in content] if isinstance(content, list) else content


def test_the_name_of_a_target_is_no_path(tmp_path: Path) -> None:
    names = [Job(target, tmp_path).name for target in ("keras-jax", "my.losses:focal", "my.losses-focal", "a/../b:c@d")]
    assert names[0] == "keras-jax"
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)


def test_what_compiles_starts_first_and_then_what_has_most_questions() -> None:
    request = Request(targets=(), profile="smoke", seed=0, keyword="", jobs=1, command="")
    lengths = {target: _length(target, request) for target in ("torch", "tensorflow", "jax", "keras-jax")}
    compiled = {target for target, (eager, _) in lengths.items() if not eager}
    assert compiled == {"jax", "keras-jax"}
    assert lengths["keras-jax"] < lengths["jax"] < min(lengths["torch"], lengths["tensorflow"])
