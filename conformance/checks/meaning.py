"""Checks of meaning whose answer is laid down: options, forms, axes and reductions do what they say."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lossconform.adapters.contract import Contract, used_options
from lossconform.checks.check import Check
from lossconform.checks.labels import aliased
from lossconform.reference.canonical import canonical
from lossconform.reference.case import BINARY, Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.strategies.cases import IGNORED, SEVERAL, array, cases, class_axes, flat, three_axes
from lossconform.strategies.rows import many_rows

# A mask first: it keeps the class of every label, and an ignored label is none.
TOGETHER = ("where", "class_weight", "pos_weight", "sample_weight", "alpha", "label_smoothing", "ignore_index")


def option_check(option: str, group: str, identifier: str, question: str) -> Check:
    """Return the check that one option does what it says; without it the case must mean something else."""
    default = Case.__dataclass_fields__[option].default
    return Check(
        id=identifier,
        group=group,
        question=question,
        applies=lambda contract: option in contract.options,
        cases=lambda contract, dtype: cases(contract, dtype, options=(option,), targets=_index_first(contract, option)),
        gradient=True,
        plain=lambda case: case.replace(**{option: default}),
    )


def _index_first(contract: Contract, option: str) -> tuple[TargetForm, ...]:
    """Return the target forms an option goes with: ignored labels are indices."""
    return (TargetForm.INDEX,) if option == "ignore_index" else contract.targets


def _flipped(case: Case) -> Case:
    other = Form.PROBABILITIES if case.form is Form.LOGITS else Form.LOGITS
    return case.replace(form=other)


def _either_form(contract: Contract, dtype: str) -> tuple[SearchStrategy[Case], ...]:
    """Draw the same kind of numbers for logits and for probabilities: only from_logits tells them apart."""
    numbers = cases(contract, dtype, forms=(Form.PROBABILITIES,))
    return tuple(numbers.map(partial(Case.replace, form=form)) for form in (Form.LOGITS, Form.PROBABILITIES))


def _ignored(contract: Contract, dtype: str, index: int) -> SearchStrategy[Case]:
    return cases(
        contract,
        dtype,
        options=("ignore_index",),
        targets=(TargetForm.INDEX,),
        shapes=(SEVERAL,),  # so that more than one row is ignored, and not all
        ignored=(index,),
    ).filter(lambda case: not _all_ignored(case))


def _ignores(case: Case) -> bool:
    return case.target is not None and bool((case.target == case.ignore_index).any())


@st.composite
def _three_axes(draw: DrawFn, contract: Contract, dtype: str, axis: int) -> Case:
    """Draw a case of three axes with its class axis where it is told."""
    return three_axes(draw(cases(contract, dtype, shapes=(flat(axis),))), axis)


@st.composite
def _reductions(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw a case with an upstream gradient: what follows a loss scales it, a reduced one too."""
    case = draw(cases(contract, dtype, shapes=((2, 3), SEVERAL)))
    shape = canonical(case, contract.policy()).value_shape
    return case.replace(cotangent=array(draw, (1.0, 2.0, -1.0, 0.5), shape, dtype))


@st.composite
def _together(draw: DrawFn, contract: Contract, dtype: str, axis: int | None) -> Case:
    """Draw several options at once, mostly all. What a mean divides by is another question."""
    options = [name for name in TOGETHER if name in contract.options and draw(st.integers(0, 3)) < 3]
    case = draw(
        cases(
            contract,
            dtype,
            targets=(TargetForm.INDEX,) if "ignore_index" in options else None,
            reductions=_sums(contract),
            options=options,
            shapes=(SEVERAL if axis is None else flat(axis),),
        )
    )
    # Weights that are drawn are mostly 1, which hides whose they are.
    weights = {name: _distinct(getattr(case, name)) for name in ("class_weight", "pos_weight", "sample_weight")}
    case = case.replace(**{name: weight for name, weight in weights.items() if weight is not None})
    if case.where is not None:
        # A row with one class left has no loss, whatever its options.
        case = case.replace(where=case.where | (np.arange(case.classes) < 2))
    if case.ignore_index is not None and case.target is not None:
        case = case.replace(target=np.r_[case.ignore_index, case.target[1:]])
    return case if axis is None else three_axes(case, axis)


def _distinct(weight: Array | None) -> Array | None:
    return None if weight is None else np.resize(np.array([2.0, 0.5, 3.0, 0.25]), weight.shape).astype(weight.dtype)


def _sums(contract: Contract) -> list[Reduction]:
    return [r for r in contract.reductions if r in (Reduction.NONE, Reduction.SUM)]


def _several(case: Case) -> bool:
    return len(used_options(case)) > 1


CHECKS = (
    Check(
        id="dtype",
        group="accuracy",
        question="Does the answer have the dtype of the prediction?",
        applies=lambda contract: True,  # noqa: ARG005
        cases=lambda contract, dtype: cases(contract, dtype, shapes=((2, 3),)),
        once=True,
        every_dtype=True,
        strict_dtype=True,
    ),
    Check(
        id="from-logits",
        group="from_logits",
        question="Does from_logits alone decide how the same numbers are read?",
        applies=lambda contract: {Form.LOGITS, Form.PROBABILITIES} <= set(contract.forms),
        cases=_either_form,
        gradient=True,
        plain=_flipped,
    ),
    Check(
        id="ignore-index",
        group="ignore",
        question="Do ignored labels count for nothing, in value, gradient and mean?",
        applies=lambda contract: "ignore_index" in contract.options,
        cases=lambda contract, dtype: (
            *(_ignored(contract, dtype, index) for index in IGNORED),
            aliased(contract, dtype),
        ),
        gradient=True,
        plain=_ignores,
    ),
    option_check("where", "ignore", "ignore-where", "Do classes masked by `where` take no part?"),
    Check(
        id="label-forms",
        group="labels",
        question="Do index, one-hot and soft labels of the same meaning give the exact loss?",
        applies=lambda contract: len(contract.targets) > 1 and contract.loss is Loss.SOFTMAX_CROSS_ENTROPY,
        cases=lambda contract, dtype: cases(contract, dtype),
        gradient=True,
    ),
    Check(
        id="reduction",
        group="reductions",
        question="Does each reduction return what it says, and scale the gradient with it?",
        applies=lambda contract: len(contract.reductions) > 1,
        cases=_reductions,
        gradient=True,
    ),
    Check(
        id="many-rows",
        group="reductions",
        question="Are sums and means over very many rows right, and the gradients of means?",
        # A 16-bit accumulator may lose everything that so many additions leave: nothing could be found wrong.
        applies=lambda contract: (
            any(r is not Reduction.NONE for r in contract.reductions) and contract.accumulator.value != "own dtype"
        ),
        cases=many_rows,
        gradient=True,
        large=True,
        every_dtype=True,
    ),
    Check(
        id="class-axis",
        group="options",
        question="Is the class axis of an array of three axes where it should be?",
        applies=lambda contract: (
            bool(class_axes(contract)) and contract.loss not in BINARY and contract.loss is not Loss.LOG_SIGMOID
        ),
        cases=lambda contract, dtype: tuple(_three_axes(contract, dtype, axis) for axis in class_axes(contract)),
        gradient=True,
    ),
    option_check("class_weight", "options", "class-weight", "Does each class's weight multiply its terms?"),
    option_check("pos_weight", "options", "pos-weight", "Does pos_weight multiply the positive term alone?"),
    option_check("label_smoothing", "options", "label-smoothing", "Does label smoothing move mass to every class?"),
    option_check("gamma", "options", "gamma", "Does gamma raise 1 - p_t to a power?"),
    option_check("alpha", "options", "alpha", "Does alpha weight target 1, and 1 - alpha target 0?"),
    option_check("sample_weight", "options", "sample-weight", "Does each sample's weight multiply its loss?"),
    Check(
        id="options-together",
        group="options",
        question="Do options keep their meaning together, and along any class axis?",
        applies=lambda contract: bool(_sums(contract)) and len(set(TOGETHER) & set(contract.options)) > 1,
        cases=lambda contract, dtype: tuple(_together(contract, dtype, axis) for axis in (None, *class_axes(contract))),
        gradient=True,
        plain=_several,
    ),
)


def _all_ignored(case: Case) -> bool:
    return case.target is not None and bool((case.target == case.ignore_index).all())
