"""Losses that are commands: what they answer, and what is said where they misbehave."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from own_losses import EXAMPLES

from lossconform.adapters import ready
from lossconform.adapters.base import Refusal
from lossconform.adapters.command import loss_function as command_loss
from lossconform.reference.case import Case, Loss, TargetForm

COMMAND: Any = {
    "loss": "binary_cross_entropy",
    "targets": ["binary"],
    "arguments": {"prediction": "logits", "target": "labels"},
}


BINARY = Case(
    loss=Loss.BINARY_CROSS_ENTROPY,
    prediction=np.array([[0.0, 2.0]]),
    target=np.array([[0.0, 1.0]]),
    target_form=TargetForm.BINARY,
)


def asked(words: list[str], **options: Any) -> Any:
    brought = ready(command_loss(words, **COMMAND, **options))
    return brought.ask(brought.functions[0], BINARY, mode="command", gradient=True)


def test_a_command_answers() -> None:
    answer = asked([sys.executable, str(EXAMPLES / "binary_loss.py")])
    assert answer.value[0, 0] == np.log(2)
    assert answer.gradient[0, 0] == 0.5


PROGRAMS = {
    "exit": ("import sys; sys.exit('no such thing')", "ended with exit code 1: no such thing"),
    "garbage": ("print('hello', flush=True); input()", "expected one JSON object a line; got 'hello'"),
    "number": ("print(3, flush=True); input()", "expected one JSON object a line; got '3'"),
    "empty": ("print({}, flush=True); input()", "the answer has no 'value'"),
    "refusal": ('print(\'{"error": "a label is no class"}\', flush=True); input()', "a label is no class"),
    "array": ('print(\'{"value": 3, "gradient": 3}\', flush=True); input()', "not an array with dtype"),
}


@pytest.mark.parametrize(("program", "complaint"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_command_that_misbehaves_is_a_refusal_that_says_how(program: str, complaint: str) -> None:
    answer = asked([sys.executable, "-c", program])
    assert isinstance(answer, Refusal)
    assert complaint in answer.message


def test_a_command_that_hangs_is_ended() -> None:
    answer = asked([sys.executable, "-c", "while True: pass"], timeout=0.5)
    assert isinstance(answer, Refusal)
    assert "gave no answer in 0.5 s" in answer.message
