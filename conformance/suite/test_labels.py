"""The suite: the forms of targets, and labels that are none."""

from __future__ import annotations

from lossconform.checks.check import Question
from lossconform.examiner import Examiner

GROUP = "labels"


def test_labels(question: Question, examiner: Examiner) -> None:
    """Ask the question over many cases."""
    examiner.examine(question)
