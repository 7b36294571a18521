"""The exact tier: ball arithmetic (Arb, through python-flint) with Ziv's loop, row by row.

It decides whatever is asked, at a few microseconds a logit. Source: F. Johansson, "Arb: efficient arbitrary-precision
midpoint-radius interval arithmetic", IEEE Trans. Computers 66(8), 2017; A. Ziv, ACM TOMS 17(3), 1991.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from flint import ctx, fmpq

from lossconform.reference.canonical import Canonical, canonical
from lossconform.reference.case import Case, Reduction, unrows
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.losses import FAMILIES, HESSIANS
from lossconform.reference.losses.row import Family, HessianProduct, Number
from lossconform.reference.policy import Policy
from lossconform.reference.real import ZERO, Real, multiplied, special, table, total
from lossconform.reference.rows import Rows, exactly

PRECISIONS = (120, 256, 1024, 4096)
"""The bits of each round of Ziv's loop. At 120, and not beyond, an exponential takes two words; with many classes the
first round has more, see `precisions`."""

BLOCK = 4096
"""Numbers at a time, about, that are kept as balls."""


@dataclass(frozen=True)
class Result:
    """What the reference says of a case under a policy."""

    value: Enclosure
    gradient: Enclosure | None
    hessian_product: Enclosure | None = None


def evaluate(case: Case, policy: Policy | None = None, *, gradient: bool = True) -> Result:
    """Return proven bounds on the value of a case, and on its gradient with respect to the prediction.

    Args:
        case: the question.
        policy: how it is read; the default policy if None.
        gradient: whether the gradient is wanted; it is that of the sum of value times cotangent.

    Returns:
        The value in nats, in the shape that the reduction gives, and the gradient in the prediction's shape. A row
        with NaN is NaN. An infinite loss has NaN or infinite gradient only where the derivative is. For a case with a
        direction also the product of the Hessian with it, in the prediction's shape: the derivative of the gradient, as
        the policy has it, along the direction.

    Raises:
        ValueError: a label outside the range that the policy gives no meaning; a cotangent of the wrong shape; a
            loss that is not defined for the form of the prediction.
    """
    policy = policy or Policy()
    problem = canonical(case, policy)
    try:
        family = FAMILIES[case.loss, case.form]
    except KeyError:
        raise ValueError(f"form: {case.form} for {case.loss}; the reference does not define that loss") from None
    rows = Rows(problem)
    with _precision(PRECISIONS[0]):
        values, slope = answers(rows, family, gradient)
        value = _reduce(rows, family, values)
    return Result(
        value,
        None if slope is None else _unrows(case, slope),
        None if case.direction is None else _unrows(case, hessian_product(problem)),
    )


def answers(rows: Rows, family: Family, gradient: bool) -> tuple[list[list[Number]], Enclosure | None]:
    """Return the values of each row, and the gradient in the shape (N, C) if asked for.

    A gradient is turned into an enclosure block by block: as balls it takes many times the memory.
    """
    n, c = rows.problem.shape
    values: list[list[Number]] = []
    slopes = np.empty((3, n, c)) if gradient else None
    size = max(1, BLOCK // c)
    soon = {} if gradient else _labelled(rows, family)
    for start in range(0, n, size):
        block = [soon.get(i) or _row(rows, family, i, gradient) for i in range(start, min(start + size, n))]
        values += [value for value, _ in block]
        if slopes is not None:
            flat = [number for _, slope in block for number in slope]
            with _precision(PRECISIONS[-1]):
                slopes[:, start : start + size] = table(flat).reshape(3, -1, c)
    return values, None if slopes is None else Enclosure(*slopes)


def hessian_product(problem: Canonical) -> Enclosure:
    """Return the Hessian-vector product of each row with the case's direction, (N, C)."""
    rows, product = Rows(problem), HESSIANS[problem.case.loss, problem.case.form]
    with _precision(PRECISIONS[0]):
        numbers = [number for i in range(problem.shape[0]) for number in _product(rows, product, i)]
    return enclosure(numbers, problem.shape)


@contextmanager
def _precision(bits: int) -> Iterator[None]:
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def _row(
    rows: Rows, family: Family, i: int, gradient: bool, least: int = PRECISIONS[0]
) -> tuple[list[Number], list[Number]]:
    """Return the values of a row and, if asked, its gradient: Ziv's loop, from `least` bits on.

    It leaves the precision of the ball arithmetic where it stopped.
    """
    problem = rows.problem
    if rows.fixed[i]:
        return [_fixed(problem, i)] * problem.entries, [_fixed_slope(problem, i)] * problem.shape[1]
    row = rows.row(i)
    factors = rows.factors(i) if gradient else None
    values: list[Number] = []
    slopes: list[Number] = []
    for bits in precisions(len(row.x)):
        if bits < least:
            continue
        if ctx.prec != bits:
            ctx.prec = bits
        row.parts = None
        values = family.value(row)
        slopes = family.gradient(row, factors) if factors is not None else []
        if _decided(values) and (not slopes or _decided(slopes)):
            break
    if gradient and factors is None:
        slopes = [_over_nothing(problem)] * problem.shape[1]
    return values, slopes


def _labelled(rows: Rows, family: Family) -> dict[int, tuple[list[Number], list[Number]]]:
    """Return the values of rows with one label and nothing infinite or NaN, but those that take a higher precision.

    They are the commonest rows, and of few classes what `_row` does besides its exponentials is half of its time.
    """
    c = rows.problem.shape[1]
    found: dict[int, tuple[list[Number], list[Number]]] = {}
    if family.labelled is None or not rows.single or c < 2:
        return found
    ctx.prec = precisions(c)[0]
    for i, plain in enumerate(rows.plain):
        if plain and not rows.fixed[i]:
            value = family.labelled(rows.x[i], rows.labels[i], rows.tops[i])
            value = value.times(multiplied(rows.row_weight[i], rows.label_weight[i]))
            if value.decided():
                found[i] = [value], []
    return found


def _product(rows: Rows, product: HessianProduct, i: int) -> list[Number]:
    """Return the Hessian-vector product of a row: Ziv's loop."""
    problem = rows.problem
    if rows.fixed[i]:
        return [_fixed_slope(problem, i)] * problem.shape[1]
    row, factors = rows.row(i), rows.factors(i)
    if factors is None:
        return [_over_nothing(problem)] * problem.shape[1]
    assert problem.direction is not None  # noqa: S101 - it was asked for
    direction = [exactly(v) for v in problem.direction[i].tolist()]
    numbers: list[Number] = []
    for bits in precisions(len(direction)):
        ctx.prec = bits
        row.parts = None
        numbers = product(row, factors, direction)
        if _decided(numbers):
            break
    return numbers


@lru_cache
def precisions(classes: int) -> tuple[int, ...]:
    """Return the bits of each round: in the first enough to sum that many exponentials within 2^-110."""
    return PRECISIONS[0] + max(0, classes.bit_length() - 10), *PRECISIONS[1:]


def _decided(numbers: list[Number]) -> bool:
    for number in numbers:  # noqa: SIM110 - all() takes half as long again
        if isinstance(number, Real) and not number.decided():
            return False
    return True


def _fixed(problem: Canonical, i: int) -> Number:
    """Return what the value is of a row that is ignored or NaN."""
    if problem.nan_rows[i]:
        return math.nan
    odd = problem.policy.ignored_nonfinite == "propagated" and not np.isfinite(problem.x[i]).all()
    return math.nan if odd else Real(ZERO)


def _fixed_slope(problem: Canonical, i: int) -> Number:
    """Return what derivatives are of a row that is ignored or NaN; a NaN in a mean over nothing is not counted."""
    nothing = problem.nan_rows[i] and problem.denominator is None
    return _over_nothing(problem) if nothing else _fixed(problem, i)


def _over_nothing(problem: Canonical) -> Number:
    """Return what a mean over nothing is, and its derivatives."""
    return math.nan if problem.policy.zero_denominator == "nan" else Real(ZERO)


def enclosure(numbers: list[Number], shape: tuple[int, ...]) -> Enclosure:
    """Return numbers of the exact tier as an enclosure."""
    with _precision(PRECISIONS[-1]):
        return Enclosure(*table(numbers).reshape(3, *shape))


def _reduce(rows: Rows, family: Family, values: list[list[Number]]) -> Enclosure:
    """Return the values as the reduction has them, given those of each row."""
    problem = rows.problem
    case = problem.case
    if case.reduction is Reduction.NONE:
        flat = [number for row in values for number in row]
        if problem.wide:
            return _unrows(case, enclosure(flat, (len(values), problem.entries)))
        return enclosure(flat, problem.value_shape)
    if problem.denominator is None:
        rule = problem.policy.zero_denominator if values else problem.policy.empty_mean
        return enclosure([math.nan if rule == "nan" else Real(ZERO)], ())
    number: Number = Real(ZERO)
    for bits in PRECISIONS[1:]:
        number = _sum(values, rows.scale, bits)
        if not isinstance(number, Real) or number.decided():
            break
        # The rows' values are accurate, but they cancel.
        values = [_row(rows, family, i, False, bits)[0] for i in range(len(values))]
        number = _sum(values, rows.scale, bits)
    return enclosure([number], ())


def _sum(values: list[list[Number]], scale: fmpq, bits: int) -> Number:
    flat = [number for row in values for number in row]
    odd = special(n for n in flat if not isinstance(n, Real))
    if odd is not None:
        return odd
    with _precision(bits):
        return total(n for n in flat if isinstance(n, Real)).times(scale)


def _unrows(case: Case, result: Enclosure) -> Enclosure:
    return Enclosure(*(unrows(case, part) for part in (result.h, result.lo, result.hi)))
