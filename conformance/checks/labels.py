"""Checks of labels as integers: in every dtype that they may have, and beside those that look like the ignored one."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lossconform.adapters.contract import Contract
from lossconform.checks.check import Check
from lossconform.reference.case import Array, Case, Reduction, TargetForm
from lossconform.reference.formats import FORMATS
from lossconform.strategies.cases import cases, sampled, widened

IGNORED = -100
"""The label that most ignore."""

ALIAS = IGNORED + 256
"""A label that eight bits cannot tell from it."""

ALONE = ("forms",)
"""How labels are read has little to do with what is done with the loss, and compiled modes pay for each shape."""

CLASSES = 260
"""More classes than eight bits have numbers."""


def _pair(contract: Contract, dtype: str) -> SearchStrategy[Case]:
    """Draw a case of two rows, to be widened. What a mean divides by is another question."""
    reductions = sorted(contract.reductions, key=lambda r: r is not Reduction.NONE)[:1]
    return cases(contract, dtype, targets=(TargetForm.INDEX,), reductions=reductions, shapes=((2, 3),))


@st.composite
def aliased(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw a label that is the ignored one modulo 256: a comparison in eight bits takes one for the other."""
    case = widened(draw(_pair(contract, dtype)), CLASSES, np.array([ALIAS, IGNORED]))
    return case.replace(ignore_index=IGNORED)


@st.composite
def _rounded(draw: DrawFn, contract: Contract, dtype: str) -> Case:
    """Draw an ignored class and the next one, which rounds to it in the prediction's dtype, or else in bfloat16."""
    digits = FORMATS[dtype].precision
    index = 1 << (digits if digits < FORMATS["float32"].precision else FORMATS["bfloat16"].precision)
    case = widened(draw(_pair(contract, dtype)), index + 4, np.array([index + 1, index]))
    return case.replace(ignore_index=index)


@st.composite
def _of_dtype(draw: DrawFn, contract: Contract, dtype: str, name: str) -> Case:
    """Draw labels of a dtype, the largest that it holds among them."""
    top = min(int(np.iinfo(name).max), CLASSES - 1)
    first = draw(sampled(*(label for label in (top, 128, 100, 2) if label <= top)))
    return widened(draw(_pair(contract, dtype)), CLASSES, _labels(name, first, draw(sampled(0, 1, top))))


@st.composite
def _of_dtype_ignored(draw: DrawFn, contract: Contract, dtype: str, name: str) -> Case:
    """Draw an ignored label of a dtype, or, where the dtype has no negative ones, what is it modulo 256."""
    signed = np.iinfo(name).min < 0
    case = widened(draw(_pair(contract, dtype)), CLASSES, _labels(name, IGNORED if signed else ALIAS, 1))
    return case.replace(ignore_index=IGNORED)


def _labels(name: str, *labels: int) -> Array:
    return np.array(labels, dtype=name)


def _each(contract: Contract, dtype: str) -> tuple[SearchStrategy[Case], ...]:
    """Return the strategies of every dtype of labels but the usual one."""
    others = contract.label_dtypes[1:]
    found = [_of_dtype(contract, dtype, name) for name in others]
    if "ignore_index" in contract.options:
        # What a comparison in eight bits may get wrong, one in more bits gets wrong with 65436 classes only.
        found += [_of_dtype_ignored(contract, dtype, name) for name in others if np.dtype(name).itemsize == 1]
    return tuple(found)


CHECKS = (
    Check(
        id="label-dtypes",
        group="labels",
        question="Do labels mean the same in every integer dtype that is taken?",
        applies=lambda contract: TargetForm.INDEX in contract.targets and len(contract.label_dtypes) > 1,
        cases=_each,
        each=ALONE,
        gradient=True,
    ),
    Check(
        id="ignored-neighbour",
        group="ignore",
        question="Is the ignored class told from the next one, whatever the dtype of the prediction?",
        applies=lambda contract: "ignore_index" in contract.options,
        cases=_rounded,
        each=ALONE,
        gradient=True,
        every_dtype=True,
    ),
)
