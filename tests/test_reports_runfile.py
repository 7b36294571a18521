"""The run file on disk: what is read back is what was written, and what is wrong is said in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lossconform.reports import runfile
from lossconform.reports.model import Numbers, Run, Timing
from tests import run_factory as make


def _said(path: Path) -> str:
    with pytest.raises(runfile.RunFileError) as raised:
        runfile.read(path)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def _changed(tmp_path: Path, change: Any) -> Path:
    content = json.loads(runfile.to_json(make.run()))
    change(content)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    return path


def test_a_run_survives_the_file(tmp_path: Path) -> None:
    run = make.realistic()
    path = tmp_path / "run.json"
    runfile.write(run, path)
    assert run == runfile.read(path)
    assert [path] == list(tmp_path.iterdir())


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    runfile.write(make.realistic(), one)
    runfile.write(runfile.read(one), other)
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("ulp", [float("inf"), float("nan"), 0.5, None])
def test_numbers_without_a_json_word_survive(tmp_path: Path, ulp: float | None) -> None:
    run = make.run(make.target(records=[make.record(max_ulp=ulp)]))
    path = tmp_path / "run.json"
    runfile.write(run, path)
    json.loads(path.read_bytes(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert repr(ulp) == repr(runfile.read(path).targets[0].records[0].max_ulp)


def test_a_case_keeps_the_types_of_its_fields(tmp_path: Path) -> None:
    case = {"a": Numbers(dtype="bool", shape=[1], data=["1"]), "b": True, "c": 1, "d": 1.0, "e": "NaN", "f": None}
    run = make.run(make.target(records=[make.record(witness=make.witness("f", case=case))]))
    path = tmp_path / "run.json"
    runfile.write(run, path)
    witness = runfile.read(path).targets[0].records[0].witness
    assert witness is not None
    assert [(name, type(value)) for name, value in case.items()] == [(n, type(v)) for n, v in witness.case.items()]
    assert list(case.items()) == list(witness.case.items())


def test_a_written_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    runfile.write(make.run(), path)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lossconform.reports.atomic.os.fsync", full)
    with pytest.raises(runfile.RunFileError) as raised:
        runfile.write(make.realistic(), path)
    assert f"{path}: cannot be written: no space left on device" == str(raised.value)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(runfile.RunFileError, match=r"run\.json: cannot be written: no such file or directory"):
        runfile.write(make.run(), tmp_path / "missing" / "run.json")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(runfile.RunFileError, match="folder: cannot be written: is a directory"):
        runfile.write(make.run(), folder)
    assert [folder] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a run file: it is empty"),
        (b" \n", "not a run file: it is empty"),
        (b"{", "not a run file: not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b"\xff\xfe\xfa", "not a run file: not JSON: it is not UTF-8 text"),
        (b"[" * 200_000, "not a run file: not JSON: RecursionError"),
        (b"[1]", "not a run file: its JSON is a list, not an object of kind 'lossconform run'"),
        (b"null", "not a run file: its JSON is null, not an object of kind 'lossconform run'"),
        (b"3", "not a run file: its JSON is a number, not an object of kind 'lossconform run'"),
        (b"true", "not a run file: its JSON is a boolean, not an object of kind 'lossconform run'"),
        (b'{"a": 1}', "not a run file: it names no kind, not 'lossconform run'"),
        (b'{"kind": "coverage"}', "not a run file: its kind is 'coverage', not 'lossconform run'"),
        (
            b'{"kind": "lossconform journal"}\n{}\n',
            "not a run file: it is the journal of one target, from which a run file is made",
        ),
        (
            b'{"kind": "lossconform run", "schema_version": 2, "lossconform": "9.0"}',
            "written by lossconform 9.0 with schema version 2; this lossconform reads version 1: upgrade lossconform",
        ),
    ],
)
def test_what_is_not_a_run_file_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    assert said == _said(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert _said(tmp_path / "run.json") == "there is no such file"
    assert _said(tmp_path) == "cannot be read: is a directory"


def test_an_invalid_field_is_named(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda run: run["targets"][0]["records"][0].update(verdict="maybe"))
    said = _said(path)
    assert said.startswith("invalid field targets.0.records.0.verdict: Input should be 'pass', 'known deviation'")
    assert said.endswith("found 'maybe'")
    path = _changed(tmp_path, lambda run: run.update(colour="red", seed="x"))
    assert "invalid field seed" in _said(path)
    assert _said(path).endswith("(and 1 more)")
    path = _changed(tmp_path, lambda run: run.pop("seed"))
    assert _said(path) == "invalid field seed: Field required"


def test_a_record_or_a_target_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda run: run["targets"].append(run["targets"][0]))
    assert _said(path) == "invalid: target torch is there twice"
    with pytest.raises(ValidationError, match="is there twice"):
        make.target(records=[make.record(), make.record()])


def test_canonical_leaves_out_what_cannot_be_equal() -> None:
    one = make.realistic()
    later = Timing(started="2025-01-01T00:00:00Z", seconds=99.0)
    targets = [
        target.model_copy(
            update={"timing": later, "records": [r.model_copy(update={"timing": later}) for r in target.records]}
        )
        for target in one.targets
    ]
    other = one.model_copy(update={"timing": later, "command": "elsewhere", "targets": targets})
    assert runfile.canonical(one) == runfile.canonical(other)
    assert runfile.canonical(one) != runfile.canonical(one.model_copy(update={"seed": 1}))


def test_canonical_keeps_what_is_only_called_timing() -> None:
    def run(version: str) -> Run:
        return make.run(make.target(versions={"timing": version}))

    assert runfile.canonical(run("1")) != runfile.canonical(run("2"))
