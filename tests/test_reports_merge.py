"""Merging: targets come together, and what does not belong together is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lossconform.reports.merge import MergeError, merge
from lossconform.reports.model import CheckInfo, Timing
from tests import run_factory as make


def test_targets_come_in_the_order_given() -> None:
    jax, torch = make.run(make.target("jax")), make.run(make.target("torch"))
    assert [t.target for t in merge([jax, torch]).targets] == ["jax", "torch"]
    assert [t.target for t in merge([torch, jax]).targets] == ["torch", "jax"]


def test_one_run_stays_as_it_is() -> None:
    run = make.realistic()
    assert run == merge([run])


def test_a_run_split_by_target_is_merged_again() -> None:
    run = make.realistic()
    parts = [run.model_copy(update={"targets": [target], "timing": Timing(seconds=1.0)}) for target in run.targets]
    assert run.model_copy(update={"timing": Timing(seconds=3.0)}) == merge(parts)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"profile": "quick"}, r"profile differs: 'default' \(torch\) and 'quick' \(jax\)"),
        ({"seed": 1}, r"seed differs: 20240501 \(torch\) and 1 \(jax\)"),
        ({"lossconform": "0.2.0"}, r"lossconform differs: '0.1.0' \(torch\) and '0.2.0' \(jax\)"),
        ({"checks": [CheckInfo(id="smoothing", question="Another?")]}, "check smoothing asks two things"),
    ],
)
def test_what_differs_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MergeError, match=said):
        merge([make.run(make.target("torch")), make.run(make.target("jax"), **changes)])


def test_a_newer_schema_is_not_merged() -> None:
    newer = make.run(make.target("jax")).model_copy(update={"schema_version": 2})
    with pytest.raises(MergeError, match="schema_version differs"):
        merge([make.run(), newer])


def test_a_target_is_taken_once() -> None:
    with pytest.raises(MergeError, match="target torch is in two of the runs"):
        merge([make.run(), make.run()])


def test_nothing_is_not_a_run() -> None:
    with pytest.raises(MergeError, match="no runs"):
        merge([])


def test_commands_environments_times_and_checks_are_joined() -> None:
    one = make.run(
        make.target("torch"),
        command="a",
        environment={"python": "3.11", "platform": "Linux"},
        checks=[CheckInfo(id="a", question="A?")],
        timing=Timing(started="2024-05-01T12:00:01Z", seconds=1.0, peak_mib=300.0),
    )
    other = make.run(
        make.target("jax"),
        command="b",
        environment={"python": "3.12", "platform": "Linux"},
        checks=[CheckInfo(id="b", question="B?"), CheckInfo(id="a", question="A?")],
        timing=Timing(started="2024-05-01T12:00:00Z", seconds=2.0, peak_mib=200.0),
    )
    run = merge([one, other])
    assert run.command == "a && b"
    assert run.environment == {"python": "3.11 (torch); 3.12 (jax)", "platform": "Linux"}
    assert [check.id for check in run.checks] == ["a", "b"]
    assert Timing(started="2024-05-01T12:00:00Z", seconds=3.0, peak_mib=300.0) == run.timing
