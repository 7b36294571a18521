"""Cases of very many rows: five rows, over and over, so that a case that fails is a few numbers.

What is asked is how rows are added up and counted, not how each is evaluated, so the rows themselves are easy ones. A
mean is of large losses, whose sum is beyond float16; a sum is of small losses, so that it is within every dtype.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from lossconform.adapters.contract import Contract
from lossconform.reference.case import BINARY, FUNCTIONS, Array, Case, Reduction, TargetForm
from lossconform.reference.formats import FORMATS, Float64, dtype_of, round_to
from lossconform.reference.repeats import repeated
from lossconform.strategies.regimes import SEEDS, formed

FEW = 5
TIMES = 2**14
ROWS = FEW * TIMES
"""81,920: beyond float16, beyond the integers of float16 and bfloat16, and beyond 16 bits."""

SCALE = float(TIMES)
"""The upstream gradient of a mean, as loss scaling has it: without it the gradient in float16 would be subnormal."""

SURE = 15 / 16
"""How much of a soft target the label has."""


def many_rows(contract: Contract, dtype: str) -> SearchStrategy[Case]:
    """Draw a seed and make a case of very many rows for one form, target and reduction of a contract."""
    return SEEDS.map(partial(case_of, contract, dtype))


def case_of(contract: Contract, dtype: str, seed: int) -> Case:
    """Return a case of very many rows and two classes, without options.

    Every loss is between 0.08 and 0.4 of a sum, between 1 and 2.2 of a mean: log(1 + exp(-gap)) for a label that is
    ahead or behind by a gap of 1 to 2. A focal loss is without its factor, which is about each row.
    """
    rng = np.random.default_rng(seed)
    form = contract.forms[rng.integers(len(contract.forms))]
    target_form = contract.targets[rng.integers(len(contract.targets))]
    reductions = [r for r in contract.reductions if r is not Reduction.NONE]
    reduction = reductions[rng.integers(len(reductions))]
    behind = reduction is not Reduction.SUM
    gaps = rng.choice([-1, 1], (FEW, 1)) * rng.integers(8, 17, (FEW, 1)) / 8
    binary = contract.loss in BINARY
    x = np.hstack([gaps, -gaps]) if binary else rng.integers(-8, 9, (FEW, 1)) / 8 + np.hstack([gaps, 0 * gaps])
    prediction = round_to(formed(x, form, binary), FORMATS[dtype]).astype(dtype_of(dtype))
    label = np.argmin(x, axis=1) if behind else np.argmax(x, axis=1)
    case = Case(
        loss=contract.loss,
        prediction=prediction,
        form=form,
        target=None if contract.loss in FUNCTIONS else _target(label, target_form, dtype),
        target_form=target_form,
        reduction=reduction,
        cotangent=np.array(SCALE, dtype_of(dtype)) if behind else None,
    )
    return repeated(case, TIMES)


def _target(label: NDArray[np.int64], form: TargetForm, dtype: str) -> Array:
    if form is TargetForm.INDEX:
        return label
    one_hot: Float64 = np.eye(2)[label]
    soft = one_hot if form is TargetForm.ONE_HOT else np.where(one_hot == 1, SURE, 1 - SURE)
    if form is TargetForm.LOG_DISTRIBUTION:
        soft = round_to(np.log(soft), FORMATS[dtype])
    array: Array = soft.astype(dtype_of(dtype))
    return array
