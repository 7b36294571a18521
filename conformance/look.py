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
    oracle = _oracle(question, case, policy, gradient=check.gradient)
    judgement = oracle.judge(answer, worst, value=not accuracy, strict=check.strict_dtype)
    if check.policy is None:
        return Look(case, function, answer, judgement, _telling(question, oracle))
    allowed = _allowed(question, case, answer, worst, judgement)
    return Look(case, function, answer, judgement, len(allowed) < len(CHOICES[check.policy]), allowed)


def _oracle(question: Question, case: Case, policy: Policy, *, gradient: bool) -> Oracle:
    contract = question.function.contract
    return Oracle.of(
        case,
        policy,
        gradient=gradient,
        accumulator=contract.accumulator.value,
        # No framework promises an order of summation; a contract that promises a bar promises its sums with it.
        any_order=contract.bar is None,
    )


def _right(question: Question, case: Case, policy: Policy, answer: Answer | Refusal, worst: Grade) -> bool:
    """Whether an answer is right under a policy; its gradient, which takes longer, is looked at if its value is."""
    if not _oracle(question, case, policy, gradient=False).judge(answer, worst).ok:
        return False
    if not question.check.gradient:
        return True
    return _oracle(question, case, policy, gradient=True).judge(answer, worst, value=False).ok


def _allowed(question: Question, case: Case, answer: Answer | Refusal, worst: Grade, mine: Judgement) -> frozenset[str]:
    """Return the values of the check's policy that an answer allows, given the judgement under the contract's own.

    Denominators that are the same number are judged once.
    """
    name = question.check.policy or ""
    policy = question.function.contract.policy()

    def key(value: str, other: Policy) -> object:
        return canonical(case, other).denominator if name == "mean_denominator" else value

    found: dict[object, bool] = {key(getattr(policy, name), policy): mine.ok}
    allowed = set()
    for value, other in policy.alternatives(name).items():
        same = key(value, other)
        if same not in found:
            found[same] = _right(question, case, other, answer, worst)
        if found[same]:
            allowed.add(value)
    return frozenset(allowed)


def _telling(question: Question, oracle: Oracle) -> bool:
    """Whether the oracle's case means something else without what the check is about."""
    if question.check.plain is None:
        return True
    plain = question.check.plain(oracle.case)
    if isinstance(plain, bool):
        return plain
    return not _right(question, plain, oracle.policy, oracle.answer(), LENIENT)
