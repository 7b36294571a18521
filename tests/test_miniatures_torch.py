"""Faults in a framework with autograd: every check catches those it is for, and leaves correct losses alone."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytest.importorskip("torch")

from lossconform.adapters.miniatures import torch_faulty, torch_unusual
from lossconform.adapters.miniatures.torch_fault import TorchFault
from lossconform.adapters.miniatures.torch_faulty import SURVIVORS
from lossconform.selftest import Subject, ask, subjects

FAULTS = [
    pytest.param(
        fault, id=fault.id, marks=pytest.mark.xfail(reason=SURVIVORS[fault.id]) if fault.id in SURVIVORS else ()
    )
    for fault in torch_faulty.FAULTS.values()
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault: TorchFault) -> None:
    found = ask(Subject("torch", "fault", fault.id), 0)
    assert found.against == fault.checks
    for check, message in zip(found.against, found.messages, strict=True):
        assert re.search(fault.named(check), message.partition(": fail, ")[2]), message


@pytest.mark.parametrize("name", torch_unusual.VARIATIONS)
def test_a_correct_loss_is_left_alone(name: str) -> None:
    assert ask(Subject("torch", "correct", name), 0).messages == ()


def test_every_fault_is_one_change() -> None:
    # A second method may only take back what the first would break elsewhere.
    faults = torch_faulty.FAULTS.values()
    assert {fault.id for fault in faults if len(fault.patch) > 2} == set()
    assert len({(fault.loss, fault.wrong, *fault.checks) for fault in faults}) == len(faults)
    assert len(faults) == sum(len(module.FAULTS) for module in torch_faulty.MODULES)


def test_there_are_enough_of_them() -> None:
    found = subjects(["torch"])
    assert sum(not s.correct for s in found) >= 75
    assert sum(s.correct for s in found) >= 8


def test_torch_is_imported_only_when_they_are_asked_for() -> None:
    code = "import sys, lossconform.selftest, lossconform.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
