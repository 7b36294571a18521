"""Strategies for checks of meaning: small cases of simple numbers, which shrink to what a person reads.

Every number is a multiple of 1/8 of moderate size, exact in every dtype; a check that needs others says so. Shapes come
from a short list, because compiled modes pay for each new one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lossconform.adapters.contract import Contract
from lossconform.reference.case import BINARY, FUNCTIONS, Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.formats import dtype_of

SHAPES = ((1, 2), (2, 3))
SEVERAL = (5, 3)
"""The shape where it takes more rows: an odd number, so that none is left out where rows go in blocks of two."""
AXES = (2, 3, 4)
"""The one shape of three axes, whichever is that of the classes. No two are as long, so that a sum or a mean over
another one shows."""

IGNORED = (-100, 1)
SMOOTHING = (0.25, 0.5)
GAMMAS = (2.0, 0.5)
ALPHAS = (0.25, 0.875)


def _simplest_first(numbers: Iterable[float]) -> tuple[float, ...]:
    """Whole numbers before halves and those before quarters, small ones before large ones, positive ones first."""
    return tuple(sorted(numbers, key=lambda x: (x.as_integer_ratio()[1], abs(x), x < 0)))


@lru_cache
def eighths(low: int, high: int) -> tuple[float, ...]:
    """Multiples of 1/8, simplest first."""
    return _simplest_first(k / 8 for k in range(8 * low, 8 * high + 1))


SIXTEENTHS = _simplest_first(k / 16 for k in range(1, 16))
"""Probabilities strictly between 0 and 1, exact in every dtype, simplest first."""


@lru_cache(typed=True)
def sampled(*values: Any) -> SearchStrategy[Any]:
    """One of some values, simplest first. Making a strategy takes longer than drawing from one that is kept."""
    return st.sampled_from(values)


@lru_cache
def _bytes(size: int) -> SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


def array(draw: DrawFn, numbers: Sequence[float], shape: Sequence[int], dtype: str | type) -> Array:
    """Draw an array of some numbers, at most 256 of them, simplest first: a byte an element, which is soon drawn."""
    places = np.frombuffer(draw(_bytes(math.prod(shape))), np.uint8) % len(numbers)
    kind = dtype_of(dtype) if isinstance(dtype, str) else dtype
    return np.array(numbers, dtype=np.float64)[places].reshape(shape).astype(kind)


def rows_of_probabilities(draw: DrawFn, shape: tuple[int, int], dtype: str, *, least: int = 0) -> Array:
    """Draw rows of multiples of 1/64 that sum to exactly 1, each at least `least` / 64."""
    n, c = shape
    result = np.full((n, c), float(least))
    np.add.at(result, (np.arange(n)[:, None], array(draw, range(c), (n, 4), np.int64)), (64 - least * c) / 4)
    return (result / 64).astype(dtype_of(dtype))


def prediction(draw: DrawFn, contract: Contract, form: Form, shape: tuple[int, int], dtype: str) -> Array:
    """Draw a prediction of a form."""
    if form is Form.LOGITS:
        return array(draw, eighths(-8, 8), shape, dtype)
    if form is Form.LOG_PROBABILITIES:
        return array(draw, eighths(-8, 0), shape, dtype)
    if contract.loss in BINARY:
        return array(draw, SIXTEENTHS, shape, dtype)
    return rows_of_probabilities(draw, shape, dtype, least=2)


def target(draw: DrawFn, form: TargetForm, shape: tuple[int, int], dtype: str) -> Array:
    """Draw a target of a form; rows of a distribution sum to exactly 1."""
    n, c = shape
    if form is TargetForm.INDEX:
        return array(draw, range(c), (n,), np.int64)
    if form is TargetForm.ONE_HOT:
        return np.eye(c)[array(draw, range(c), (n,), np.int64)].astype(dtype_of(dtype))
    if form is TargetForm.BINARY:
        return array(draw, (0.0, 1.0, 0.5, 0.25), shape, dtype)
    if form is TargetForm.LOG_DISTRIBUTION:
        return array(draw, eighths(-4, 0), shape, dtype)
    return rows_of_probabilities(draw, shape, dtype)


def _weights(draw: DrawFn, shape: Sequence[int], dtype: str) -> Array:
    # The first and simplest is not 1, which would weigh nothing.
    return array(draw, (2.0, 1.0, 0.5, 0.25, 3.0), shape, dtype)


Option = Callable[[DrawFn, Case], Case]


def _ignore_index(draw: DrawFn, case: Case, ignored: Sequence[int] = IGNORED) -> Case:
    """Ignore some rows: by a label that is no class, or by one that is."""
    assert case.target is not None  # noqa: S101 - index targets only
    index = draw(sampled(*(i for i in ignored if i < case.classes)))
    mask = array(draw, (False, True), case.target.shape, np.bool_)
    return case.replace(ignore_index=index, target=np.where(mask, index, case.target))


OPTIONS: dict[str, Option] = {
    "class_weight": lambda draw, case: case.replace(class_weight=_weights(draw, (case.classes,), case.dtype)),
    "pos_weight": lambda draw, case: case.replace(pos_weight=_weights(draw, (case.classes,), case.dtype)),
    "sample_weight": lambda draw, case: case.replace(sample_weight=_weights(draw, case.batch_shape, case.dtype)),
    "label_smoothing": lambda draw, case: case.replace(label_smoothing=draw(sampled(*SMOOTHING))),
    "ignore_index": _ignore_index,
    "gamma": lambda draw, case: case.replace(gamma=draw(sampled(*GAMMAS))),
    "alpha": lambda draw, case: case.replace(alpha=draw(sampled(*ALPHAS))),
    "where": lambda draw, case: where(draw, case),
}
"""How each option is added to a case."""


def where(draw: DrawFn, case: Case) -> Case:
    """Mask classes, never all of a row, and never one that the target needs; of the first row the last class."""
    mask = array(draw, (False, True), case.prediction.shape, np.bool_)
    mask[..., 0] = True
    mask[0, -1] = False
    if case.target is None or case.loss is Loss.KL_DIVERGENCE:
        # A masked term of a divergence is left out, whatever its target: only a target there makes the mask tell.
        return case.replace(where=mask)
    if case.target_form is TargetForm.INDEX:
        np.put_along_axis(mask, case.target[..., None], True, axis=-1)
        return case.replace(where=mask)
    kept = np.where(mask, case.target.astype(np.float64), 0.0)
    kept[..., 0] += (case.target.astype(np.float64) - kept).sum(axis=-1)
    return case.replace(where=mask, target=kept.astype(case.target.dtype))


@st.composite
def cases(
    draw: DrawFn,
    contract: Contract,
    dtype: str,
    *,
    forms: Sequence[Form] | None = None,
    targets: Sequence[TargetForm] | None = None,
    reductions: Sequence[Reduction] | None = None,
    options: Sequence[str] = (),
    shapes: Sequence[tuple[int, int]] = SHAPES,
    ignored: Sequence[int] = IGNORED,
) -> Case:
    """Draw a case that a contract allows, with exactly these options, and a focal loss with its gamma.

    Args:
        draw: Hypothesis's.
        contract: of the loss function.
        dtype: of the prediction.
        forms: to draw from; the contract's if None. So for targets and reductions.
        targets: see forms.
        reductions: see forms.
        options: those that the case has.
        shapes: to draw from.
        ignored: what to draw `ignore_index` from.
    """
    shape = draw(sampled(*shapes))
    form = draw(sampled(*(forms or contract.forms)))
    target_form = draw(sampled(*(targets or contract.targets)))
    case = Case(
        loss=contract.loss,
        prediction=prediction(draw, contract, form, shape, dtype),
        form=form,
        target=None if contract.loss in FUNCTIONS else target(draw, target_form, shape, dtype),
        target_form=target_form,
        reduction=draw(sampled(*(reductions or contract.reductions))),
    )
    if contract.loss is Loss.FOCAL and "gamma" in contract.options and "gamma" not in options:
        # Without it, it is another loss.
        case = OPTIONS["gamma"](draw, case)
    for option in options:
        case = _ignore_index(draw, case, ignored) if option == "ignore_index" else OPTIONS[option](draw, case)
    return case


FILLING = {Form.LOGITS: 0.0, Form.LOG_PROBABILITIES: -5.0}
"""What the classes have that `widened` adds."""


def widened(case: Case, classes: int, target: Array) -> Case:
    """Return a case of shape (N, 3) with more classes, that labels beyond 255 need, and with such a target.

    Rows of probabilities sum to exactly 1 in every dtype that has the integers below the number of classes but a few.
    """
    wide = np.full((case.prediction.shape[0], classes), FILLING.get(case.form, 0.0))
    wide[:, :3] = case.prediction
    if case.form is Form.PROBABILITIES:
        whole = 1 << (classes - 1).bit_length()
        wide[:] = 1 / whole
        wide[:, 0] = (whole - classes + 1) / whole
    return case.replace(prediction=wide.astype(case.prediction.dtype), target=target)


def flat(axis: int) -> tuple[int, int]:
    """Return rows and classes of an array of three axes, given which is that of the classes."""
    return math.prod(AXES) // AXES[axis], AXES[axis]


def three_axes(case: Case, axis: int) -> Case:
    """Return a case of shape `flat(axis)` as one of shape `AXES`."""
    batch = tuple(np.delete(AXES, axis).tolist())

    def put(values: Array) -> Array:
        return np.moveaxis(values.reshape(*batch, case.classes), -1, axis)

    def move(values: Array | None) -> Array | None:
        return None if values is None else put(values)

    def stack(values: Array | None) -> Array | None:
        return None if values is None else values.reshape(batch)

    index = case.target_form is TargetForm.INDEX
    return dataclasses.replace(
        case,
        prediction=put(case.prediction),
        class_axis=axis,
        target=stack(case.target) if index else move(case.target),
        where=move(case.where),
        sample_weight=stack(case.sample_weight),
    )


def class_axes(contract: Contract) -> list[int]:
    """Return where the class axis of an array of three axes may be."""
    return {"last": [2], "second": [1], "any": [0, 1, 2], "rows": []}[contract.class_axis]
