"""Witnesses: one look as the run file keeps it, with the program that shows it in the framework alone."""

from __future__ import annotations

import numpy as np

from lossconform.adapters.base import SHOWN, Answer, Framework, InputChanged, Refusal, list_source, shown
from lossconform.checks.check import Question
from lossconform.judge import LENIENT, Oracle, bar, hex_of
from lossconform.look import Look
from lossconform.reference.case import ARRAYS, Case
from lossconform.reference.formats import dtype_of
from lossconform.reference.repeats import MANY, period
from lossconform.reference.serial import array_to_json, case_to_json
from lossconform.reports.model import Numbers, Witness


def in_dtype(case: Case, dtype: str) -> Case | None:
    """Return a case with its floating arrays in another dtype; None if that would change one of their numbers."""
    changes = {}
    for name in ARRAYS:
        array = getattr(case, name)
        if array is None or array.dtype.kind in "biu":
            continue
        with np.errstate(over="ignore", under="ignore"):
            changes[name] = array.astype(dtype_of(dtype))
        if not np.array_equal(changes[name].astype(np.float64), array.astype(np.float64), equal_nan=True):
            return None
    return case.replace(**changes)


def witness(framework: Framework, question: Question, seen: Look, *, refused: bool = False) -> Witness:
    """Return a look as a witness, with the program that shows it; `refused` if an exception would have been right."""
    judgement, case = seen.judgement, seen.case
    policy = seen.function.contract.policy()
    if refused and question.check.policy is not None:
        policy = policy.replace(**{question.check.policy: "refused"})
    oracle = Oracle.of(case, policy, gradient=question.check.gradient)
    exact = oracle.answer()
    gradient = judgement.part == "gradient"
    index = list(judgement.index) if judgement.index else ""
    allowed = None
    if judgement.allowed is not None:
        name = bar(case, seen.function.contract).label if question.check.cases is None else LENIENT.label
        allowed = f"{judgement.allowed:.3g} ULP ({name})"
    return Witness(
        case=case_to_json(case),
        answer=_shown(seen.answer, gradient=gradient),
        expected=_shown(exact, gradient=gradient),
        where=None if judgement.got is None else f"{judgement.part}{index}",
        got=hex_of(judgement.got),
        wanted=hex_of(judgement.wanted),
        ulp=judgement.distance,
        allowed=allowed,
        snippet=framework.snippet(seen.function, case, mode=question.mode, gradient=question.gradient)
        + _afterwards(seen)
        + _comparison(judgement.part, exact),
    )


def unanswered(framework: Framework, question: Question, case: Case, message: str) -> Witness:
    """Return a case that was asked and never answered as a witness; `message` says what happened instead."""
    check = question.check
    exact = Oracle.of(case, question.function.contract.policy(), gradient=check.gradient).answer()
    part = "gradient" if check.gradient else "value"
    return Witness(
        case=case_to_json(case),
        answer=message,
        expected=_shown(exact, gradient=check.gradient),
        snippet=framework.snippet(question.function, case, mode=question.mode, gradient=question.gradient)
        + _comparison(part, exact),
    )


def _afterwards(seen: Look) -> str:
    """Return the lines of a snippet that show what has become of the arguments, where one was changed in place."""
    if not isinstance(seen.answer, Refusal) or seen.answer.kind != InputChanged.__name__:
        return ""
    names = seen.function.invocation(seen.case).tensors
    return "".join(f'print("afterwards {name}", {name}.tolist())\n' for name in names)


def _comparison(part: str, exact: object) -> str:
    """Return the lines of a snippet that say what is right."""
    if not isinstance(exact, Answer):
        return '# expected: an exception\nprint("expected an exception")\n'
    array = np.asarray(exact.gradient if part == "gradient" else exact.value)
    name = shown(part, array.size)
    return f'print("expected {name}", {list_source(array if name == part else array[:SHOWN])})\n'


def _shown(answer: object, *, gradient: bool) -> Numbers | str:
    if isinstance(answer, Answer):
        array = answer.gradient if gradient and answer.gradient is not None else answer.value
        if array.ndim and period(array) == len(array) > MANY:
            return f"{array.size} numbers, which do not repeat"
        return Numbers(**array_to_json(array))
    return f"{answer.kind}: {answer.message}"  # type: ignore[attr-defined]
