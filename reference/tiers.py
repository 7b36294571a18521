"""The reference's one entry point: row by row, the cheapest tier that decides.

The fast tier serves answers in float32 and below, double-double those in float64, and ball arithmetic whatever they
leave undecided: rows whose lower and upper bound do not round to the same number of the case's format, or between which
another question is open (`demand`). Whichever tier an enclosure is from, it is proven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lossconform.reference import double_double_losses, exact, fast, hessian_product
from lossconform.reference.bounds import Bounds, Mask, take
from lossconform.reference.canonical import Canonical, canonical
from lossconform.reference.case import Case, Form, Loss, Reduction, unrows
from lossconform.reference.demand import Decide, Demand, Rounding, demand, one_number
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import Result
from lossconform.reference.losses import FAMILIES
from lossconform.reference.policy import Policy
from lossconform.reference.reduction import ends_of_sum, quotient, scalar
from lossconform.reference.rows import Rows

WHOLE = 1 << 20
"""Logits up to which a case is one block: dozens of its copies are little memory, and nothing is copied together."""

LOGITS = 1 << 18
"""Logits in a block of a larger case."""

Tier = Callable[[Canonical, bool], Bounds | None]


def _fast(problem: Canonical, gradient: bool) -> Bounds | None:
    return fast.evaluate(problem, gradient=gradient)


def _careful(problem: Canonical, gradient: bool) -> Bounds | None:
    case = problem.case
    soft = (case.loss, case.form) == (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOGITS) and problem.labels is None
    return fast.evaluate(problem, gradient=gradient, careful=True) if soft else None


def _double_double(problem: Canonical, gradient: bool) -> Bounds | None:
    return double_double_losses.evaluate(problem, gradient=gradient)


SMALL_FORMATS: dict[str, Tier] = {"fast": _fast, "careful": _careful, "double-double": _double_double}
FLOAT64: dict[str, Tier] = {"double-double": _double_double}
"""The tiers before the exact one, in the order in which they are asked."""


@dataclass
class Counts:
    """How many rows each tier decided; a sum that only the exact tier decides makes all its rows exact."""

    rows: dict[str, int] = field(default_factory=dict)
    products: dict[str, int] = field(default_factory=dict)
    """Of Hessian-vector products."""

    def add(self, tier: str, rows: int) -> None:
        """Count rows."""
        if rows:
            self.rows[tier] = self.rows.get(tier, 0) + rows

    def add_product(self, tier: str, rows: int) -> None:
        """Count rows of a Hessian-vector product."""
        if rows:
            self.products[tier] = self.products.get(tier, 0) + rows


def evaluate(
    case: Case, policy: Policy | None = None, *, gradient: bool = True, decide: Decide = "correct rounding"
) -> Result:
    """Return proven bounds on the value of a case, its gradient and Hessian-vector product; see `exact.evaluate`.

    Args:
        case: the question.
        policy: how it is read; the default policy if None.
        gradient: whether the gradient is wanted.
        decide: 'correct rounding', so that both bounds round to one number of the case's format wherever the exact
            tier's do; 'nothing': whatever the first tier that covers a row proves; or a question about an answer,
            `demand.Within` or `demand.Grading`, which the bounds then settle wherever the exact tier's do. Of a
            Hessian-vector product only correct rounding is decided.

    Raises:
        ValueError: as `exact.evaluate`; for an unknown word, and for an answer of the wrong shape.
        TypeError: for an answer of a dtype that no loss has.
    """
    return examine(case, policy, gradient=gradient, decide=decide)[0]


def examine(
    case: Case, policy: Policy | None = None, *, gradient: bool = True, decide: Decide = "correct rounding"
) -> tuple[Result, Counts]:
    """Return what `evaluate` returns, and how many rows each tier decided."""
    policy = policy or Policy()
    problem = canonical(case, policy)
    asked = demand(decide, problem)
    n = problem.shape[0]
    counts = Counts()
    if (case.loss, case.form) not in FAMILIES or n == 0 or problem.denominator is None:
        counts.add("exact", n)
        counts.add_product("exact", 0 if case.direction is None else n)
        return exact.evaluate(case, policy, gradient=gradient), counts
    sloped = gradient or case.direction is not None
    if sloped and case.cotangent is not None and (problem.kept & ~problem.nan_rows).any():
        problem.cotangent  # noqa: B018 - refuses a wrong shape
    value, slope = _in_blocks(problem, gradient, asked, counts)
    result = Result(
        _value(problem, value, asked, counts),
        None if slope is None else _gradient(case, slope),
        None if case.direction is None else _hessian_product(problem, asked, counts),
    )
    return result, counts


def _in_blocks(problem: Canonical, gradient: bool, asked: Demand, counts: Counts) -> tuple[Enclosure, Enclosure | None]:
    """Return the enclosures of all rows, block by block: a tier takes many times the memory of what it looks at."""
    n, c = problem.shape
    size = max(1, LOGITS // c)
    if n * c <= WHOLE:
        return _block(problem, gradient, asked, counts)
    value = np.empty((3, n, problem.entries))
    slope = np.empty((3, n, c)) if gradient else None
    for start in range(0, n, size):
        rows = slice(start, start + size)
        for whole, part in zip(
            (value, slope), _block(take(problem, rows), gradient, asked, counts, start), strict=True
        ):
            if whole is not None and part is not None:
                whole[0, rows], whole[1, rows], whole[2, rows] = _parts(part)
    return Enclosure(*value), None if slope is None else Enclosure(*slope)


def _block(
    problem: Canonical, gradient: bool, asked: Demand, counts: Counts, first: int = 0
) -> tuple[Enclosure, Enclosure | None]:
    work = _Work(problem, gradient, asked, counts, first)
    tiers = FLOAT64 if problem.case.dtype == "float64" and asked.finer else SMALL_FORMATS
    for name, tier in tiers.items():
        work.ask(name, tier)
    work.finish()
    assert work.value is not None  # noqa: S101 - there are rows
    return work.value, work.slope


class _Work:
    """The enclosures of a problem's rows, of which the first has a number, as far as they are known."""

    def __init__(self, problem: Canonical, gradient: bool, asked: Demand, counts: Counts, first: int) -> None:
        n = problem.shape[0]
        self.problem, self.gradient, self.asked, self.counts = problem, gradient, asked, counts
        self.first = first
        self.left: NDArray[np.intp] = np.arange(n)
        self.value: Enclosure | None = None
        self.slope: Enclosure | None = None

    def ask(self, name: str, tier: Tier) -> None:
        """Let a tier decide what it can of what is left."""
        if not self.left.size:
            return
        everything = len(self.left) == self.problem.shape[0]
        bounds = tier(self.problem if everything else take(self.problem, self.left), self.gradient)
        if bounds is None:
            return
        self._keep(name, bounds, self._decided(bounds))

    def finish(self) -> None:
        """Let the exact tier decide the rest."""
        if self.left.size:
            self._keep("exact", exactly(take(self.problem, self.left), self.gradient), np.ones(len(self.left), bool))

    def _keep(self, name: str, bounds: Bounds, decided: Mask) -> None:
        self.counts.add(name, int(decided.sum()))
        if decided.all() and len(self.left) == self.problem.shape[0]:
            self.value, self.slope = bounds.value, bounds.gradient
        else:
            self.value = self._merged(self.value, bounds.value, decided)
            if bounds.gradient is not None:
                self.slope = self._merged(self.slope, bounds.gradient, decided)
        self.left = self.left[~decided]

    def _merged(self, old: Enclosure | None, new: Enclosure, decided: Mask) -> Enclosure:
        if old is None:
            shape = (self.problem.shape[0], new.shape[1])
            old = Enclosure(np.full(shape, np.nan), np.zeros(shape), np.zeros(shape))
        to = self.left[decided]
        for mine, given in ((old.h, new.h), (old.lo, new.lo), (old.hi, new.hi)):
            mine[to] = given[decided]
        return old

    def _decided(self, bounds: Bounds) -> Mask:
        """Return the rows that need nothing better."""
        decided, at = bounds.covered, self.left + self.first
        # A value that is only summed need not be decided by itself.
        if self.problem.case.reduction is Reduction.NONE:
            decided = decided & self.asked.rows("value", bounds.value, at)
        if bounds.gradient is not None:
            decided = decided & self.asked.rows("gradient", bounds.gradient, at)
        return decided


def exactly(problem: Canonical, gradient: bool) -> Bounds:
    """Return the exact tier's bounds on every row."""
    family = FAMILIES[problem.case.loss, problem.case.form]
    rows = Rows(problem)
    n = problem.shape[0]
    with exact._precision(exact.PRECISIONS[0]):
        values, slope = exact.answers(rows, family, gradient)
        value = exact.enclosure([v for row in values for v in row], (n, problem.entries))
    return Bounds(value, slope, np.ones(n, bool))


def _value(problem: Canonical, value: Enclosure, asked: Demand, counts: Counts) -> Enclosure:
    case = problem.case
    if case.reduction is Reduction.NONE:
        if not problem.wide:
            return value.reshape(problem.value_shape)
        return Enclosure(*(unrows(case, part) for part in _parts(value)))
    whole = _reduced(value, problem.denominator or Fraction(1))
    if whole is not None and asked.whole(whole):
        return whole
    counts.rows = {"exact": problem.shape[0]}
    return exact.evaluate(case.replace(direction=None), problem.policy, gradient=False).value


def _gradient(case: Case, slope: Enclosure) -> Enclosure:
    if slope.shape == case.prediction.shape and case.class_axis == 1:
        return slope
    return Enclosure(*(unrows(case, part) for part in _parts(slope)))


def _hessian_product(problem: Canonical, asked: Demand, counts: Counts) -> Enclosure:
    decided = partial(one_number, fmt=problem.case.format) if isinstance(asked, Rounding) else None
    whole = hessian_product.of(problem, decided, counts.add_product)
    return Enclosure(*(unrows(problem.case, part) for part in _parts(whole)))


def _reduced(values: Enclosure, denominator: Fraction) -> Enclosure | None:
    """Return the sum of all values over the denominator; None where it is not for this arithmetic to say."""
    if np.isnan(values.h).any():
        return scalar(np.nan)
    ends = ends_of_sum(values)
    return None if ends is None else quotient(*ends, denominator)


def _parts(values: Enclosure) -> tuple[NDArray[np.float64], ...]:
    return values.h, values.lo, values.hi
