"""The pytest plugin as a user meets it: real pytest processes over the suite."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lossconform.reports.runfile import read

HERE = Path(__file__).parent


def suite(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "lossconform.suite", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_without_a_framework_it_says_what_is_missing(tmp_path: Path) -> None:
    done = suite(cwd=tmp_path)
    assert done.returncode == 2
    assert "lossconform.suite needs --framework: one of torch, tensorflow" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--framework", "caffe"], "unknown framework 'caffe': expected one of torch"),
        (["--framework", "torch", "--profile", "slow"], "unknown profile 'slow': expected one of smoke"),
    ],
)
def test_what_cannot_be(options: list[str], said: str, tmp_path: Path) -> None:
    done = suite(*options, cwd=tmp_path)
    assert done.returncode == 4
    assert said in done.stderr


def test_keywords_select_questions(tmp_path: Path) -> None:
    done = suite("--framework", "jax", "-k", "ignore", "--collect-only", "-q", cwd=tmp_path)
    tests = [line for line in done.stdout.splitlines() if "::" in line]
    assert tests
    assert all("test_ignore[ignore-where-" in line for line in tests)
    assert any("optax.softmax_cross_entropy" in line for line in tests)


def test_workers_write_the_same_run_file(tmp_path: Path) -> None:
    options = ["--framework", "torch", "--profile", "smoke", "--hypothesis-seed", "3", "-k", "logsigmoid"]
    texts = []
    for name, more in (("alone.json", []), ("workers.json", ["-n", "2"])):
        done = suite(*options, *more, "--run-file", name, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        target = read(tmp_path / name).targets[0]
        assert len(target.records) == target.expected > 0
        records = [json.loads(r.model_dump_json(exclude={"timing"})) for r in target.records]
        texts.append(sorted(json.dumps(record) for record in records))
        assert not list(tmp_path.glob("*.journal"))
    assert texts[0] == texts[1]


def test_a_run_file_that_cannot_be_written_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    done = suite("--framework", "jax", "-k", "log_sigmoid", "--run-file", "no/such/run.json", cwd=tmp_path)
    assert done.returncode != 0
    assert "cannot be written" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
