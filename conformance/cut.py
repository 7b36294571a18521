"""Cutting a packed case down: the one row that shows a fault, then as few of its classes as still show it.

Where it takes many rows to show a fault, equal ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lossconform.reference.case import Array, Case, TargetForm
from lossconform.reference.repeats import period

Shows = Callable[[Case], bool]


def smallest(case: Case, shows: Shows, *, classes: bool = True) -> Case:
    """Return the smallest case found, of at most a few dozen asked, that still shows the fault.

    Args:
        case: a case of shape (rows, classes) that shows it.
        shows: whether a case shows it.
        classes: whether classes may be dropped too; where each new shape is compiled, that is dear.
    """
    if case.prediction.ndim != 2 or case.class_axis != 1:
        return case
    for i in range(case.prediction.shape[0]):
        candidate = take_rows(case, [i])
        if shows(candidate):
            case = candidate
            break
    return _fewer_classes(case, shows) if classes else case


def equal_rows(case: Case, shows: Shows) -> Case:
    """Return the case with every row as one of those that it repeats, the first that still shows the fault, if any."""
    n = case.prediction.shape[0]
    for i in range(period(case.prediction) if period(case.prediction) < n else 0):
        candidate = take_rows(case, [i] * n)
        if shows(candidate):
            return candidate
    return case


def _fewer_classes(case: Case, shows: Shows) -> Case:
    size = case.classes // 2
    while size >= 1:
        for start in range(0, case.classes, size):
            kept = [j for j in range(case.classes) if not start <= j < start + size]
            candidate = take_classes(case, kept) if kept else None
            if candidate is not None and shows(candidate):
                case = candidate
                break
        else:
            size //= 2
    return case


def take_rows(case: Case, rows: Sequence[int]) -> Case:
    """Return the case with some of its rows."""

    def pick(array: Array | None) -> Array | None:
        return None if array is None or array.ndim == 0 else array[list(rows)]

    return case.replace(
        prediction=pick(case.prediction),
        target=pick(case.target),
        sample_weight=pick(case.sample_weight),
        where=pick(case.where),
        direction=pick(case.direction),
        cotangent=pick(case.cotangent) if case.cotangent is not None and case.cotangent.ndim else case.cotangent,
    )


def take_classes(case: Case, classes: Sequence[int]) -> Case | None:
    """Return the case with some of its classes; None if a label would be lost."""
    kept = list(classes)
    target = case.target
    if target is not None and case.target_form is TargetForm.INDEX:
        places = {j: k for k, j in enumerate(kept)}
        labels = [places.get(int(j), int(j) if j < 0 or j >= case.classes else None) for j in target.ravel()]
        if None in labels:
            return None
        target = np.array(labels, dtype=target.dtype).reshape(target.shape)
    elif target is not None:
        target = target[:, kept]
    wide = case.cotangent is not None and case.cotangent.shape == case.prediction.shape
    return case.replace(
        prediction=case.prediction[:, kept],
        target=target,
        class_weight=None if case.class_weight is None else case.class_weight[kept],
        pos_weight=None if case.pos_weight is None else case.pos_weight[kept],
        where=None if case.where is None else case.where[:, kept],
        direction=None if case.direction is None else case.direction[:, kept],
        cotangent=case.cotangent[:, kept] if wide and case.cotangent is not None else case.cotangent,
    )
