"""Questions about an answer: whether it is within so many ULP, its grade, and the policies that it agrees with.

Each is put to the cheapest tier that settles it, row by row; see `tiers.evaluate`. An answer's value has the shape that
the reduction gives, its gradient that of the prediction, and both a floating-point format, as a rule the prediction's,
in whose ULP they are measured. Either may be left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lossconform.reference import tiers
from lossconform.reference.bounds import Mask
from lossconform.reference.canonical import LabelError, canonical
from lossconform.reference.case import Array, Case
from lossconform.reference.condition import conditions
from lossconform.reference.demand import Grading, Within, answered
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Float64
from lossconform.reference.grades import USUAL, Condition, Grade
from lossconform.reference.policy import CHOICES, Policy

Told = tuple[Float64, Enclosure, Condition]
"""One part of an answer, bounds that settle the question, and the condition of the exact answer."""


def within(
    case: Case, ulps: float, *, value: Array | None = None, gradient: Array | None = None, policy: Policy | None = None
) -> tuple[Mask | None, Mask | None]:
    """Return which entries of an answer, its value and its gradient, are within so many ULP of the exact one.

    NaN is within 0 ULP of NaN and an infinity of itself; NaN is infinitely far from a number.

    Raises:
        ValueError: as `tiers.evaluate`.
        TypeError: for an answer of a dtype that no loss has.
    """
    asked = Within(ulps, value, gradient)
    first, second = _parts(case, policy, asked)
    return (
        None if first is None else asked.holds(*first, case.format),
        None if second is None else asked.holds(*second, case.format),
    )


def grades(
    case: Case,
    *,
    value: Array | None = None,
    gradient: Array | None = None,
    policy: Policy | None = None,
    accumulator: str = USUAL,
    any_order: bool = False,
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Return the grade of each entry of an answer, of its value and of its gradient, as the number of a `Grade`.

    Raises:
        ValueError: as `tiers.evaluate`.
        TypeError: for an answer of a dtype that no loss has.
    """
    asked = Grading(None, value, gradient, accumulator, any_order)
    first, second = _parts(case, policy, asked)
    return (
        None if first is None else asked.grades(*first, case.format),
        None if second is None else asked.grades(*second, case.format),
    )


def policies(
    case: Case,
    name: str,
    worst: Grade,
    *,
    value: Array | None = None,
    gradient: Array | None = None,
    policy: Policy | None = None,
    accumulator: str = USUAL,
    any_order: bool = False,
) -> frozenset[str]:
    """Return the values of one policy under which every entry of an answer has a grade or a better one.

    Under a policy that only a refusal satisfies no answer has. Where all values are returned the case does not tell.

    Args:
        case: the question.
        name: the policy: a key of `policy.CHOICES`.
        worst: the grade.
        value: the answer's value.
        gradient: its gradient.
        policy: the other policies; the default ones if None.
        accumulator: see `grades.Tolerances`.
        any_order: see `grades.Tolerances`.

    Raises:
        ValueError: as `tiers.evaluate`; for an unknown policy.
        TypeError: for an answer of a dtype that no loss has.
    """
    if name not in CHOICES:
        raise ValueError(f"name: {name!r}; expected one of {', '.join(CHOICES)}")
    asked = Grading(worst, value, gradient, accumulator, any_order)
    found = set()
    for choice, other in (policy or Policy()).alternatives(name).items():
        try:
            parts = _parts(case, other, asked)
        except LabelError:
            continue
        if all(part is None or (asked.grades(*part, case.format) <= worst).all() for part in parts):
            found.add(choice)
    return frozenset(found)


def _parts(case: Case, policy: Policy | None, asked: Within | Grading) -> tuple[Told | None, Told | None]:
    policy = policy or Policy()
    result = tiers.evaluate(case, policy, gradient=asked.gradient is not None, decide=asked)
    conditioned = conditions(canonical(case, policy))
    value: Told | None = None
    gradient: Told | None = None
    if asked.value is not None:
        value = answered("value", asked.value, result.value.shape), result.value, conditioned[0]
    if asked.gradient is not None and result.gradient is not None:
        gradient = answered("gradient", asked.gradient, result.gradient.shape), result.gradient, conditioned[1]
    return value, gradient
