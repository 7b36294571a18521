"""Loss functions that misbehave, in real processes: each costs its own record, and the rest is asked."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import isolated_target
import numpy as np
import pytest

from lossconform import cli
from lossconform.adapters import TARGETS
from lossconform.isolation import LastCase, from_bytes, last_case, to_bytes
from lossconform.reference.serial import case_from_json, case_to_json
from lossconform.reports.model import Record, Run, Status, Verdict
from lossconform.reports.runfile import canonical, read

HERE = Path(__file__).parent

MAIN = "import sys, isolated_target; from lossconform import cli; sys.exit(cli.main())"
"""The command line with the target registered."""

CRASHED = {
    "exit": "exit code 3, called exit",
    "interrupt": "raised KeyboardInterrupt: not a person's, which ends a process",
    "leave": "the process ended during this check: exit code 4",
    "segfault": "the process ended during this check: signal 11 (SIGSEGV)",
    "abort": "the process ended during this check: signal 6 (SIGABRT)",
    "hang": "timed out after 8 s",
}
FAILED = {
    "environment": "changed global state: the environment: ISOLATED_TARGET",
    "floating": "changed global state: numpy.geterr() from {'divide': 'warn'",
    "thread": "changed global state: threads that keep the process from ending from none to left behind",
    "seed": "changed global state: random was seeded; numpy.random was seeded",
    "nan": "value[0] is nan, exactly ",
}


@pytest.fixture(autouse=True)
def target(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TARGETS["isolated"] == isolated_target.__name__
    monkeypatch.setenv("PYTEST_PLUGINS", "isolated_target")
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def command(output: Path, keyword: str, *more: str) -> list[str]:
    return ["run", "--framework", "isolated", "--profile", "smoke", "-k", keyword, "--output", str(output), *more]


def by_function(run: Run) -> dict[str, Record]:
    return {record.loss_function: record for record in run.targets[0].records if record.dtype == "float32"}


def test_each_costs_its_own_record_and_the_rest_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(command(tmp_path, "value- and float32", "--timeout", "8", "--memory", "400")) == 3
    run = read(tmp_path / "run.json")
    (target,) = run.targets
    records = by_function(run)
    assert list(records) == list(isolated_target.DEEDS)
    assert (target.status, target.missing, len(target.records)) == (Status.COMPLETE, [], target.expected)
    assert {name: records[name].message for name in CRASHED} == CRASHED
    assert records["hog"].message.startswith("out of memory: ")
    assert records["hog"].message.endswith(" MiB where 400 are allowed")
    for name in (*CRASHED, "hog"):
        assert records[name].verdict is Verdict.CRASHED
        witness = records[name].witness
        assert witness is not None
        assert case_from_json(witness.model_dump()["case"]).dtype == "float32"
        assert f"return {name}(x=x)" in witness.snippet
        assert witness.answer == records[name].message
    for name, message in FAILED.items():
        assert records[name].verdict is Verdict.FAIL
        assert records[name].message.startswith(message)
        assert records[name].witness is not None
    assert {records[name].verdict for name in ("first", "noise", "draw", "waits", "last")} == {Verdict.PASS}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["isolated.log", "report.html", "run.json"]
    assert "isolated: value[segfault-float32-eager]: the process ended" in capsys.readouterr().out


def test_a_function_that_always_ends_its_process_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossconform.runner.ENOUGH", 1)
    assert cli.main(command(tmp_path, "(segfault or last) and float32")) == 3
    target = read(tmp_path / "run.json").targets[0]
    messages = [record.message for record in target.records if record.loss_function == "segfault"]
    assert messages[0].endswith("signal 11 (SIGSEGV)")
    assert len(messages) > 1
    assert set(messages[1:]) == {"not asked: segfault ended its process in 1 questions in a row"}
    assert Verdict.PASS in {record.verdict for record in target.records if record.loss_function == "last"}
    assert len(target.records) == target.expected


def signalled(arguments: list[str], number: signal.Signals, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a command until the loss function that waits for ever is asked, send a signal and wait for the end."""
    pipe = tmp_path / "ready"
    os.mkfifo(pipe)
    environment = {**os.environ, isolated_target.READY: str(pipe)}
    ready = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        while not select.select([ready], [], [], 1.0)[0]:
            assert process.poll() is None, process.communicate()[0]
        process.send_signal(number)
        text, _ = process.communicate()
    os.close(ready)
    return subprocess.CompletedProcess(arguments, process.returncode, text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_is_saved_and_can_be_gone_on_with(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keyword = "(first or waits or last) and float32 and (value- or nan)"
    done = signalled(["-c", MAIN, *command(tmp_path / "out", keyword)], number, tmp_path)
    assert done.returncode == 3, done.stdout
    target = read(tmp_path / "out" / "run.json").targets[0]
    assert target.status is Status.INTERRUPTED
    assert {record.loss_function for record in target.records} == {"first"}
    assert "interrupted" in (tmp_path / "out" / "report.html").read_text("utf-8")

    again = ["run", "--resume", "--output", str(tmp_path / "out")]
    assert cli.main([*again, "--seed", "5"]) == 2
    assert "run.json: cannot be gone on with: --seed was 0, not 5" in capsys.readouterr().err
    assert cli.main(again) == 0
    assert cli.main(command(tmp_path / "whole", keyword)) == 0
    whole = read(tmp_path / "whole" / "run.json")
    assert canonical(read(tmp_path / "out" / "run.json")) == canonical(whole)
    # There is nothing left to ask: no process is started.
    (tmp_path / "out" / "isolated.log").unlink()
    assert cli.main(again) == 0
    assert canonical(read(tmp_path / "out" / "run.json")) == canonical(whole)
    assert not (tmp_path / "out" / "isolated.log").exists()


def test_plain_pytest_saves_what_it_has_when_terminated(tmp_path: Path) -> None:
    options = ["--framework", "isolated", "--profile", "smoke", "--run-file", "run.json"]
    chosen = ["-k", "(first or noise or waits) and value- and float32", "-p", "no:cacheprovider", "-s"]
    done = signalled(["-m", "pytest", "--pyargs", "lossconform.suite", *options, *chosen], signal.SIGTERM, tmp_path)
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    target = read(tmp_path / "run.json").targets[0]
    assert (target.status, len(target.records), len(target.missing)) == (Status.INTERRUPTED, 2, 1)
    # Hypothesis keeps a folder of its own, if it happened to look for constants.
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".hypothesis") == ["ready", "run.json"]


def test_another_run_is_not_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--resume", "--output", str(tmp_path)]) == 2
    assert "run.json: there is no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_last_case_is_read_back_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    case = isolated_case(dtype)
    last = LastCase(tmp_path / "case")
    assert last_case(tmp_path / "case") is None
    last.note(isolated_case(dtype, rows=50))
    last.note(case)
    found = last_case(tmp_path / "case")
    assert found is not None
    assert case_to_json(found) == case_to_json(case) == case_to_json(from_bytes(to_bytes(case)))
    data = (tmp_path / "case").read_bytes()
    (tmp_path / "case").write_bytes(data[:20] + b"?" + data[21:])
    assert last_case(tmp_path / "case") is None
    last.note(case)
    last.forget()
    assert last_case(tmp_path / "case") is None
    last.close()


def isolated_case(dtype: str, rows: int = 3):  # type: ignore[no-untyped-def]
    from lossconform.reference.case import Case, Loss, TargetForm

    numbers = np.array([[0.5, -np.inf, np.nan, 5e-8]] * rows, dtype=dtype)
    return Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction=numbers,
        target=np.arange(rows) % 4,
        target_form=TargetForm.INDEX,
        where=np.ones(numbers.shape, dtype=bool),
    )
