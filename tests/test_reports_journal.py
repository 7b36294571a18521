"""The journal: whatever the process did last, the records before it are recovered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lossconform.reports.journal import Header, Journal, JournalError, lost, open_questions, recover
from lossconform.reports.model import Question, Record, Status, Timing, Verdict
from tests import run_factory as make

QUESTIONS = [
    Question(loss_function="lib.loss", check="finite-value", dtype=dtype, mode="eager") for dtype in make.DTYPES
]


def _header(**changes: Any) -> Header:
    fields: dict[str, Any] = {
        "target": "torch",
        "versions": {"torch": "2.0"},
        "modes": make.MODES,
        "expected": 4,
        "functions": [],
        "plan": QUESTIONS,
        "timing": Timing(started="2024-05-01T12:00:00Z"),
    }
    return Header(**(fields | changes))


def _record(number: int) -> Record:
    return Record(**QUESTIONS[number].model_dump(), verdict=Verdict.PASS, cases=8)


def _journal(path: Path, count: int, **changes: Any) -> Journal:
    journal = Journal.open(path, _header(**changes))
    for number in range(count):
        journal.begin(QUESTIONS[number])
        journal.append(_record(number))
    return journal


def test_a_closed_journal_is_a_complete_target(tmp_path: Path) -> None:
    path = tmp_path / "torch.jsonl"
    journal = _journal(path, 4)
    journal.close(Timing(seconds=3.0))
    journal.close()
    target = recover(path)
    assert (target.status, target.detail, target.expected) == (Status.COMPLETE, "", 4)
    assert [_record(n) for n in range(4)] == target.records
    assert target.missing == []
    assert Timing(started="2024-05-01T12:00:00Z", seconds=3.0) == target.timing


def test_a_crash_between_two_questions_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "torch.jsonl"
    _journal(path, 2).abandon()
    target = recover(path, detail="exit status 1")
    assert Status.CRASHED is target.status
    assert [_record(0), _record(1)] == target.records
    assert QUESTIONS[2:] == target.missing
    assert target.detail == "crashed with 2 of 4 records: 2 missing (exit status 1)"


def test_every_line_is_on_disk_before_the_journal_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "torch.jsonl"
    journal = _journal(path, 3)
    assert len(recover(path).records) == 3
    journal.close()


def test_a_crash_within_a_question_is_a_record(tmp_path: Path) -> None:
    path = tmp_path / "torch.jsonl"
    journal = _journal(path, 2)
    journal.begin(QUESTIONS[2])
    journal.abandon()
    target = recover(path, detail="signal 11")
    assert (QUESTIONS[2].id, Verdict.CRASHED) == (target.records[-1].id, target.records[-1].verdict)
    assert target.records[-1].message == "the process ended during this check: signal 11"
    assert QUESTIONS[3:] == target.missing
    assert f"crashed during {QUESTIONS[2].id} with 3 of 4 records: 1 missing (signal 11)" == target.detail


def test_an_interruption_is_laid_at_no_check(tmp_path: Path) -> None:
    path = tmp_path / "torch.jsonl"
    journal = _journal(path, 1)
    journal.begin(QUESTIONS[1])
    journal.abandon()
    target = recover(path, interrupted=True)
    assert (Status.INTERRUPTED, [_record(0)]) == (target.status, target.records)
    assert QUESTIONS[1:] == target.missing


def test_a_line_cut_short_anywhere_is_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "torch.jsonl"
    _journal(path, 2).close()
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        target = recover(path)
        assert Status.CRASHED is target.status
        assert whole[:cut].count(b'{"record"') >= sum(r.verdict is Verdict.PASS for r in target.records)
        assert whole[:cut].count(b"\n{") - 1 <= 2 * len(target.records) + 1
    path.write_bytes(whole)
    assert Status.COMPLETE is recover(path).status


def test_the_footer_is_only_for_a_block_that_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "torch.jsonl"
    with Journal(path, _header()) as journal:
        journal.append(_record(0))
    assert Status.COMPLETE is recover(path).status
    with pytest.raises(KeyboardInterrupt), Journal(path, _header()) as journal:
        raise KeyboardInterrupt
    assert Status.CRASHED is recover(path).status


def test_an_id_is_appended_once(tmp_path: Path) -> None:
    journal = _journal(tmp_path / "torch.jsonl", 1)
    with pytest.raises(JournalError, match="is there twice"):
        journal.append(_record(0))
    journal.close()
    assert len(recover(tmp_path / "torch.jsonl").records) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a journal: it has no header"),
        (b'{"kind": "lossconform jour', "not a journal: it has no header"),
        (b'{"kind": "lossconform run"}\n', "not a journal: invalid field kind"),
        (b"HEADER\n{broken\n{}\n", "line 2: not JSON"),
        (b'HEADER\n{"record": {}}\n', "line 2: invalid field record.loss_function: Field required"),
        (b'HEADER\n{"footer": {}}\n{"footer": {}}\n', "line 3: there is more after the footer"),
    ],
)
def test_what_is_not_a_journal_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "torch.jsonl"
    path.write_bytes(content.replace(b"HEADER", _header().model_dump_json().encode()))
    with pytest.raises(JournalError) as raised:
        recover(path)
    assert str(raised.value).startswith(f"{path}: {said}")
    assert "\n" not in str(raised.value)


def test_places_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no such file"):
        recover(tmp_path / "none.jsonl")
    with pytest.raises(JournalError, match="cannot be written: no such file or directory"):
        Journal(tmp_path / "missing" / "torch.jsonl", _header())


def test_a_plan_is_as_long_as_expected() -> None:
    assert _header(expected=9, plan=[]).expected == 9
    with pytest.raises(ValidationError, match="the plan has 4 questions; expected 3"):
        _header(expected=3)


def test_a_target_without_a_journal_is_lost() -> None:
    target = lost("jax", "it could not be started")
    assert (target.status, target.detail, target.expected) == (Status.CRASHED, "it could not be started", 0)


def test_another_process_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "torch.jsonl"
    journal = _journal(path, 2)
    journal.begin(QUESTIONS[2])
    journal.abandon()
    with path.open("ab") as file:
        file.write(b'{"record": {"loss_fun')
    assert open_questions(path) == (QUESTIONS[2], QUESTIONS[2:])
    again = Journal.resume(path)
    assert again.answered == {QUESTIONS[0].id, QUESTIONS[1].id}
    again.plan(QUESTIONS)
    with pytest.raises(JournalError, match="is there twice"):
        again.append(_record(1))
    for number in (3, 2):
        again.append(_record(number))
    again.close()
    target = recover(path)
    assert Status.COMPLETE is target.status
    assert [_record(n) for n in range(4)] == target.records
    with pytest.raises(JournalError, match="it has reached its end"):
        Journal.resume(path)


def test_a_journal_begins_again_with_what_a_run_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "torch.jsonl"
    journal = _journal(path, 1)
    journal.begin(QUESTIONS[1])
    journal.abandon()
    target = recover(path, detail="signal 11")
    assert len(target.records) == 2
    Journal.again(path, target).abandon()
    asked, left = open_questions(path)
    assert asked is None
    assert left == QUESTIONS[1:]
    assert recover(path, interrupted=True).records == [_record(0)]


def test_a_process_that_was_forked_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "torch.jsonl"
    journal = _journal(path, 1)
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: -1)
        journal.append(_record(1))
    journal.append(_record(2))
    journal.abandon()
    assert recover(path).records == [_record(0), _record(2)]
