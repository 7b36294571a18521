"""A second evaluation of every loss, from its textbook definition, that shares nothing with the reference.

mpmath at 400 digits; the gradient by dual numbers through the whole value, reduction and cotangent included, and the
Hessian-vector product by dual numbers of dual numbers. It takes finite predictions, or -inf logits; the table of
special values (test_special_values.py) looks after the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from dual import Dual, Index, Moving, constant, number, slope_of, total
from mpmath import mp, mpf

from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.policy import Policy

NEVER = constant(0)
DIVISOR = number(np.float32(1e-12))


@dataclass(frozen=True)
class Second:
    """The second evaluation, by index: the values (the empty index where reduced), the gradient and, where the case has
    a direction, the Hessian-vector product."""

    value: dict[Index, Any]
    gradient: dict[Index, Any]
    hessian_product: dict[Index, Any] | None = None


class Reader:
    """Reads one case under one policy, index by index."""

    def __init__(self, case: Case, policy: Policy, wanted: Collection[Index] | None) -> None:
        self.case, self.policy, self.wanted = case, policy, wanted
        self.c = case.prediction.shape[case.class_axis]

    def batch(self) -> Iterator[Index]:
        """The indices of rows."""
        shape = list(self.case.prediction.shape)
        del shape[self.case.class_axis]
        return iter(np.ndindex(*shape))

    def full(self, row: Index, j: int) -> Index:
        """The index of class j of a row in an array of the prediction's shape."""
        axis = self.case.class_axis
        return (*row[:axis], j, *row[axis:])

    def x(self, row: Index, j: int) -> Dual:
        """One input: the number + 1·eps."""
        index = self.full(row, j)
        slopes = {index: mpf(1)} if self.wanted is None or index in self.wanted else {}
        x, direction = number(self.case.prediction[index]), self.case.direction
        moved = direction is not None and mp.isfinite(x) and direction[index] != 0
        return Dual(Moving(x, number(direction[index])) if moved else x, slopes)  # type: ignore[index]

    def takes_part(self, row: Index, j: int) -> bool:
        """Whether a class is not masked."""
        return self.case.where is None or bool(self.case.where[self.full(row, j)])

    def label(self, row: Index) -> tuple[str, int]:
        """What becomes of an index label: ('row', class), ('ignored', -1) or ('nan', -1)."""
        label = int(self.case.target[row])  # type: ignore[index]
        if self.case.ignore_index is not None and label == self.case.ignore_index:
            return "ignored", -1
        if 0 <= label < self.c:
            return "row", label
        rule = self.policy.negative_label if label < 0 else self.policy.label_too_large
        if rule == "wrapped":
            return "row", self.c + label
        if rule == "clamped":
            return "row", 0 if label < 0 else self.c - 1
        return {"nan": "nan", "zero": "ignored"}[rule], -1

    def is_ignored(self, row: Index) -> bool:
        """Whether a row is 0, and so is its slope."""
        return self.case.target_form is TargetForm.INDEX and self.label(row)[0] == "ignored"

    def is_counted(self, row: Index) -> bool:
        """Whether a mean counts a row: unless it has the ignored index."""
        case = self.case
        return case.target_form is not TargetForm.INDEX or int(case.target[row]) != case.ignore_index  # type: ignore[index]

    def row_weight(self, row: Index) -> Any:
        """The weight of a row."""
        return mpf(1) if self.case.sample_weight is None else number(self.case.sample_weight[row])

    def base(self, row: Index, j: int) -> Any:
        """The target of one class before smoothing."""
        case = self.case
        if case.target_form is TargetForm.INDEX:
            return mpf(1) if self.label(row)[1] == j else mpf(0)
        return number(case.target[self.full(row, j)])  # type: ignore[index]

    def target(self, row: Index, j: int) -> Any:
        """The smoothed target of one class."""
        base, eps = self.base(row, j), number(self.case.label_smoothing)
        if self.case.loss in (Loss.BINARY_CROSS_ENTROPY, Loss.FOCAL):
            return base * (1 - eps) + (eps / 2)
        if self.policy.smoothing == "all_classes" or self.c == 1:
            return base * (1 - eps) + eps / self.c
        return base * (1 - eps) + (1 - base) * eps / (self.c - 1)

    def class_weight(self, row: Index, j: int) -> Any:
        """The weight of class j in a row."""
        case = self.case
        if case.class_weight is None:
            return mpf(1)
        if case.target_form is TargetForm.INDEX and self.policy.smoothing_weight == "label_class":
            j = self.label(row)[1]
        return number(case.class_weight[j])


def bounds(case: Case, high: float) -> tuple[Any, Any]:
    """1e-7 and a high bound, as the case's dtype holds them: by the dtype's own cast, from float64."""
    low = np.array([1e-7, high]).astype(case.prediction.dtype).astype(np.float64)
    return mpf(float(low[0])), mpf(float(low[1]))


def clip(p: Dual, limits: tuple[Any, Any] | None) -> Dual:
    """A number within limits; constant where it is moved."""
    if limits is None or limits[0] <= p.a.real <= limits[1]:
        return p
    return constant(limits[0] if p.a.real < limits[0] else limits[1])


def probability_limits(reader: Reader) -> tuple[Any, Any] | None:
    """What the policy clips probabilities to."""
    case = reader.case
    high = 1.0 if case.loss is Loss.KL_DIVERGENCE else 1.0 - 1e-7
    if reader.policy.probability_range == "clipped":
        return number(1e-7), number(high)
    in_dtype = reader.policy.probability_range in ("clipped_in_dtype", "clipped_and_log_clamped")
    return bounds(case, high) if in_dtype else None


def log_sum(reader: Reader, row: Index) -> Dual:
    """log of the sum of exp over the classes that take part."""
    return total([reader.x(row, j).exp() for j in range(reader.c) if reader.takes_part(row, j)]).log()


def softmax(reader: Reader, row: Index) -> list[Dual]:
    """exp(x_j) / sum of exp(x_i)."""
    e = [reader.x(row, j).exp() if reader.takes_part(row, j) else NEVER for j in range(reader.c)]
    whole = total(e)
    return [v / whole for v in e]


def negative_log(p: Dual) -> Dual:
    """-log p; infinite at 0."""
    return constant(mp.inf) if p.a.real == 0 else p.log().times(-1)


def log_softmax(reader: Reader, row: Index) -> list[Dual]:
    """x_j - log sum exp; -inf for a class that takes no part."""
    lse = log_sum(reader, row)
    return [reader.x(row, j) - lse if reader.takes_part(row, j) else constant(-mp.inf) for j in range(reader.c)]


def entropy(reader: Reader, row: Index) -> Dual:
    """-sum p log p, with 0 log 0 = 0."""
    return total([p * negative_log(p) for p in softmax(reader, row) if p.a.real != 0])


def cross_entropy(reader: Reader, row: Index) -> Dual:
    """-sum w_i t_i log p_i over the classes with t_i > 0."""
    t = {}
    for j in range(reader.c):
        if reader.takes_part(row, j) or reader.base(row, j) != 0:
            t[j] = reader.target(row, j) * reader.class_weight(row, j)
    if reader.case.form is Form.LOGITS:
        losses = {j: negative_log(p) for j, p in enumerate(softmax(reader, row))}
    elif reader.case.form is Form.LOG_PROBABILITIES:
        losses = {j: reader.x(row, j).times(-1) for j in range(reader.c)}
    else:
        q = [reader.x(row, j) for j in range(reader.c)]
        if reader.policy.probability_sum == "renormalised":
            scale = total(q)
            q = [v / scale for v in q]
        q = [clip(v, probability_limits(reader)) for v in q]
        if reader.policy.probability_sum == "renormalised_last":
            scale = total(q)
            q = [v / scale for v in q]
        losses = {j: negative_log(v) for j, v in enumerate(q)}
    return total([losses[j].times(t[j]) for j in t if t[j] != 0])


def assumed_one(reader: Reader, row: Index) -> Dual:
    """The cross-entropy as it is where the target sums to 1: log sum exp - sum t_i x_i."""
    own = [
        reader.x(row, j).times(reader.target(row, j) * reader.class_weight(row, j))
        for j in range(reader.c)
        if reader.target(row, j) != 0 and (reader.takes_part(row, j) or reader.base(row, j) != 0)
    ]
    return log_sum(reader, row) - total(own)


def binary(reader: Reader, row: Index, j: int) -> Dual:
    """-w (pos t log p + (1 - t) log(1 - p)) for one element."""
    case, x = reader.case, reader.x(row, j)
    clamped = case.form is Form.PROBABILITIES and "log_clamped" in reader.policy.probability_range
    if case.form is Form.LOGITS:
        # The two probabilities of the logistic model, each without 1 - p: exp(-z) / (1 + exp(-z)) is the other one.
        e = x.times(-1).exp()
        p, q = constant(1) / (constant(1) + e), e / (constant(1) + e)
    else:
        p = clip(x, probability_limits(reader))
        q = constant(1) - p
    t = reader.target(row, j)
    pos = mpf(1) if case.pos_weight is None else number(case.pos_weight[j])
    terms = []
    for weight, loss in ((t * pos, negative_log(p)), (1 - t, negative_log(q))):
        if weight != 0:
            terms.append(Dual(mpf(100) if clamped and loss.a.real > 100 else loss.a, loss.b).times(weight))
    weight = reader.class_weight(row, j)
    result = total(terms).times(weight) if weight else constant(0)
    if clamped:
        product = p.a * q.a
        ratio = product / DIVISOR if product.real < DIVISOR else mpf(1)
        return Dual(result.a, {key: v * ratio for key, v in result.b.items()})
    return result


def clamped_logs(reader: Reader, logs: list[Dual], known: tuple[Dual, Dual]) -> list[Dual]:
    """The logarithms at most 100, and their slopes over a divisor that has a floor; along a direction too."""
    product = known[0].a * known[1].a
    ratio = product / DIVISOR if product.real < DIVISOR else mpf(1)
    clamped = []
    for log in logs:
        slopes = {key: slope * ratio for key, slope in log.b.items()}
        value = min(log.a.real, mpf(100))
        if isinstance(log.a, Moving):
            along = [slope.real * number(reader.case.direction[key]) for key, slope in slopes.items()]  # type: ignore[index]
            clamped.append(Dual(Moving(value, mp.fsum(along)), slopes))
        else:
            clamped.append(Dual(value, slopes))
    return clamped


def focal(reader: Reader, row: Index, j: int) -> Dual:
    """-w alpha_t (1 - p_t)^gamma log p_t for one element, for each reading of a fractional target."""
    case, x, one = reader.case, reader.x(row, j), constant(1)
    t, rule = reader.target(row, j), reader.policy.focal_target
    gamma = number(case.gamma)
    positive, negative = (mpf(1), mpf(1)) if case.alpha is None else (number(case.alpha), 1 - number(case.alpha))
    weight = reader.class_weight(row, j)
    if weight == 0:
        return constant(0)
    if case.form is Form.LOGITS:
        e = x.times(-1).exp()
        p, q = one / (one + e), e / (one + e)
        known = p, q
    else:
        known = clip(x, probability_limits(reader)), one - clip(x, probability_limits(reader))
        p, q = known if reader.policy.focal_range == "clipped" else (x, one - x)
    logs = [negative_log(v) for v in known]
    if case.form is Form.PROBABILITIES and "log_clamped" in reader.policy.probability_range:
        logs = clamped_logs(reader, logs, known)
    if rule == "terms" or t in (0, 1):
        terms = [(t * positive, q, logs[0]), ((1 - t) * negative, p, logs[1])]
        return total([(m.power(gamma) * v).times(w * weight) for w, m, v in terms if w != 0])
    c = logs[0].times(t) + logs[1].times(1 - t)
    if rule == "arithmetic":
        m = q.times(t) + p.times(1 - t)
    elif rule == "geometric":
        m = one - c.times(-1).exp()
    else:
        odds = (p / q).power(2 * t - 1)
        m = one / (one + odds)
    return (m.power(gamma) * c).times(weight * (t * positive + (1 - t) * negative))


def divergence(reader: Reader, row: Index, j: int) -> Dual:
    """t (log t - log q) for one element, with 0 log 0 = 0."""
    case = reader.case
    if not reader.takes_part(row, j):
        return constant(0)
    if case.target_form is TargetForm.LOG_DISTRIBUTION:
        log_t = reader.base(row, j)
        t = mp.exp(log_t)
    else:
        t = reader.base(row, j)
        if reader.policy.target_range == "clipped_in_dtype":
            low, high = bounds(case, 1.0)
            t = min(max(t, low), high)
        log_t = mp.log(t) if t != 0 else None
    if t == 0:
        return constant(0)
    x = reader.x(row, j)
    surprise = x.times(-1) if case.form is Form.LOG_PROBABILITIES else negative_log(clip(x, probability_limits(reader)))
    return (constant(log_t) + surprise).times(t)


ELEMENTS = {Loss.BINARY_CROSS_ENTROPY: binary, Loss.KL_DIVERGENCE: divergence, Loss.FOCAL: focal}
"""The losses with one term an element."""


def row_values(reader: Reader, row: Index) -> list[Dual]:
    """The values of a row: one, or one a class."""
    loss, c = reader.case.loss, reader.c
    if loss in ELEMENTS:
        values = [ELEMENTS[loss](reader, row, j) for j in range(c)]
        rule = reader.policy.class_axis_reduction
        if rule == "none":
            return values
        return [total(values).times(mpf(1) if rule == "sum" else mpf(1) / c)]
    if loss is Loss.LOG_SIGMOID:
        one = constant(1)
        return [(one / (one + reader.x(row, j).times(-1).exp())).log() for j in range(c)]
    if loss is Loss.SOFTMAX:
        return softmax(reader, row)
    if loss is Loss.LOG_SOFTMAX:
        return log_softmax(reader, row)
    single = {Loss.LOG_SUM_EXP: log_sum, Loss.ENTROPY: entropy, Loss.SOFTMAX_CROSS_ENTROPY: cross_entropy}
    return [single[loss](reader, row)]


def denominator(reader: Reader, entries: int) -> Any:
    """What the sum is divided by."""
    case = reader.case
    kind = {
        Reduction.SUM: "one",
        Reduction.MEAN: reader.policy.mean_denominator,
        Reduction.BATCH_MEAN: "batch",
        Reduction.WEIGHTED_MEAN: "sample_weights",
    }[case.reduction]
    everyone = list(reader.batch())
    kept = [row for row in everyone if reader.is_counted(row)]
    if kind == "one":
        return mpf(1)
    if kind == "batch":
        return mpf(case.prediction.shape[0])
    if kind in ("elements", "kept"):
        return mpf(entries * len(everyone if kind == "elements" else kept))
    weights = [reader.row_weight(row) for row in kept]
    if kind == "weights" and case.class_weight is not None and case.target_form is TargetForm.INDEX:
        labels = [reader.label(row)[1] for row in kept]
        own = [number(case.class_weight[j]) if j >= 0 else mpf(1) for j in labels]
        weights = [w * v for w, v in zip(weights, own, strict=True)]
    return mp.fsum(weights) * entries


def second(case: Case, policy: Policy, wanted: Collection[Index] | None = None) -> Second:
    """Evaluate a case; the gradient by the wanted entries of the prediction, all if None."""
    result = _second(case, policy, wanted)
    if case.direction is None:
        return result
    value, gradient = ({index: v.real for index, v in part.items()} for part in (result.value, result.gradient))
    product = {i: mp.nan if mp.isnan(v.real) else slope_of(v) for i, v in result.gradient.items()}
    return Second(value, gradient, product)


def _second(case: Case, policy: Policy, wanted: Collection[Index] | None = None) -> Second:
    reader = Reader(case, policy, wanted)
    values: dict[Index, Dual] = {}
    slopes: list[Dual] = []
    wide = _wide(case, policy)
    entries = reader.c if wide else 1
    for row in reader.batch():
        state = reader.label(row)[0] if case.target_form is TargetForm.INDEX else "row"
        if state == "row":
            weight = reader.row_weight(row)
            duals = [v.times(weight) if weight else constant(0) for v in row_values(reader, row)]
        elif state == "ignored":
            duals = [constant(0)] * entries
        else:
            duals = [Dual(mp.nan, {reader.full(row, j): mp.nan for j in range(reader.c)})] * entries
        from_logits = (case.loss, case.form) == (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOGITS)
        assumed = from_logits and policy.target_sum == "assumed_one" and state == "row"
        for j, value in enumerate(duals):
            index = reader.full(row, j) if wide else row
            values[index] = value
            slope = assumed_one(reader, row).times(reader.row_weight(row)) if assumed else value
            up = mpf(1)
            if case.cotangent is not None:
                up = number(case.cotangent[() if case.reduction is not Reduction.NONE else index])
            slopes.append(Dual(mpf(0), slope.times(up).b))
    gradient = dict(total(slopes).b)
    if case.reduction is Reduction.NONE:
        return Second({index: v.a for index, v in values.items()}, gradient)
    divisor = denominator(reader, entries)
    if divisor == 0:
        empty = mp.nan if policy.zero_denominator == "nan" else mpf(0)
        counted = [row for row in reader.batch() if not reader.is_ignored(row)]
        return Second({(): empty}, {reader.full(row, j): empty for row in counted for j in range(reader.c)})
    value = mp.fsum([v.a.real for v in values.values()]) / divisor
    return Second({(): value}, {index: v / divisor for index, v in gradient.items()})


def _wide(case: Case, policy: Policy) -> bool:
    if case.loss in ELEMENTS:
        return policy.class_axis_reduction == "none"
    return case.loss in (Loss.SOFTMAX, Loss.LOG_SOFTMAX, Loss.LOG_SIGMOID)
