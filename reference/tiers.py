"""The reference's one entry point: row by row, the cheapest tier that decides.

The fast tier serves answers in float32 and below, double-double those in float64, and ball arithmetic whatever they
leave undecided: rows whose lower and upper bound do not round to the same number of the case's format. Whichever tier
an enclosure is from, it is proven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lossconform.reference import double_double_losses, exact, fast, hessian_product
from lossconform.reference.bounds import Bounds, Mask, take
from lossconform.reference.canonical import Canonical, canonical
from lossconform.reference.case import Case, Form, Loss, Reduction, unrows
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import Result
from lossconform.reference.formats import Float64, Format
from lossconform.reference.losses import FAMILIES
from lossconform.reference.policy import Policy
from lossconform.reference.reduction import ends_of_sum, quotient, scalar
from lossconform.reference.rows import Rows

DECIDE = ("correct rounding", "nothing")
"""What is asked of an enclosure: that it rounds to one number, or only that it is proven."""

SIGHT = 16_384
"""Numbers that are looked at in one go: six copies of them fit into a second-level cache."""

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
    case: Case, policy: Policy | None = None, *, gradient: bool = True, decide: str = "correct rounding"
) -> Result:
    """Return proven bounds on the value of a case, its gradient and Hessian-vector product; see `exact.evaluate`.

    Args:
        case: the question.
        policy: how it is read; the default policy if None.
        gradient: whether the gradient is wanted.
        decide: 'correct rounding', so that both bounds round to one number of the case's format wherever the exact
            tier's do, or 'nothing': whatever the first tier that covers a row proves.

    Raises:
        ValueError: as `exact.evaluate`; and for an unknown `decide`.
    """
    return examine(case, policy, gradient=gradient, decide=decide)[0]


def examine(
    case: Case, policy: Policy | None = None, *, gradient: bool = True, decide: str = "correct rounding"
) -> tuple[Result, Counts]:
    """Return what `evaluate` returns, and how many rows each tier decided."""
    if decide not in DECIDE:
        raise ValueError(f"decide: {decide!r}; expected one of {', '.join(DECIDE)}")
    policy = policy or Policy()
    problem = canonical(case, policy)
    n = problem.x.shape[0]
    counts = Counts()
    if (case.loss, case.form) not in FAMILIES or n == 0 or problem.denominator is None:
        counts.add("exact", n)
        counts.add_product("exact", 0 if case.direction is None else n)
        return exact.evaluate(case, policy, gradient=gradient), counts
    asked = gradient or case.direction is not None
    if asked and case.cotangent is not None and (problem.kept & ~problem.nan_rows).any():
        problem.cotangent  # noqa: B018 - refuses a wrong shape
    rounding = decide == "correct rounding"
    value, slope = _in_blocks(problem, gradient, rounding, counts)
    result = Result(
        _value(problem, value, rounding, counts),
        None if slope is None else _gradient(case, slope),
        None if case.direction is None else _hessian_product(problem, rounding, counts),
    )
    return result, counts


def _in_blocks(
    problem: Canonical, gradient: bool, rounding: bool, counts: Counts
) -> tuple[Enclosure, Enclosure | None]:
    """Return the enclosures of all rows, block by block: a tier takes many times the memory of what it looks at."""
    n, c = problem.x.shape
    size = max(1, LOGITS // c)
    if n * c <= WHOLE:
        return _block(problem, gradient, rounding, counts)
    value = np.empty((3, n, problem.entries))
    slope = np.empty((3, n, c)) if gradient else None
    for start in range(0, n, size):
        rows = slice(start, start + size)
        for whole, part in zip((value, slope), _block(take(problem, rows), gradient, rounding, counts), strict=True):
            if whole is not None and part is not None:
                whole[0, rows], whole[1, rows], whole[2, rows] = _parts(part)
    return Enclosure(*value), None if slope is None else Enclosure(*slope)


def _block(problem: Canonical, gradient: bool, rounding: bool, counts: Counts) -> tuple[Enclosure, Enclosure | None]:
    work = _Work(problem, gradient, rounding, counts)
    tiers = FLOAT64 if problem.case.dtype == "float64" and rounding else SMALL_FORMATS
    for name, tier in tiers.items():
        work.ask(name, tier)
    work.finish()
    assert work.value is not None  # noqa: S101 - there are rows
    return work.value, work.slope


class _Work:
    """The enclosures of a problem's rows as far as they are known."""

    def __init__(self, problem: Canonical, gradient: bool, rounding: bool, counts: Counts) -> None:
        n = problem.x.shape[0]
        self.problem, self.gradient, self.rounding, self.counts = problem, gradient, rounding, counts
        self.left: NDArray[np.intp] = np.arange(n)
        self.value: Enclosure | None = None
        self.slope: Enclosure | None = None

    def ask(self, name: str, tier: Tier) -> None:
        """Let a tier decide what it can of what is left."""
        if not self.left.size:
            return
        everything = len(self.left) == self.problem.x.shape[0]
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
        if decided.all() and len(self.left) == self.problem.x.shape[0]:
            self.value, self.slope = bounds.value, bounds.gradient
        else:
            self.value = self._merged(self.value, bounds.value, decided)
            if bounds.gradient is not None:
                self.slope = self._merged(self.slope, bounds.gradient, decided)
        self.left = self.left[~decided]

    def _merged(self, old: Enclosure | None, new: Enclosure, decided: Mask) -> Enclosure:
        if old is None:
            shape = (self.problem.x.shape[0], new.shape[1])
            old = Enclosure(np.full(shape, np.nan), np.zeros(shape), np.zeros(shape))
        to = self.left[decided]
        for mine, given in ((old.h, new.h), (old.lo, new.lo), (old.hi, new.hi)):
            mine[to] = given[decided]
        return old

    def _decided(self, bounds: Bounds) -> Mask:
        """Return the rows that need nothing better."""
        decided = bounds.covered
        if not self.rounding:
            return decided
        fmt = self.problem.case.format
        # A value that is only summed need not be decided by itself.
        if self.problem.case.reduction is Reduction.NONE:
            decided = decided & _one_number(bounds.value, fmt)
        if bounds.gradient is not None:
            decided = decided & _one_number(bounds.gradient, fmt)
        return decided


def _one_number(part: Enclosure, fmt: Format) -> Mask:
    """Return the rows whose bounds all round to one number; NaN is none."""
    n, c = part.shape
    one = np.ones(n, bool)
    size = max(1, SIGHT // c)
    for start, first in product(range(0, n, size), range(0, c, SIGHT)):
        rows, some = slice(start, start + size), slice(first, first + SIGHT)
        sure = decided_at_sight(part.h[rows, some], part.lo[rows, some], part.hi[rows, some], fmt)
        one[rows] &= sure.all() or sure.all(axis=1)
    left = np.flatnonzero(~one)
    if left.size:
        low, high = Enclosure(part.h[left], part.lo[left], part.hi[left]).rounded(fmt)
        # Below the spacing of float64's smallest numbers no pair of its numbers says more.
        little = (np.abs(low) < fmt.tiny) & (np.abs(high) < fmt.tiny) & (fmt.precision == 53)
        nothing_finer = np.where(little, high, 0.0) - np.where(little, low, 0.0) <= np.where(
            little, 2 * fmt.smallest, -1.0
        )
        one[left] = ((low == high) | nothing_finer).all(axis=1)
    return one


def decided_at_sight(h: Float64, lo: Float64, hi: Float64, fmt: Format) -> Mask:
    """Return where bounds certainly round to one number of the format, by arithmetic much cheaper than rounding.

    The bounds are widened by more than they are rounded, and split into as many bits as the format has (Veltkamp), or
    rounded to a multiple of its smallest number: if both come to one number, no midpoint lies between them.
    """
    with np.errstate(all="ignore"):
        if fmt.precision == 53:
            # The sum of two float64 numbers is itself correctly rounded, and rounding is monotonous.
            same: Mask = h + lo == h + hi
            return same
        size = np.abs(h)
        high = size * 2.0**-51
        low = lo - high
        low += h
        high += hi
        high += h
        normal: Mask = _head(low, fmt) == _head(high, fmt)
        width = hi - lo
        normal &= width <= size
        if not (size.min() >= 4 * fmt.tiny and size.max() <= fmt.finite_max / 4):
            normal &= (size >= 4 * fmt.tiny) & (size <= fmt.finite_max / 4)
        if normal.all():
            return normal
        anchor = 1.5 * 2.0**52 * fmt.smallest
        subnormal = ((low + anchor) - anchor == (high + anchor) - anchor) & (size <= fmt.tiny / 4)
        normal |= subnormal & (width <= fmt.tiny / 4)
    return normal


def _head(x: Float64, fmt: Format) -> Float64:
    """Return x rounded to as many bits as the format has, whatever its size (Veltkamp)."""
    head = x * (2.0 ** (53 - fmt.precision) + 1)
    head -= head - x
    return head


def exactly(problem: Canonical, gradient: bool) -> Bounds:
    """Return the exact tier's bounds on every row."""
    family = FAMILIES[problem.case.loss, problem.case.form]
    rows = Rows(problem)
    n = problem.x.shape[0]
    with exact._precision(exact.PRECISIONS[0]):
        values, slope = exact.answers(rows, family, gradient)
        value = exact.enclosure([v for row in values for v in row], (n, problem.entries))
    return Bounds(value, slope, np.ones(n, bool))


def _value(problem: Canonical, value: Enclosure, rounding: bool, counts: Counts) -> Enclosure:
    case = problem.case
    if case.reduction is Reduction.NONE:
        if not problem.wide:
            return value.reshape(problem.value_shape)
        return Enclosure(*(unrows(case, part) for part in _parts(value)))
    whole = _reduced(value, problem.denominator or Fraction(1))
    if whole is not None:
        low, high = whole.rounded(case.format)
        if not rounding or np.isnan(whole.h) or low == high:
            return whole
    counts.rows = {"exact": problem.x.shape[0]}
    return exact.evaluate(case.replace(direction=None), problem.policy, gradient=False).value


def _gradient(case: Case, slope: Enclosure) -> Enclosure:
    if slope.shape == case.prediction.shape and case.class_axis == 1:
        return slope
    return Enclosure(*(unrows(case, part) for part in _parts(slope)))


def _hessian_product(problem: Canonical, rounding: bool, counts: Counts) -> Enclosure:
    decided = partial(_one_number, fmt=problem.case.format) if rounding else None
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
