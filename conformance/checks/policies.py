"""Checks that identify a policy: what a loss function does where the mathematics leaves a choice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from lossconform.adapters.contract import Contract
from lossconform.checks.check import Check
from lossconform.reference.case import BINARY, Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.formats import dtype_of
from lossconform.strategies.cases import array, cases

MEANS = frozenset({Reduction.MEAN, Reduction.WEIGHTED_MEAN})
INDEX = (TargetForm.INDEX,)
SILENT = frozenset({"zero", "wrapped", "clamped"})
"""What accepts a label that is no class and returns an ordinary number."""

INF, NAN = np.inf, np.nan


def _means(contract: Contract) -> list[Reduction]:
    return [r for r in contract.reductions if r in MEANS]


def _put(values: Array, mask: Array, number: float | Array) -> Array:
    return np.where(mask, number, values.astype(np.float64)).astype(values.dtype)


def _options(contract: Contract, *names: str) -> tuple[str, ...]:
    return tuple(name for name in names if name in contract.options)


@st.composite
def _denominators(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw means that weights and ignored rows tell apart, where the contract has them."""
    names = [n for n in ("class_weight", "sample_weight", "ignore_index") if n in contract.options]
    options = [n for n in names if draw(st.booleans())]
    targets = INDEX if "ignore_index" in options else contract.targets
    case = draw(
        cases(contract, dtype, options=options, targets=targets, reductions=[Reduction.MEAN], shapes=((2, 3), (3, 4)))
    )
    if case.target is not None and case.ignore_index is not None and (case.target == case.ignore_index).all():
        kept = case.target.copy()
        kept.flat[0] = 0
        case = case.replace(target=kept)
    return case


@st.composite
def _all_ignored(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    case = draw(cases(contract, dtype, targets=INDEX, reductions=_means(contract)))
    assert case.target is not None  # noqa: S101
    return case.replace(ignore_index=-100, target=np.full_like(case.target, -100))


@st.composite
def _no_rows(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw a batch without rows."""
    case = draw(cases(contract, dtype, reductions=[Reduction.MEAN], shapes=((2, 3),)))
    return case.replace(prediction=case.prediction[:0], target=None if case.target is None else case.target[:0])


@st.composite
def _bad_ignored_rows(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw ignored rows that hold NaN or an infinity."""
    forms = [f for f in contract.forms if f is not Form.PROBABILITIES] or contract.forms
    case = draw(cases(contract, dtype, forms=forms, targets=INDEX, shapes=((2, 3), (3, 4))))
    assert case.target is not None  # noqa: S101
    bad = draw(st.sampled_from([NAN, INF, -INF]))
    target = case.target.copy()
    target[0] = -100
    ignored = np.zeros(case.prediction.shape, bool)
    ignored[0] = True
    return case.replace(ignore_index=-100, target=target, prediction=_put(case.prediction, ignored, bad))


@st.composite
def _odd_label(draw: DrawFn, contract: Contract, dtype: str, label: int, classes: int) -> Case:
    """Draw a case whose first label is `label` plus so many times the number of classes."""
    case = draw(cases(contract, dtype, targets=INDEX))
    assert case.target is not None  # noqa: S101
    target = case.target.copy()
    target.flat[0] = label + classes * case.classes
    return case.replace(target=target)


@st.composite
def _unnormalised(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw soft labels whose rows do not sum to 1."""
    case = draw(cases(contract, dtype, forms=[Form.LOGITS], targets=[TargetForm.DISTRIBUTION]))
    target = array(draw, st.sampled_from([0.5, 0.0, 1.0, 2.0]), case.prediction.shape, dtype)
    target[..., 0] = 2.0
    return case.replace(target=target)


@st.composite
def _zero_target(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw classes of probability 0 where the target is 0 too."""
    forms = [f for f in contract.forms if f is not Form.PROBABILITIES]
    case = draw(cases(contract, dtype, forms=forms, targets=_multiplied(contract)))
    assert case.target is not None  # noqa: S101
    target = case.target.astype(np.float64)
    off = array(draw, st.booleans(), target.shape, np.bool_)
    off[..., 0] = False
    off[0, -1] = True
    log = case.target_form is TargetForm.LOG_DISTRIBUTION
    target = np.where(off, -INF if log else 0.0, target)
    return case.replace(target=target.astype(case.target.dtype), prediction=_put(case.prediction, off, -INF))


def _multiplied(contract: Contract) -> list[TargetForm]:
    return [t for t in contract.targets if t is not TargetForm.INDEX]


@st.composite
def _smoothed(draw: DrawFn, contract: Contract, dtype: str, weighted: bool) -> Case:
    options = ("label_smoothing", "class_weight") if weighted else ("label_smoothing",)
    return draw(cases(contract, dtype, options=options, targets=INDEX if weighted else None))


@st.composite
def _probabilities_at_the_ends(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw probabilities of 0, 1 and between, 0 and 1 where it hurts too."""
    case = draw(cases(contract, dtype, forms=[Form.PROBABILITIES], shapes=((2, 3),)))
    if contract.loss in BINARY:
        ends = array(draw, st.sampled_from([0.0, 1.0, 0.5]), case.prediction.shape, dtype)
        return case.replace(prediction=ends)
    n, c = case.prediction.shape
    ends = np.full((n, c), 0.0)
    for i in range(n):
        ends[i, draw(st.integers(0, c - 1))] = 1.0
    return case.replace(prediction=ends.astype(dtype_of(dtype)))


@st.composite
def _probabilities_of_any_sum(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    case = draw(cases(contract, dtype, forms=[Form.PROBABILITIES]))
    odd = array(draw, st.sampled_from([0.25, 0.5, 0.125, 0.75]), case.prediction.shape, dtype)
    return case.replace(prediction=odd)


@st.composite
def _zero_probability_targets(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    case = draw(cases(contract, dtype, forms=[Form.PROBABILITIES]))
    assert case.target is not None  # noqa: S101
    first = np.zeros(case.target.shape, bool)
    first[..., -1] = True
    # A tiny prediction makes the clipped target's 1e-7 (log 1e-7 - log q) visible in every dtype.
    return case.replace(target=_put(case.target, first, 0.0), prediction=_put(case.prediction, first, 2.0**-12))


@st.composite
def _infinite(draw: DrawFn, contract: Contract, dtype: str, number: float) -> Case:
    """Draw logits with one entry a row replaced by a number."""
    forms = [Form.LOGITS] if Form.LOGITS in contract.forms else contract.forms
    case = draw(cases(contract, dtype, forms=forms))
    mask = np.zeros(case.prediction.shape, bool)
    mask[0, draw(st.integers(0, case.classes - 1))] = True
    return case.replace(prediction=_put(case.prediction, mask, number))


@st.composite
def _wrong_probabilities(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw probabilities of 0 for target 1, of 1 for target 0, and a half for others: clipped, they have no slope."""
    case = draw(cases(contract, dtype, forms=[Form.PROBABILITIES]))
    assert case.target is not None  # noqa: S101
    target = case.target.astype(np.float64)
    target[0, 0] = np.rint(target[0, 0])
    wrong = np.where(np.isin(target, (0.0, 1.0)), 1 - target, 0.5)
    return case.replace(target=target.astype(case.target.dtype), prediction=wrong.astype(case.prediction.dtype))


@st.composite
def _fractional(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw targets between 0 and 1 of a focal loss, away from a half, where its readings agree at logit 0."""
    case = draw(cases(contract, dtype, forms=[Form.LOGITS] if Form.LOGITS in contract.forms else contract.forms))
    target = array(draw, st.sampled_from([0.25, 0.75, 0.5]), case.prediction.shape, dtype)
    target[0, 0] = 0.25
    return case.replace(target=target)


def _applies(loss: Loss, form: Form) -> Callable[[Contract], bool]:
    return lambda contract: contract.loss is loss and form in contract.forms


def _has_index(contract: Contract) -> bool:
    return TargetForm.INDEX in contract.targets


CHECKS = (
    Check(
        id="ignored-nonfinite",
        group="ignore",
        question="Does NaN or infinity in an ignored row stay out of value and gradient?",
        applies=lambda contract: "ignore_index" in contract.options,
        cases=_bad_ignored_rows,
        policy="ignored_nonfinite",
        gradient=True,
    ),
    Check(
        id="all-ignored",
        group="ignore",
        question="What is the mean of a batch whose rows are all ignored?",
        applies=lambda contract: "ignore_index" in contract.options and bool(_means(contract)),
        cases=_all_ignored,
        policy="zero_denominator",
    ),
    Check(
        id="mean-denominator",
        group="reductions",
        question="What does the mean divide by?",
        applies=lambda contract: Reduction.MEAN in contract.reductions,
        cases=_denominators,
        policy="mean_denominator",
        gradient=True,
    ),
    Check(
        id="empty-batch",
        group="reductions",
        question="What is the mean of a batch without rows?",
        applies=lambda contract: Reduction.MEAN in contract.reductions,
        cases=_no_rows,
        policy="empty_mean",
    ),
    Check(
        id="negative-label",
        group="labels",
        question="What does a negative label do that is not to be ignored?",
        applies=_has_index,
        cases=lambda contract, dtype: (_odd_label(contract, dtype, -1, 0), _odd_label(contract, dtype, 0, -1)),
        policy="negative_label",
        hazards=SILENT,
    ),
    Check(
        id="label-too-large",
        group="labels",
        question="What does a label beyond the last class do?",
        applies=_has_index,
        cases=lambda contract, dtype: (_odd_label(contract, dtype, 0, 1), _odd_label(contract, dtype, 1, 1)),
        policy="label_too_large",
        hazards=SILENT,
    ),
    Check(
        id="unnormalised-target",
        group="labels",
        question="Is the gradient that of the value when soft labels do not sum to 1?",
        applies=lambda contract: (
            contract.loss is Loss.SOFTMAX_CROSS_ENTROPY
            and Form.LOGITS in contract.forms
            and TargetForm.DISTRIBUTION in contract.targets
        ),
        cases=_unnormalised,
        policy="target_sum",
        gradient=True,
    ),
    Check(
        id="zero-target",
        group="labels",
        question="Does a class of probability 0 and target 0 contribute nothing?",
        applies=lambda contract: (
            contract.loss in (Loss.SOFTMAX_CROSS_ENTROPY, Loss.KL_DIVERGENCE)
            and bool(_multiplied(contract))
            and any(f is not Form.PROBABILITIES for f in contract.forms)
        ),
        cases=_zero_target,
        policy="zero_times_infinity",
    ),
    Check(
        id="smoothing-share",
        group="options",
        question="How is smoothed mass shared among the classes?",
        applies=lambda contract: "label_smoothing" in contract.options and contract.loss is Loss.SOFTMAX_CROSS_ENTROPY,
        cases=lambda contract, dtype: _smoothed(contract, dtype, weighted=False),
        policy="smoothing",
        gradient=True,
    ),
    Check(
        id="smoothing-weight",
        group="options",
        question="Which class weights does smoothed mass have?",
        applies=lambda contract: {"label_smoothing", "class_weight"} <= set(contract.options) and _has_index(contract),
        cases=lambda contract, dtype: _smoothed(contract, dtype, weighted=True),
        policy="smoothing_weight",
        gradient=True,
    ),
    Check(
        id="focal-target",
        group="labels",
        question="What is p_t of a fractional target?",
        applies=lambda contract: contract.loss is Loss.FOCAL and "gamma" in contract.options,
        cases=_fractional,
        policy="focal_target",
        gradient=True,
    ),
    Check(
        id="focal-range",
        group="from_logits",
        question="Where probabilities are clipped, is the factor (1 - p_t)^gamma that of the clipped ones?",
        applies=lambda contract: (
            _applies(Loss.FOCAL, Form.PROBABILITIES)(contract)
            and "gamma" in contract.options
            and contract.policy().probability_range.startswith("clipped")
        ),
        cases=_wrong_probabilities,
        policy="focal_range",
        gradient=True,
    ),
    Check(
        id="probability-range",
        group="from_logits",
        question="What happens to probabilities of 0 and 1?",
        applies=lambda contract: Form.PROBABILITIES in contract.forms,
        cases=_probabilities_at_the_ends,
        policy="probability_range",
        every_dtype=True,
    ),
    Check(
        id="probability-sum",
        group="from_logits",
        question="Are probabilities divided by their sum?",
        applies=_applies(Loss.SOFTMAX_CROSS_ENTROPY, Form.PROBABILITIES),
        cases=_probabilities_of_any_sum,
        policy="probability_sum",
        gradient=True,
    ),
    Check(
        id="target-range",
        group="from_logits",
        question="Are target probabilities clipped?",
        applies=_applies(Loss.KL_DIVERGENCE, Form.PROBABILITIES),
        cases=_zero_probability_targets,
        policy="target_range",
    ),
    Check(
        id="infinite-logit",
        group="special",
        question="What does a logit of +inf give?",
        applies=lambda contract: (
            Form.LOGITS in contract.forms and contract.loss not in BINARY | {Loss.LOG_SIGMOID, Loss.LOG_SUM_EXP}
        ),
        cases=lambda contract, dtype: _infinite(contract, dtype, INF),
        policy="infinite_logit",
    ),
    Check(
        id="nan-propagates",
        group="special",
        question="Does NaN in a prediction reach the value, or raise?",
        may_refuse=True,
        applies=lambda contract: True,  # noqa: ARG005
        cases=lambda contract, dtype: _infinite(contract, dtype, NAN),
    ),
    Check(
        id="negative-infinity",
        group="special",
        question="Is a logit of -inf a class of probability 0?",
        applies=lambda contract: Form.LOGITS in contract.forms,
        cases=lambda contract, dtype: _infinite(contract, dtype, -INF),
    ),
)
