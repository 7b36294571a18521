"""Examining: one question asked over many cases, and the record of what was found.

Hypothesis draws the cases and, for checks of meaning, shrinks a failing one; a large one is cut to equal rows instead.
Accuracy goes regime by regime with packed cases, whose worst row is cut out afterwards.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from itertools import count

from hypothesis.errors import FlakyFailure, Unsatisfiable
from hypothesis.strategies import SearchStrategy

from lossconform.adapters.base import UNCOMPILED, Framework
from lossconform.checks.check import Question
from lossconform.cut import equal_rows, smallest
from lossconform.drawing import each
from lossconform.expectations import Expectation
from lossconform.findings import Findings, hazard
from lossconform.look import Look, look
from lossconform.plan import first_mode
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case, Form, TargetForm
from lossconform.reference.policy import CHOICES
from lossconform.reports.model import Grade as GradeName
from lossconform.reports.model import Observed, Record, Timing, Verdict, Witness
from lossconform.strategies.regimes import SEEDS, Regime, apart, cotangent, fill, regimes
from lossconform.strategies.strata import LEAST, strata
from lossconform.witness import in_dtype, witness


class Deviation(AssertionError):  # noqa: N818 - a finding, not an error
    """A case that no expectation covers; Hypothesis shrinks it."""


def examine(framework: Framework, question: Question, expectations: list[Expectation]) -> Record:
    """Ask a question over many cases and return the record. Never raises for what a loss function does."""
    started = time.perf_counter()
    contract = question.function.contract
    own = [e for e in expectations if e.concerns(question)]
    findings = Findings(question, own)
    if question.dtype not in contract.dtypes:
        return _record(question, Verdict.UNSUPPORTED, f"the contract has no {question.dtype}")
    for expectation in own:
        if not _recalled(framework, findings, expectation) and _taken_here(framework, question, expectation):
            message = f"expectation {expectation.id} is stale: its witness no longer shows a deviation"
            return _record(question, Verdict.FAIL, message, findings, started)
    if question.check.cases is None:
        _accuracy(framework, findings)
    else:
        _meaning(framework, findings)
    return _conclude(framework, findings, started)


def _recalled(framework: Framework, findings: Findings, expectation: Expectation) -> bool:
    """Ask an expectation's witness, so that what is known does not hang on the cases drawn; whether it deviates."""
    question = findings.question
    case = in_dtype(expectation.witness, question.dtype)
    seen = None if case is None else look(framework, question, case, accuracy=question.check.cases is None)
    if seen is None or (seen.judgement.ok and not hazard(question, seen.allowed)):
        return False
    if findings.note(seen):
        findings.failure = seen
    return True


def _taken_here(framework: Framework, question: Question, expectation: Expectation) -> bool:
    """Whether an expectation's witness was taken in this very place, and shows what it shows on every machine."""
    mode = (expectation.modes or (first_mode(framework.engine, question.check),))[0]
    place = (expectation.loss_functions[0], expectation.witness.dtype, mode)
    return not expectation.varies and place == (question.function.id, question.dtype, question.mode)


def _meaning(framework: Framework, findings: Findings) -> None:
    """Go through the strata of a check of meaning; keep the smallest failing look."""
    question = findings.question
    check, contract = question.check, question.function.contract
    assert check.cases is not None  # noqa: S101 - a check of meaning
    profile = question.profile
    first = question.dtype in profile.meaning_dtypes and not question.function.form_of
    asked = profile.examples if first or check.once else profile.elsewhere
    narrowed = strata(contract, LEAST * profile.large if check.large else asked, check.applies, check.each)
    # What is identified must not hang on the one case that failed first, nor on the small ones it shrinks to, which
    # tell the least: a check of a policy sees every case before one is shrunk.
    identifies = check.policy is not None
    failing: tuple[SearchStrategy[Case], int] | None = None
    turns = [strategy for one in narrowed for strategy in _turns(check.cases(one, question.dtype))]
    apiece = 1 if check.large or check.once else max(LEAST, -(-asked // len(turns)))
    for turn, strategy in enumerate(turns):
        shrink = profile.shrink and not (identifies or check.large)
        found = _first(framework, question, findings, strategy, apiece, turn, to_the_end=identifies, shrink=shrink)
        if found is not None and failing is None:
            failing, findings.failure = (strategy, turn), found
            if check.large and profile.shrink:
                findings.failure = _cut(framework, findings, found)
            if not identifies:
                return
    if failing is not None and profile.shrink:
        again = Findings(question, findings.expectations)
        findings.failure = _first(framework, question, again, failing[0], apiece, failing[1]) or findings.failure


def _turns(strategies: tuple[SearchStrategy[Case], ...] | SearchStrategy[Case]) -> tuple[SearchStrategy[Case], ...]:
    return strategies if isinstance(strategies, tuple) else (strategies,)


def _first(
    framework: Framework,
    question: Question,
    findings: Findings,
    strategy: SearchStrategy[Case],
    examples: int,
    turn: int,
    *,
    to_the_end: bool = False,
    shrink: bool = True,
) -> Look | None:
    """Ask the cases of a strategy; return a look that deviates: the smallest, or the first if all are asked."""
    failure: Look | None = None

    def body(case: Case) -> None:
        nonlocal failure
        seen = look(framework, question, case)
        if seen is None or not findings.note(seen) or (to_the_end and failure is not None):
            return
        failure = seen
        if not to_the_end:
            raise Deviation

    # The failing look is kept: the last one is the smallest. Unsatisfiable leaves no case at all.
    with suppress(Deviation, FlakyFailure, Unsatisfiable):
        each(strategy, examples, body, turn=turn, shrink=shrink)
    return failure


def _accuracy(framework: Framework, findings: Findings) -> None:
    """Go through the regimes with packed cases, so many times over that each has every form of the target."""
    question = findings.question
    contract, profile = question.function.contract, question.profile
    usual = question.mode == next(iter(framework.engine.modes))
    if question.mode in UNCOMPILED and not usual:
        question = replace(question, profile=profile.beside())
    many = bool(profile.many) and (profile.every_mode or usual) and not apart(contract)
    places = [(form, regime) for form in contract.forms for regime in regimes(contract, form, many=many)]
    rounds = count()

    def body(seed: int) -> None:
        turn = next(rounds)
        target_form = contract.targets[turn % len(contract.targets)]
        for form, regime in places:
            seen = look(framework, question, packed(question, regime, form, target_form, seed, turn), accuracy=True)
            if seen is None:
                continue
            findings.cell(regime.id if len(contract.forms) == 1 else f"{regime.id}, {form}", seen)
            if findings.note(seen) and _worse(seen, findings.failure):
                findings.failure = seen

    asked = profile.again if question.function.form_of else profile.per_regime
    each(SEEDS, max(asked, len(contract.targets)), body, turn=0, shrink=False)
    if findings.failure is not None and profile.shrink:
        findings.failure = _cut(framework, findings, findings.failure)


def packed(question: Question, regime: Regime, form: Form, target_form: TargetForm, seed: int, turn: int = 0) -> Case:
    """Return a packed case of a regime, with an upstream gradient if the gradient is asked for."""
    contract = question.function.contract
    case = fill(regime, contract, form, target_form, question.dtype, question.profile, seed, turn)
    if question.gradient:
        case = cotangent(case, canonical(case, contract.policy()).value_shape, seed)
    return case


def _worse(seen: Look, other: Look | None) -> bool:
    if other is None or other.judgement.grade is None:
        return other is None
    mine = seen.judgement
    return mine.grade is None or (mine.grade, mine.ulp or 0) > (other.judgement.grade, other.judgement.ulp or 0)


def _cut(framework: Framework, findings: Findings, failure: Look) -> Look:
    """Return the failure on the smallest case that shows it with the same grade or a worse one."""
    question = findings.question
    grade = failure.judgement.grade
    best = failure
    large = question.check.large

    def shows(case: Case) -> bool:
        nonlocal best
        seen = look(framework, question, case, accuracy=not large)
        if seen is None or seen.judgement.ok or any(e.covers(case, seen.judgement) for e in findings.expectations):
            return False
        if grade is not None and (seen.judgement.grade is None or seen.judgement.grade < grade):
            return False
        best = seen
        return True

    if large:
        equal_rows(failure.case, shows)
    else:
        smallest(failure.case, shows, classes=question.mode in UNCOMPILED)
    return best


def _conclude(framework: Framework, findings: Findings, started: float) -> Record:
    question = findings.question
    check = question.check
    if findings.failure is not None:
        return _record(
            question,
            Verdict.FAIL,
            _message(findings),
            findings,
            started,
            witness(framework, question, findings.failure),
        )
    if findings.telling == 0:
        return _record(question, Verdict.NOT_RUN, "no case that tells was seen", findings, started)
    if findings.hazard:
        value = sorted(findings.allowed or ())[0]
        meaning = CHOICES[check.policy or ""][value]
        shown = None if findings.shown is None else witness(framework, question, findings.shown, refused=True)
        return _record(question, Verdict.HAZARD, f"accepted in silence: {meaning}", findings, started, shown)
    if findings.known:
        reasons = "; ".join(e.reason for e in findings.known)
        covered = findings.covered
        shown = None if covered is None else witness(framework, question, covered, refused=covered.judgement.ok)
        return _record(question, Verdict.KNOWN, reasons, findings, started, shown)
    return _record(question, Verdict.PASS, "", findings, started)


def _message(findings: Findings) -> str:
    """Say what is wrong, and for a policy what is done instead of what was promised."""
    failure, check = findings.failure, findings.question.check
    problem = "" if failure is None else failure.judgement.problem
    if check.policy is None:
        return problem
    clause = findings.question.function.contract.policies.get(check.policy)
    value = getattr(findings.question.function.contract.policy(), check.policy)
    word = "documented" if clause is not None and clause.source is not None else "assumed, not documented"
    seen = ", ".join(sorted(findings.allowed or ())) or "no known policy"
    return f"{check.policy} is {word} as {value!r}; observed: {seen}. {problem}"


def _record(
    question: Question,
    verdict: Verdict,
    message: str,
    findings: Findings | None = None,
    started: float | None = None,
    shown: Witness | None = None,
) -> Record:
    found = findings or Findings(question, [])
    return Record(
        loss_function=question.function.id,
        check=question.check.id,
        dtype=question.dtype,
        mode=question.mode,
        verdict=verdict,
        message=message,
        cases=found.cases,
        telling=found.telling,
        grade=None if found.worst is None else GradeName(found.worst.label),
        max_ulp=found.ulp,
        regimes=list(found.cells.values()),
        policies=_observed(found),
        expectation=", ".join(e.id for e in found.known) or None,
        witness=shown,
        timing=Timing(seconds=0.0 if started is None else round(time.perf_counter() - started, 4)),
    )


def _observed(findings: Findings) -> list[Observed]:
    policy = findings.question.check.policy
    if policy is None or findings.allowed is None:
        return []
    contract = findings.question.function.contract
    clause = contract.policies.get(policy)
    documented = clause is not None and clause.source is not None
    source = clause.source if clause is not None else None
    return [
        Observed(
            policy=policy,
            documented=clause.value if documented and clause is not None else None,
            assumed=getattr(contract.policy(), policy),
            observed=sorted(findings.allowed),
            telling=findings.telling,
            source=None if source is None else f"{source.title} {source.version}, {source.section}",
        )
    ]
