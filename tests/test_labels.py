"""The cases that ask how labels are read: wide ones, whose labels need more bits than some have."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lossconform.adapters.miniatures.unusual import VARIATIONS
from lossconform.reference.case import Case, Form, Loss, TargetForm
from lossconform.reference.formats import dtype_of
from lossconform.strategies.cases import widened
from lossconform.strategies.strata import strata


@pytest.mark.parametrize(("dtype", "classes"), [("bfloat16", 260), ("float16", 2052), ("float32", 160)])
def test_wide_rows_of_probabilities_sum_to_one(dtype: str, classes: int) -> None:
    case = Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction=np.full((2, 3), 0.25, dtype_of(dtype)),
        form=Form.PROBABILITIES,
        target=np.array([0, 1]),
        target_form=TargetForm.INDEX,
    )
    wide = widened(case, classes, np.array([classes - 1, 0], np.uint16))
    assert wide.prediction.shape == (2, classes)
    assert [sum(map(Fraction, row)) for row in wide.prediction.astype(np.float64).tolist()] == [1, 1]


def test_only_the_lists_that_matter_are_gone_through() -> None:
    contract = VARIATIONS["softmax_cross_entropy"].function().contract
    alone = strata(contract, 25, lambda _: True, ("forms",))
    assert [one.forms for one in alone] == [(form,) for form in contract.forms]
    assert all(one.reductions == contract.reductions for one in alone)
    assert len(strata(contract, 25, lambda _: True)) > len(alone)
