"""The smoke test of an adapter: ten moderate cases that any loss must pass, with advice where one does not.

It judges how a loss is asked, not how good it is: an answer need only be near. Before it passes, nothing that a check
says of the loss means anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from lossconform.adapters.base import Answer, Framework, LossFunction, Refusal, Unsupported
from lossconform.adapters.contract import Contract
from lossconform.judge import Oracle
from lossconform.profiles import PROFILES
from lossconform.reference.case import ELEMENTWISE, Array, Case, Form, Loss, Reduction
from lossconform.reference.policy import CHOICES, Policy
from lossconform.strategies.regimes import ALL, cotangent, fill

COUNT = 10
SMALL = dataclasses.replace(PROFILES["smoke"], rows=2, classes=3)
"""So that a person can look at every number of a case."""

SLACK = 8
"""How many unit roundoffs, of one more than the largest number involved, an answer may be away: what backward-stable
allows, 4, for each of two rows. In bfloat16 that is still less than a gradient of the wrong sign is away."""

MODERATE = next(regime for regime in ALL if regime.id == "moderate")
OPEN: dict[str, Callable[[Case], bool]] = {
    "mean_denominator": lambda case: case.reduction is Reduction.MEAN,
    "class_axis_reduction": lambda case: case.loss in ELEMENTWISE,
    "probability_sum": lambda case: case.form is Form.PROBABILITIES and case.loss is Loss.SOFTMAX_CROSS_ENTROPY,
    "focal_target": lambda case: case.loss is Loss.FOCAL,
}
"""The policies that tell on moderate cases, and on which: any value of them will do."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one case showed.

    Attributes:
        title: the case in words.
        problem: what is wrong; empty if nothing is.
        advice: what it looks like, and how to mend it.
        snippet: a program that shows it.
    """

    title: str
    problem: str = ""
    advice: str = ""
    snippet: str = ""


def smoke(framework: Framework, function: LossFunction) -> list[Outcome]:
    """Return what each of the ten cases showed. The framework must have been started."""
    return [_outcome(framework, function, case) for case in cases(function.contract)]


def lines_of(outcomes: list[Outcome]) -> list[str]:
    """Return outcomes as lines for a terminal: what is wrong and the advice; the program of the first that is."""
    lines: list[str] = []
    for outcome in outcomes:
        lines.append(f"  {'FAIL' if outcome.problem else 'ok  '}  {outcome.title}")
        texts = [f"        {text}" for text in (outcome.problem, outcome.advice) if text]
        lines += ["        the same"] if texts and texts[0] in lines else texts
    wrong = [outcome for outcome in outcomes if outcome.problem]
    if wrong and wrong[0].snippet:
        lines += ["", "  the first of them in a program of its own:", ""]
        lines += [f"    {line}".rstrip() for line in wrong[0].snippet.splitlines()]
    passed = len(outcomes) - len(wrong)
    verdict = "it is asked as it should be" if not wrong else "mend this first: nothing else means anything before"
    return [*lines, "", f"  {passed} of {len(outcomes)} cases pass: {verdict}"]


def cases(contract: Contract) -> Iterator[Case]:
    """Return the cases: the values of each list of the contract in turn, the plainest of all first."""
    plain = ["float32", *(dtype for dtype in contract.dtypes if dtype != "float32")]
    dtypes = [dtype for dtype in plain if dtype in contract.dtypes]
    sizes = [range(len(each)) for each in (contract.forms, contract.targets, contract.reductions)]
    combined = sorted(product(*sizes), key=sum)
    for i in range(COUNT):
        form, target, reduction = combined[i % len(combined)]
        dtype = dtypes[0] if i < COUNT // 2 else dtypes[(i - COUNT // 2) % len(dtypes)]
        size = dataclasses.replace(SMALL, classes=3 + i % 2)
        case = fill(MODERATE, contract, contract.forms[form], contract.targets[target], dtype, size, seed=i)
        case = case.replace(reduction=contract.reductions[reduction])
        yield case if i < COUNT // 2 else _first_row(case) if i == COUNT - 1 else _scaled(case, i)


def _first_row(case: Case) -> Case:
    return case.replace(prediction=case.prediction[:1], target=None if case.target is None else case.target[:1])


def _scaled(case: Case, seed: int) -> Case:
    """Return a case with an upstream gradient, where its value has one entry a row."""
    rowwise = case.loss in ("softmax_cross_entropy", "log_sum_exp", "entropy")
    return cotangent(case, case.batch_shape, seed) if rowwise else case


def _outcome(framework: Framework, function: LossFunction, case: Case) -> Outcome:
    title = _title(case)
    mode = next(iter(framework.engine.modes))
    try:
        answer = framework.ask(function, case, mode=mode, gradient=True)
    except Unsupported as reason:
        return Outcome(title, f"it cannot be asked: {reason}", "narrow what is said of the loss to what it takes")
    snippet = framework.snippet(function, case, mode=mode, gradient=True)
    if isinstance(answer, Refusal):
        advice = (
            "compare the call in the program below with the signature: names, dtypes and options are passed as stated"
        )
        return Outcome(title, f"it raised {answer.kind}: {answer.message}", advice, snippet)
    exact = _readings(case, function.contract.policy())
    wrong = [_differs(answer, right, case) for right in exact]
    if "" in wrong:
        return Outcome(title)
    return Outcome(title, wrong[0], _advice(answer, case, function, exact[0]), snippet)


def _title(case: Case) -> str:
    target = "" if case.target is None else f", {case.target_form} targets"
    upstream = "" if case.cotangent is None else ", upstream gradient"
    return f"{case.form}{target}, reduction {case.reduction}, {case.dtype} {case.prediction.shape}{upstream}"


def _readings(case: Case, policy: Policy) -> list[Answer]:
    """Return the right answers under each value of the open policies, the stated ones first."""
    found = []
    telling = [name for name, tells in OPEN.items() if tells(case)]
    for values in product(*(CHOICES[name] for name in telling)):
        read = policy.replace(**dict(zip(telling, values, strict=True)))
        answer = Oracle.of(case, read, gradient=True).answer()
        if isinstance(answer, Answer):
            found.append((read != policy, answer))
    return [answer for _, answer in sorted(found, key=lambda pair: pair[0])]


def _differs(answer: Answer, right: Answer, case: Case) -> str:
    """Say how an answer is not near the right one; empty if it is."""
    for part, got, exact in (("value", answer.value, right.value), ("gradient", answer.gradient, right.gradient)):
        if got is None or exact is None:
            return f"there is no {part}"
        if got.shape != exact.shape:
            return f"the {part} has shape {got.shape}, not {exact.shape}"
        if not _near(got, exact, case):
            return f"the {part} is {_shown(got)}, exactly {_shown(exact)}"
    return ""


def _near(got: Array, exact: Array, case: Case) -> bool:
    numbers = [a.astype(np.float64) for a in (got, exact, case.prediction)]
    if got.shape != exact.shape or not np.isfinite(numbers[0]).all():
        return False
    size = 1 + max(float(np.abs(a).max(initial=0.0)) for a in numbers[1:])
    return bool(np.abs(numbers[0] - numbers[1]).max(initial=0.0) <= SLACK * 2.0**-case.format.precision * size)


def _shown(array: Array) -> str:
    numbers = array.astype(np.float64).ravel()
    return ", ".join(f"{v:.6g}" for v in numbers[:4].tolist()) + (", ..." if numbers.size > 4 else "")


def _advice(answer: Answer, case: Case, function: LossFunction, right: Answer) -> str:
    """Say what a wrong answer is the right answer to, if that can be found out."""
    policy = function.contract.policy()
    for words, other in _other_cases(case):
        for reading in _readings(other, policy):
            if _near(answer.value, reading.value, case):
                return f"the value is right for {words}: is that passed on?"
    value, slope, exact = (
        None if a is None else a.astype(np.float64) for a in (answer.value, answer.gradient, right.gradient)
    )
    if value is not None and _near(-value, right.value, case):
        return "the value has the wrong sign: a loss is minus a log-likelihood"
    if slope is None or exact is None or slope.shape != exact.shape:
        return "the gradient must be that of the prediction, in its shape"
    if not slope.any():
        return "the gradient is 0 everywhere: is the computation detached from the prediction?"
    if _near(-slope, exact, case):
        return "the gradient has the wrong sign"
    rows = max(1, case.prediction.size // case.classes)
    for factor, words in ((rows, "multiplied"), (1 / rows, "divided")):
        if _near(slope / factor, exact, case):
            place = "in one of value and gradient only"
            return f"the gradient is {words} by the number of rows ({rows}): the reduction is {place}"
    ones = _readings(case.replace(cotangent=None), policy)[0].gradient
    if case.cotangent is not None and ones is not None and _near(slope, ones, case):
        return "the upstream gradient is left out: multiply by it (grad_output, cotangent)"
    return "run the program below and compare it with a call by hand"


def _other_cases(case: Case) -> Iterator[tuple[str, Case]]:
    """Return what a case could have been mistaken for, in words."""
    for reduction in (Reduction.NONE, Reduction.SUM, Reduction.MEAN):
        if reduction is not case.reduction:
            yield f"the reduction {reduction!s}", case.replace(reduction=reduction, cotangent=None)
    x = case.prediction.astype(np.float64)
    fits = {
        Form.LOGITS: True,
        Form.LOG_PROBABILITIES: bool((x <= 0).all()),
        Form.PROBABILITIES: bool(((x >= 0) & (x <= 1)).all()),
    }
    for form in Form:
        if form is not case.form and fits[form]:
            yield f"predictions that are {form!s}", case.replace(form=form)
