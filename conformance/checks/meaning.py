"""Checks of meaning whose answer is laid down: options, forms, axes and reductions do what they say."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lossconform.adapters.contract import Contract
from lossconform.checks.check import Check
from lossconform.reference.case import Array, Case, Form, Loss, TargetForm
from lossconform.strategies.cases import cases


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


@st.composite
def _either_form(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw the same kind of numbers for logits and for probabilities: only from_logits tells them apart."""
    case = draw(cases(contract, dtype, forms=(Form.PROBABILITIES,)))
    return case.replace(form=draw(st.sampled_from([Form.LOGITS, Form.PROBABILITIES])))


def _ignores(case: Case) -> bool:
    return case.target is not None and bool((case.target == case.ignore_index).any())


@st.composite
def _three_axes(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw a case of shape (2, 3, 2) with its class axis where the contract has it."""
    axes = {"last": [2], "second": [1], "any": [0, 1]}[contract.class_axis]
    axis = draw(st.sampled_from(axes))
    case = draw(cases(contract, dtype, shapes=((4, 3),)))
    batch = (2, 2)

    def move(values: Array) -> Array:
        return np.moveaxis(values.reshape(*batch, 3), -1, axis)

    target = case.target
    if target is not None:
        target = target.reshape(batch) if case.target_form is TargetForm.INDEX else move(target)
    return Case(
        loss=case.loss,
        prediction=move(case.prediction),
        form=case.form,
        target=target,
        target_form=case.target_form,
        class_axis=axis,
        reduction=case.reduction,
    )


def _reductions(contract: Contract, dtype: str) -> SearchStrategy[Case]:
    return cases(contract, dtype, shapes=((2, 3), (3, 4)))


CHECKS = (
    Check(
        id="dtype",
        group="accuracy",
        question="Does the answer have the dtype of the prediction?",
        applies=lambda contract: True,  # noqa: ARG005
        cases=lambda contract, dtype: cases(contract, dtype, shapes=((2, 3),)),
        every_dtype=True,
        strict_dtype=True,
        gradient=True,
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
        cases=lambda contract, dtype: cases(
            contract, dtype, options=("ignore_index",), targets=(TargetForm.INDEX,), shapes=((2, 3), (3, 4))
        ).filter(lambda case: not _all_ignored(case)),
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
        id="class-axis",
        group="options",
        question="Is the class axis of an array of three axes where it should be?",
        applies=lambda contract: contract.loss not in (Loss.BINARY_CROSS_ENTROPY, Loss.LOG_SIGMOID),
        cases=_three_axes,
        gradient=True,
    ),
    option_check("class_weight", "options", "class-weight", "Does each class's weight multiply its terms?"),
    option_check("pos_weight", "options", "pos-weight", "Does pos_weight multiply the positive term alone?"),
    option_check("label_smoothing", "options", "label-smoothing", "Does label smoothing move mass to every class?"),
    option_check("sample_weight", "options", "sample-weight", "Does each sample's weight multiply its loss?"),
)


def _all_ignored(case: Case) -> bool:
    return case.target is not None and bool((case.target == case.ignore_index).all())
