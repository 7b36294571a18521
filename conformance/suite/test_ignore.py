"""The suite: what takes no part: ignored labels and masked classes."""

from __future__ import annotations

from lossconform.checks.check import Question
from lossconform.examiner import Examiner

GROUP = "ignore"


def test_ignore(question: Question, examiner: Examiner) -> None:
    """Ask the question over many cases."""
    examiner.examine(question)
