"""Crashes: the record of a question whose loss function ended its process, or tried to."""

from __future__ import annotations

from pathlib import Path

from lossconform.adapters import describe
from lossconform.adapters.base import Framework
from lossconform.checks.check import Question
from lossconform.isolation import last_case
from lossconform.plan import questions
from lossconform.profiles import PROFILES
from lossconform.reference.case import Case
from lossconform.reports.model import Question as Name
from lossconform.reports.model import Record, Verdict, Witness
from lossconform.witness import unanswered

LARGEST = 20_000
"""The most entries of a prediction that a record shows: nobody cuts a case that ended the process."""


def crashed(framework: Framework, question: Question, case: Case | None, message: str) -> Record:
    """Return the record of a question that ended with its loss function; with the case asked last if there was one."""
    return Record(
        loss_function=question.function.id,
        check=question.check.id,
        dtype=question.dtype,
        mode=question.mode,
        verdict=Verdict.CRASHED,
        message=message,
        witness=shown(framework, question, case, message),
    )


def shown(framework: Framework, question: Question, case: Case | None, message: str) -> Witness | None:
    """Return a case that has no answer as a witness; None if there is no case, or it is too large to show."""
    if case is None or case.prediction.size > LARGEST:
        return None
    try:
        return unanswered(framework, question, case, message)
    except Exception:
        # The case of a call that went wrong may be one that nothing can be said of: the record stands without it.
        return None


def of_process(target: str, profile: str, name: Name, case: Path, message: str) -> Record:
    """Return the record of a question during which the process of a target ended, from what that process left.

    Args:
        target: whose process it was.
        profile: how much it was asked.
        name: the question.
        case: the file with the case that was asked last.
        message: how the process ended.
    """
    bare = Record(**name.model_dump(), verdict=Verdict.CRASHED, message=message)
    try:
        framework = describe(target)
        asked = {(q.function.id, q.check.id, q.dtype, q.mode): q for q in questions(framework, PROFILES[profile])}
        question = asked[name.loss_function, name.check, name.dtype, name.mode]
        return crashed(framework, question, last_case(case), message)
    except Exception:
        # What cannot be described from here, because it must be started first, is recorded without a witness.
        return bare
