"""The suite: weights, smoothing and the class axis."""

from __future__ import annotations

from lossconform.checks.check import Question
from lossconform.examiner import Examiner

GROUP = "options"


def test_options(question: Question, examiner: Examiner) -> None:
    """Ask the question over many cases."""
    examiner.examine(question)
