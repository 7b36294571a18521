"""The suite: how far values and gradients are from the exact ones."""

from __future__ import annotations

from lossconform.checks.check import Question
from lossconform.examiner import Examiner

GROUP = "accuracy"


def test_accuracy(question: Question, examiner: Examiner) -> None:
    """Ask the question over many cases."""
    examiner.examine(question)
