"""The exact tier: traps of rounding, ties that are exact, ranges that overflow, invariances."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any
from unittest import mock

import numpy as np
import pytest
from containment import REGIMES, question
from drawn import questions
from flint import arb, ctx, fmpq
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import evaluate
from lossconform.reference.formats import FORMATS, dtype_of
from lossconform.reference.losses import FAMILIES
from lossconform.reference.policy import Policy
from lossconform.reference.real import Real, difference, rational, total

CE = Loss.SOFTMAX_CROSS_ENTROPY
finite = st.floats(allow_nan=False, allow_infinity=False)


def cross_entropy(x: Any, labels: Any, dtype: str = "float64", **options: Any) -> Case:
    """Return a softmax cross-entropy of index labels."""
    target = np.array(labels)
    return Case(
        loss=CE, prediction=np.array(x, dtype_of(dtype)), target=target, target_form=TargetForm.INDEX, **options
    )


def slope(case: Case) -> Enclosure:
    """Return the gradient of a case under the default policy."""
    found = evaluate(case).gradient
    assert found is not None
    return found


class TestRoundingTraps:
    """m - x_y can be exactly a midpoint of the format, with a positive tail too small for any float64 sum."""

    @pytest.mark.parametrize("gap", [100.0, 700.0, 1e4, 1e30, 1e300])
    def test_a_tail_of_any_size_decides(self, gap: float) -> None:
        # 257 = 2**8 + 1 lies between two bfloat16 numbers; the even one is 256.
        result = evaluate(cross_entropy([[128.5, -128.5, -gap]], [1]))
        low, high = result.value.rounded(FORMATS["bfloat16"])
        assert float(low[0]) == float(high[0]) == 258.0

    @pytest.mark.parametrize("scale", [2.0**k for k in (-3, 0, 10, 100)])
    def test_an_exact_midpoint_goes_to_even(self, scale: float) -> None:
        case = Case(
            loss=CE,
            form=Form.LOG_PROBABILITIES,
            prediction=np.array([[-257.0 * scale, -259.0 * scale]]),
            target=np.array([[1.0, 0.0]]),
            target_form=TargetForm.ONE_HOT,
        )
        for label, wanted in ((0, 256.0), (1, 260.0)):
            target = np.eye(2)[[label]]
            low, high = evaluate(case.replace(target=target)).value.rounded(FORMATS["bfloat16"])
            assert float(low[0]) == float(high[0]) == wanted * scale

    def test_a_float64_midpoint(self) -> None:
        # x_0 - x_1 = 2**53 + 1 is no float64 number; the tail of exp(-2**53) lifts it over the tie.
        result = evaluate(cross_entropy([[2.0**53, -1.0]], [1]))
        low, high = result.value.rounded(FORMATS["float64"])
        assert float(low[0]) == float(high[0]) == 2.0**53 + 2

    @pytest.mark.parametrize("name", sorted(FORMATS))
    def test_everything_ordinary_is_decided(self, name: str) -> None:
        g = np.random.default_rng(5)
        x = np.concatenate([g.normal(0, s, (40, 7)) for s in (1e-4, 1, 30, 1e4)])
        case = cross_entropy(x, g.integers(0, 7, 160), name)
        result = evaluate(case)
        assert result.gradient is not None
        for part in (result.value, result.gradient):
            low, high = part.rounded(FORMATS[name])
            undecided = low != high
            assert np.all(np.abs(high[undecided]) <= FORMATS[name].smallest)


class TestExactResults:
    """Ties and rows of one class have rational answers: the bounds say so."""

    def test_gradient_of_ties(self) -> None:
        found = slope(cross_entropy([[0.1] * 4], [2]))
        assert found.h.tolist() == [[0.25, 0.25, -0.75, 0.25]]
        assert np.all(found.lo == 0)
        assert np.all(found.hi == 0)

    def test_gradient_of_three_ties(self) -> None:
        found = slope(cross_entropy([[7.0] * 3], [0]))
        for h, lo, hi, wanted in zip(
            found.h[0], found.lo[0], found.hi[0], (Fraction(-2, 3), Fraction(1, 3), Fraction(1, 3)), strict=True
        ):
            assert Fraction(h) + Fraction(lo) < wanted < Fraction(h) + Fraction(hi)

    def test_one_class(self) -> None:
        result = evaluate(cross_entropy([[3.7]], [0]))
        assert result.gradient is not None
        for part in (result.value, result.gradient):
            assert (part.h.item(), part.lo.item(), part.hi.item()) == (0, 0, 0)

    def test_log_softmax_whose_factors_cancel(self) -> None:
        case = Case(loss=Loss.LOG_SOFTMAX, prediction=np.array([[0.3, 0.9]]), cotangent=np.array([[0.1, -0.1]]))
        found = slope(case)
        assert found.h.tolist() == [[0.1, -0.1]]
        assert np.all(found.lo == found.hi)

    def test_a_loss_is_never_exactly_its_gap(self) -> None:
        result = evaluate(cross_entropy([[0.0, -1e5]], [1])).value
        assert (result.h[0], result.lo[0]) == (1e5, 0)
        assert 0 < result.hi[0] <= 1e-320


class TestRanges:
    """Answers that no float64 holds."""

    def test_a_loss_below_every_float64(self) -> None:
        result = evaluate(cross_entropy([[0.0, -1e5]], [0])).value
        assert (result.h[0], result.lo[0]) == (0, 0)
        assert 0 < result.hi[0] <= 1e-320

    def test_a_loss_of_subnormal_size(self) -> None:
        result = evaluate(cross_entropy([[0.0, -740.0]], [0])).value
        assert result.h[0] + result.lo[0] <= math.exp(-740) <= result.h[0] + result.hi[0]

    def test_a_loss_beyond_float64(self) -> None:
        result = evaluate(cross_entropy([[1.5e308, -1.5e308]], [1])).value
        assert (result.h[0], result.lo[0], result.hi[0]) == (math.inf, 0, 0)
        low, _ = result.rounded(FORMATS["float32"])
        assert low[0] == math.inf

    def test_a_mean_of_losses_whose_sum_overflows(self) -> None:
        case = cross_entropy([[1e308, -5e307]] * 8, [1] * 8, reduction=Reduction.MEAN)
        assert float(evaluate(case).value.h) == 1.5e308

    def test_a_slope_beyond_float64(self) -> None:
        case = Case(
            loss=CE,
            form=Form.PROBABILITIES,
            prediction=np.array([[5e-324, 1.0]]),
            target=np.array([[1.0, 0.0]]),
            target_form=TargetForm.ONE_HOT,
        )
        assert slope(case).h.tolist() == [[-math.inf, 0.0]]


class TestInvariances:
    """What cannot change the answer, does not."""

    G = np.random.default_rng(11)
    X = G.normal(0, 5, (4, 3))
    LABELS = np.array([0, 2, 1, 1])

    def same(self, a: Enclosure, b: Enclosure) -> None:
        for part in ("h", "lo", "hi"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))

    def test_the_class_axis_may_be_anywhere(self) -> None:
        first, last = cross_entropy(self.X.T, self.LABELS, class_axis=0), cross_entropy(self.X, self.LABELS)
        self.same(evaluate(first).value, evaluate(last).value)
        np.testing.assert_array_equal(slope(first).h, slope(last).h.T)

    def test_index_and_one_hot_are_one_question(self) -> None:
        index = cross_entropy(self.X, self.LABELS, class_weight=np.array([1.0, 0.3, 2.0]))
        hot = index.replace(target=np.eye(3)[self.LABELS], target_form=TargetForm.ONE_HOT)
        self.same(evaluate(index).value, evaluate(hot).value)
        self.same(slope(index), slope(hot))

    def test_asking_for_no_gradient_changes_no_value(self) -> None:
        case = cross_entropy(self.X, self.LABELS)
        self.same(evaluate(case).value, evaluate(case, gradient=False).value)

    def test_rows_that_are_answered_sooner_are_answered_the_same(self) -> None:
        short = FAMILIES[CE, Form.LOGITS]
        assert short.labelled is not None
        long = {**FAMILIES, (CE, Form.LOGITS): replace(short, labelled=None)}

        @settings(max_examples=150, deadline=None, derandomize=True, database=None)
        @given(questions(CE, Form.LOGITS))
        def run(question: tuple[Case, Policy]) -> None:
            soon = evaluate(*question, gradient=False).value
            with mock.patch("lossconform.reference.exact.FAMILIES", long):
                self.same(soon, evaluate(*question, gradient=False).value)

        run()
        for regime in REGIMES.values():
            for dtype, c in itertools.product(FORMATS, (1, 2, 3, 10)):
                case = question("weighted", regime, dtype, c)
                soon = evaluate(case, gradient=False).value
                with mock.patch("lossconform.reference.exact.FAMILIES", long):
                    self.same(soon, evaluate(case, gradient=False).value)

    def test_the_default_policy_is_the_default(self) -> None:
        case = cross_entropy(self.X, self.LABELS)
        self.same(evaluate(case).value, evaluate(case, Policy()).value)

    def test_a_cotangent_scales_the_gradient_and_nothing_else(self) -> None:
        case = cross_entropy(self.X, self.LABELS)
        scaled = case.replace(cotangent=np.array([2.0, -4.0, 0.0, 1.0]))
        self.same(evaluate(case).value, evaluate(scaled).value)
        np.testing.assert_array_equal(slope(scaled).h, slope(case).h * [[2], [-4], [0], [1]])

    def test_gradients_of_a_row_sum_to_nothing(self) -> None:
        found = slope(cross_entropy(self.X, self.LABELS))
        for h, lo, hi in zip(found.h, found.lo, found.hi, strict=True):
            low = sum(Fraction(v) + Fraction(w) for v, w in zip(h, lo, strict=True))
            high = sum(Fraction(v) + Fraction(w) for v, w in zip(h, hi, strict=True))
            assert low <= 0 <= high

    def test_the_precision_of_flint_is_left_as_it_was(self) -> None:
        before = ctx.prec
        evaluate(cross_entropy(self.X, self.LABELS))
        assert ctx.prec == before


class TestReal:
    """Exact plus tail, and the way into float64."""

    @settings(max_examples=500, deadline=None, derandomize=True, database=None)
    @given(finite, finite)
    @example(1.7976931348623157e308, -1.7976931348623157e308)
    @example(5e-324, -1.0)
    @example(1.0, 1.0 + 2.0**-52)
    def test_a_difference_is_exact(self, a: float, b: float) -> None:
        found = difference(a, b)
        assert Fraction(int(found.p), int(found.q)) == Fraction(a) - Fraction(b)

    def test_the_known_sign_of_a_tail_wins_over_its_ball(self) -> None:
        wide = arb(0, 1e-30)
        assert Real(fmpq(1), wide, 1).triple()[:2] == (1.0, 0.0)
        h, lo, hi = Real(fmpq(1), wide, -1).triple()
        assert (h, hi) == (1.0, 0.0)
        assert lo < 0
        assert Real(fmpq(0), wide, 1).triple()[:2] == (0.0, 0.0)

    @pytest.mark.parametrize("q", [fmpq(1, 3), fmpq(-2, 3), fmpq(10**400, 10**399 + 1), fmpq(1, 10**320)])
    def test_a_rational_lies_within_its_bounds(self, q: fmpq) -> None:
        h, lo, hi = (Fraction(v) for v in Real(q).triple())
        exact = Fraction(int(q.p), int(q.q))
        assert h + lo < exact < h + hi
        assert hi - lo <= max(abs(exact) / 2**104, Fraction(1, 2**1073))

    @pytest.mark.parametrize("x", [0.0, 1.0, -0.1, 5e-324, 1.7e308])
    def test_a_float_is_itself(self, x: float) -> None:
        assert Real(rational(x)).triple() == (x, 0.0, 0.0)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_a_rational_beyond_float64_is_infinite(self, sign: int) -> None:
        assert Real(fmpq(sign * 10**400)).triple() == (sign * math.inf, 0.0, 0.0)

    def test_a_sum_knows_its_sign_only_if_all_terms_share_it(self) -> None:
        up, down = Real(fmpq(1), arb(2).log(), 1), Real(fmpq(1), -arb(2).log(), -1)
        assert total([up, up, Real(fmpq(3))]).sign == 1
        assert total([up, down]).sign == 0
        assert total([Real(fmpq(1)), Real(fmpq(2))]).tail is None
        assert up.times(fmpq(-2)).sign == -1
        assert up.times(fmpq(0)).tail is None
