"""Targets of one class, which need a row's other classes for its sums at most; both float64 tiers take them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossconform.reference.bounds import Bounds, Mask, sane, take
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Array
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Float64

Path = Callable[[Canonical], Bounds]
"""Encloses the rows of a problem."""


def by_target(problem: Canonical, one: Path, others: Path) -> Bounds:
    """Enclose rows with one class in the target by the one path, and the others by the other."""
    single = one_class(problem)
    if single.all():
        return one(problem)
    if not single.any():
        return others(problem)
    return _merged(single, one(take(problem, np.flatnonzero(single))), others(take(problem, np.flatnonzero(~single))))


def _merged(first: Mask, a: Bounds, b: Bounds) -> Bounds:
    """Return the bounds of rows, some from the one, some from the other."""
    covered = np.empty(len(first), bool)
    covered[first], covered[~first] = a.covered, b.covered

    def join(p: Enclosure, q: Enclosure) -> Enclosure:
        arrays = []
        for name in ("h", "lo", "hi"):
            array = np.empty((len(first), *p.shape[1:]))
            array[first], array[~first] = getattr(p, name), getattr(q, name)
            arrays.append(array)
        return Enclosure(*arrays)

    gradient = None if a.gradient is None or b.gradient is None else join(a.gradient, b.gradient)
    return Bounds(join(a.value, b.value), gradient, covered)


def one_class(problem: Canonical) -> Mask:
    """Return the rows whose target is one class, with what the policy takes it to sum to."""
    case = problem.case
    n = problem.shape[0]
    assumed = problem.policy.target_sum == "assumed_one"
    if case.label_smoothing != 0 or (assumed and case.class_weight is not None):
        return np.zeros(n, bool)
    if problem.labels is not None:
        return np.ones(n, bool)
    assert problem.base is not None  # noqa: S101 - a loss with a target
    single: Mask = np.count_nonzero(problem.base, axis=1) == 1
    if assumed:
        single &= problem.base.max(axis=1) == 1
    return single


@dataclass(eq=False)
class Chosen:
    """The class of each row whose target is one class, (N,), and the factors of its weight.

    Attributes:
        labels: the class; 0 in rows without one.
        weights: exact float64 factors, each (N,), of which the weight is the product; none where nothing is weighted.
        sane: the rows whose factors are sane.
    """

    labels: NDArray[np.int64]
    weights: list[Float64]
    sane: Mask

    @classmethod
    def of(cls, problem: Canonical) -> Chosen:
        """Return those of a problem of which every row has one."""
        case = problem.case
        lines = np.arange(problem.shape[0])
        weights = [] if case.sample_weight is None else [problem.row_weight]
        if problem.labels is not None:
            labels = problem.labels
            if case.class_weight is not None:
                weights.append(problem.label_weight)
        else:
            assert problem.base is not None  # noqa: S101 - a loss with a target
            labels = problem.base.argmax(axis=1)
            own = problem.base[lines, labels]
            if case.class_weight is not None:
                weights.append(case.class_weight.astype(np.float64)[labels])
            if not (own == 1).all():
                weights.append(own)
        fine = np.ones(len(lines), bool)
        for weight in weights:
            fine &= sane(weight)
        return cls(labels, weights, fine)

    def at(self, array: Array) -> Float64:
        """Return the numbers of an array, (N, C), at the classes, in float64, (N,)."""
        return array[np.arange(len(self.labels)), self.labels].astype(np.float64)
