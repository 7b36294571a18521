"""Cases that tell the choices of a policy apart: what a mean divides by, what an odd label or an infinity does."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from lossconform.adapters.contract import Contract
from lossconform.reference.case import BINARY, Array, Case, Form, Reduction, TargetForm
from lossconform.reference.formats import dtype_of
from lossconform.strategies.cases import SEVERAL, array, cases, sampled

MEANS = frozenset({Reduction.MEAN, Reduction.WEIGHTED_MEAN})
INDEX = (TargetForm.INDEX,)
INF, NAN = np.inf, np.nan


def means(contract: Contract) -> list[Reduction]:
    """Return the means that a contract has."""
    return [r for r in contract.reductions if r in MEANS]


def _put(values: Array, mask: Array, number: float | Array) -> Array:
    return np.where(mask, number, values.astype(np.float64)).astype(values.dtype)


@st.composite
def denominators(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw means that weights and ignored rows tell apart, where the contract has them."""
    names = [n for n in ("class_weight", "sample_weight", "ignore_index") if n in contract.options]
    options = [n for n in names if draw(st.booleans())]
    targets = INDEX if "ignore_index" in options else contract.targets
    case = draw(
        cases(contract, dtype, options=options, targets=targets, reductions=[Reduction.MEAN], shapes=((2, 3), SEVERAL))
    )
    if case.target is not None and case.ignore_index is not None and (case.target == case.ignore_index).all():
        kept = case.target.copy()
        kept.flat[0] = 0
        case = case.replace(target=kept)
    return case


@st.composite
def all_ignored(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw a mean over ignored rows alone."""
    case = draw(cases(contract, dtype, targets=INDEX, reductions=means(contract)))
    assert case.target is not None  # noqa: S101
    return case.replace(ignore_index=-100, target=np.full_like(case.target, -100))


@st.composite
def no_rows(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw a batch without rows."""
    case = draw(cases(contract, dtype, reductions=[Reduction.MEAN], shapes=((2, 3),)))
    return case.replace(prediction=case.prediction[:0], target=None if case.target is None else case.target[:0])


@st.composite
def bad_ignored_rows(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw ignored rows that hold NaN or an infinity."""
    forms = [f for f in contract.forms if f is not Form.PROBABILITIES] or contract.forms
    case = draw(cases(contract, dtype, forms=forms, targets=INDEX, shapes=((2, 3), SEVERAL)))
    assert case.target is not None  # noqa: S101
    bad = draw(sampled(NAN, INF, -INF))
    target = case.target.copy()
    target[0] = -100
    ignored = np.zeros(case.prediction.shape, bool)
    ignored[0] = True
    return case.replace(ignore_index=-100, target=target, prediction=_put(case.prediction, ignored, bad))


@st.composite
def odd_label(draw: DrawFn, contract: Contract, dtype: str, label: int, classes: int) -> Case:
    """Draw a case whose first label is `label` plus so many times the number of classes."""
    case = draw(cases(contract, dtype, targets=INDEX))
    assert case.target is not None  # noqa: S101
    target = case.target.copy()
    target.flat[0] = label + classes * case.classes
    return case.replace(target=target)


@st.composite
def unnormalised(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw soft labels whose rows do not sum to 1."""
    case = draw(cases(contract, dtype, forms=[Form.LOGITS], targets=[TargetForm.DISTRIBUTION]))
    target = array(draw, (0.5, 0.0, 1.0, 2.0), case.prediction.shape, dtype)
    target[..., 0] = 2.0
    return case.replace(target=target)


@st.composite
def zero_target(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw classes of probability 0 where the target is 0 too."""
    forms = [f for f in contract.forms if f is not Form.PROBABILITIES]
    case = draw(cases(contract, dtype, forms=forms, targets=multiplied(contract)))
    assert case.target is not None  # noqa: S101
    target = case.target.astype(np.float64)
    off = array(draw, (False, True), target.shape, np.bool_)
    off[..., 0] = False
    off[0, -1] = True
    log = case.target_form is TargetForm.LOG_DISTRIBUTION
    target = np.where(off, -INF if log else 0.0, target)
    return case.replace(target=target.astype(case.target.dtype), prediction=_put(case.prediction, off, -INF))


def multiplied(contract: Contract) -> list[TargetForm]:
    """Return the forms of target that log-probabilities are multiplied by."""
    return [t for t in contract.targets if t is not TargetForm.INDEX]


@st.composite
def smoothed(draw: DrawFn, contract: Contract, dtype: str, weighted: bool) -> Case:
    """Draw label smoothing, with class weights if asked for."""
    options = ("label_smoothing", "class_weight") if weighted else ("label_smoothing",)
    return draw(cases(contract, dtype, options=options, targets=INDEX if weighted else None))


@st.composite
def probabilities_at_the_ends(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw probabilities of 0, 1 and between, 0 and 1 where it hurts too."""
    case = draw(cases(contract, dtype, forms=[Form.PROBABILITIES], shapes=((2, 3),)))
    if contract.loss in BINARY:
        ends = array(draw, (0.0, 1.0, 0.5), case.prediction.shape, dtype)
        return case.replace(prediction=ends)
    n, c = case.prediction.shape
    ends = np.full((n, c), 0.0)
    for i in range(n):
        ends[i, draw(st.integers(0, c - 1))] = 1.0
    return case.replace(prediction=ends.astype(dtype_of(dtype)))


@st.composite
def probabilities_of_any_sum(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw rows of probabilities that do not sum to 1."""
    case = draw(cases(contract, dtype, forms=[Form.PROBABILITIES]))
    odd = array(draw, (0.25, 0.5, 0.125, 0.75), case.prediction.shape, dtype)
    return case.replace(prediction=odd)


@st.composite
def zero_probability_targets(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw target probabilities of 0 where the prediction is tiny."""
    case = draw(cases(contract, dtype, forms=[Form.PROBABILITIES]))
    assert case.target is not None  # noqa: S101
    first = np.zeros(case.target.shape, bool)
    first[..., -1] = True
    # A tiny prediction makes the clipped target's 1e-7 (log 1e-7 - log q) visible in every dtype.
    return case.replace(target=_put(case.target, first, 0.0), prediction=_put(case.prediction, first, 2.0**-12))


@st.composite
def infinite(draw: DrawFn, contract: Contract, dtype: str, number: float) -> Case:
    """Draw logits with one entry a row replaced by a number."""
    forms = [Form.LOGITS] if Form.LOGITS in contract.forms else contract.forms
    case = draw(cases(contract, dtype, forms=forms))
    mask = np.zeros(case.prediction.shape, bool)
    mask[0, draw(st.integers(0, case.classes - 1))] = True
    return case.replace(prediction=_put(case.prediction, mask, number))


@st.composite
def wrong_probabilities(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw probabilities of 0 for target 1, of 1 for target 0, and a half for others: clipped, they have no slope."""
    case = draw(cases(contract, dtype, forms=[Form.PROBABILITIES]))
    assert case.target is not None  # noqa: S101
    target = case.target.astype(np.float64)
    target[0, 0] = np.rint(target[0, 0])
    wrong = np.where(np.isin(target, (0.0, 1.0)), 1 - target, 0.5)
    return case.replace(target=target.astype(case.target.dtype), prediction=wrong.astype(case.prediction.dtype))


@st.composite
def fractional(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw targets between 0 and 1 of a focal loss, away from a half, where its readings agree at logit 0."""
    case = draw(cases(contract, dtype, forms=[Form.LOGITS] if Form.LOGITS in contract.forms else contract.forms))
    target = array(draw, (0.25, 0.75, 0.5), case.prediction.shape, dtype)
    target[0, 0] = 0.25
    return case.replace(target=target)
