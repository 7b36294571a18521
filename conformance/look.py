"""One look: a case put to a loss function and judged, with everything a check wants to know of it."""

from __future__ import annotations

from dataclasses import dataclass

from lossconform.adapters.base import Answer, Framework, LossFunction, Refusal, Unsupported
from lossconform.checks.check import Question
from lossconform.judge import LENIENT, Judgement, Oracle, bar
from lossconform.reference.case import Case
from lossconform.reference.policy import CHOICES


@dataclass(frozen=True, eq=False)
class Look:
    """What one case showed.

    Attributes:
        case: the case.
        function: the loss function that was asked.
        answer: what it returned.
        judgement: against the contract's policy.
        telling: whether the case could have shown a fault, or told policy values apart.
        allowed: the values of the check's policy that the answer allows; None without one.
    """

    case: Case
    function: LossFunction
    answer: Answer | Refusal
    judgement: Judgement
    telling: bool
    allowed: frozenset[str] | None = None


def look(framework: Framework, question: Question, case: Case, *, accuracy: bool = False) -> Look | None:
    """Put a case to the question's loss function and judge the answer; None if it cannot be put."""
    check, function = question.check, question.function
    try:
        answer = framework.ask(function, case, mode=question.mode, gradient=check.gradient)
    except Unsupported:
        return None
    worst = bar(case) if accuracy else LENIENT
    policy, accumulator = function.contract.policy(), function.contract.accumulator.value
    if check.may_refuse and isinstance(answer, Refusal):
        return Look(case, function, answer, Judgement(ok=True), telling=True)
    if check.policy is None:
        oracle = Oracle.of(case, policy, gradient=check.gradient, accumulator=accumulator)
        judgement = oracle.judge(answer, worst, value=not accuracy, strict=check.strict_dtype)
        return Look(case, function, answer, judgement, _telling(question, case))
    mine = getattr(policy, check.policy)
    judgements = {
        value: Oracle.of(case, other, gradient=check.gradient, accumulator=accumulator).judge(answer, worst)
        for value, other in policy.alternatives(check.policy).items()
    }
    allowed = frozenset(value for value, judgement in judgements.items() if judgement.ok)
    return Look(case, function, answer, judgements[mine], len(allowed) < len(CHOICES[check.policy]), allowed)


def _telling(question: Question, case: Case) -> bool:
    """Whether the case means something else without what the check is about."""
    if question.check.plain is None:
        return True
    plain = question.check.plain(case)
    if isinstance(plain, bool):
        return plain
    policy = question.function.contract.policy()
    exact = Oracle.of(case, policy, gradient=question.check.gradient).answer()
    return not Oracle.of(plain, policy, gradient=question.check.gradient).judge(exact, LENIENT).ok
