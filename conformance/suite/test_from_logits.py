"""The suite: what a prediction is, and what happens to probabilities."""

from __future__ import annotations

from lossconform.checks.check import Question
from lossconform.examiner import Examiner

GROUP = "from_logits"


def test_from_logits(question: Question, examiner: Examiner) -> None:
    """Ask the question over many cases."""
    examiner.examine(question)
