"""The suite: the forms of targets, and labels that are none."""

from __future__ import annotations

from lossconform.examiner import Examiner
from lossconform.checks.check import Question

GROUP = "labels"


def test_labels(question: Question, examiner: Examiner) -> None:
    """Ask the question over many cases."""
    examiner.examine(question)
