"""One look: a case put to a loss function and judged, with everything a check wants to know of it."""

from __future__ import annotations

from dataclasses import dataclass

from lossconform.adapters.base import Answer, Framework, LossFunction, Refusal, Unsupported
from lossconform.checks.check import Question
from lossconform.judge import LENIENT, Judgement, Oracle, bar
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case
from lossconform.reference.grades import Grade
from lossconform.reference.policy import CHOICES, Policy


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
        answer = framework.ask(function, case, mode=question.mode, gradient=question.gradient)
    except Unsupported:
        return None
    if isinstance(answer, Answer) and not check.gradient:
        answer = Answer(answer.value)
    worst = bar(case, function.contract) if accuracy else LENIENT
    if check.may_refuse and isinstance(answer, Refusal):
        return Look(case, function, answer, Judgement(ok=True), telling=True)
    policy = function.contract.policy()
    if check.policy is None:
        oracle = _oracle(question, case, policy)
        judgement = oracle.judge(answer, worst, value=not accuracy, strict=check.strict_dtype)
        return Look(case, function, answer, judgement, _telling(question, oracle))
    mine = getattr(policy, check.policy)
    judgements = _judgements(question, case, answer, worst)
    allowed = frozenset(value for value, judgement in judgements.items() if judgement.ok)
    return Look(case, function, answer, judgements[mine], len(allowed) < len(CHOICES[check.policy]), allowed)


def _oracle(question: Question, case: Case, policy: Policy) -> Oracle:
    contract = question.function.contract
    return Oracle.of(
        case,
        policy,
        gradient=question.check.gradient,
        accumulator=contract.accumulator.value,
        # No framework promises an order of summation; a contract that promises a bar promises its sums with it.
        any_order=contract.bar is None,
    )


def _judgements(question: Question, case: Case, answer: Answer | Refusal, worst: Grade) -> dict[str, Judgement]:
    """Judge an answer under each value of the check's policy; denominators that are the same number are judged once."""
    name = question.check.policy or ""
    found: dict[object, Judgement] = {}
    judged = {}
    for value, other in question.function.contract.policy().alternatives(name).items():
        same = canonical(case, other).denominator if name == "mean_denominator" else value
        if same not in found:
            found[same] = _oracle(question, case, other).judge(answer, worst)
        judged[value] = found[same]
    return judged


def _telling(question: Question, oracle: Oracle) -> bool:
    """Whether the oracle's case means something else without what the check is about."""
    if question.check.plain is None:
        return True
    plain = question.check.plain(oracle.case)
    if isinstance(plain, bool):
        return plain
    return not _oracle(question, plain, oracle.policy).judge(oracle.answer(), LENIENT).ok
