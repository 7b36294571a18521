"""Batches in blocks: what is said of the blocks is what is said of the whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from containment import QUESTIONS, REGIMES, question

from lossconform.reference import reduction, tiers
from lossconform.reference.case import Array, Case, Loss, Reduction, TargetForm
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.policy import Policy
from lossconform.reference.stream import stream, total

CE = Loss.SOFTMAX_CROSS_ENTROPY
BY_ROW = ("prediction", "target", "sample_weight", "where", "cotangent")
REDUCTIONS = (Reduction.SUM, Reduction.MEAN, Reduction.BATCH_MEAN, Reduction.WEIGHTED_MEAN)


def cut(case: Case, rows: int) -> Iterator[Case]:
    """Yield a case in blocks of so many rows."""
    for start in range(0, len(case.prediction), rows):
        arrays: dict[str, Array] = {
            name: getattr(case, name)[start : start + rows]
            for name in BY_ROW
            if getattr(case, name) is not None and (name != "cotangent" or case.reduction is Reduction.NONE)
        }
        yield case.replace(**arrays)


def meets(a: Enclosure, b: Enclosure) -> bool:
    """Return whether two enclosed numbers may be the same one, and are about as narrow."""
    x, y, width = (Fraction(float(v)) for v in (a.h, b.h, abs(b.h) * 2.0**-45))
    ends = [(h + Fraction(float(e.lo)), h + Fraction(float(e.hi))) for h, e in ((x, a), (y, b))]
    return max(low for low, _ in ends) <= min(high for _, high in ends) and ends[0][1] - ends[0][0] <= width


@pytest.mark.parametrize("name", ["index", "weighted", "soft", "softmax", "binary"])
def test_blocks_give_what_the_whole_gives(name: str) -> None:
    case = question(name, REGIMES["moderate"], "float32", 10, rows=23)
    whole = tiers.evaluate(case)
    parts = list(stream(cut(case, 5)))
    assert len(parts) == 5
    for attribute in ("h", "lo", "hi"):
        values = np.concatenate([getattr(part.value, attribute) for part in parts])
        np.testing.assert_array_equal(values, getattr(whole.value, attribute))
        assert whole.gradient is not None
        slopes = np.concatenate([getattr(part.gradient, attribute) for part in parts])
        np.testing.assert_array_equal(slopes, getattr(whole.gradient, attribute))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_total_is_that_of_the_whole(name: str, reduction: Reduction) -> None:
    for dtype in ("float32", "float64"):
        case = question(name, REGIMES["confident wrong"], dtype, 3, rows=23).replace(
            reduction=reduction, cotangent=None
        )
        assert meets(total(cut(case, 5)), tiers.evaluate(case, gradient=False).value)


@pytest.mark.parametrize("rule", ["elements", "kept", "weights", "batch"])
def test_what_a_mean_divides_by_adds_up(rule: str) -> None:
    policy = Policy(mean_denominator=rule)
    case = question("weighted", REGIMES["moderate"], "float32", 10, rows=40)
    case = case.replace(reduction=Reduction.MEAN)
    assert meets(total(cut(case, 7), policy), tiers.evaluate(case, policy, gradient=False).value)


class TestEdges:
    """NaN, infinities, nothing at all, and what is refused."""

    def case(self, rows: list[list[float]], labels: list[int], reduction: Reduction = Reduction.MEAN) -> Case:
        x = np.array(rows, dtype=np.float32)
        return Case(
            loss=CE,
            prediction=x,
            target=np.array(labels),
            target_form=TargetForm.INDEX,
            ignore_index=-100,
            reduction=reduction,
        )

    @pytest.mark.parametrize(("odd", "expected"), [([math.nan, 0.0], math.nan), ([-math.inf, 0.0], math.inf)])
    def test_special_values(self, odd: list[float], expected: float) -> None:
        found = total([self.case([[1.0, 2.0]], [1]), self.case([odd], [0])])
        np.testing.assert_array_equal(found.h, expected)
        assert (found.lo, found.hi) == (0, 0)

    def test_ignored_blocks_count_for_nothing(self) -> None:
        some, none = self.case([[1.0, 2.0]], [1]), self.case([[3.0, 4.0]], [-100])
        policy = Policy(mean_denominator="kept")
        assert meets(total([none, some, none], policy), tiers.evaluate(some, gradient=False).value)

    @pytest.mark.parametrize(("rule", "expected"), [("nan", math.nan), ("zero", 0.0)])
    def test_a_mean_over_nothing(self, rule: str, expected: float) -> None:
        none = self.case([[3.0, 4.0]], [-100])
        found = total([none, none], Policy(mean_denominator="kept", zero_denominator=rule))
        np.testing.assert_array_equal(found.h, expected)

    def test_no_block_is_a_sum_of_nothing(self) -> None:
        assert float(total([]).h) == 0

    def test_a_total_beyond_float64(self) -> None:
        x = np.array([[1.7e308, -1.7e308]])
        case = Case(
            loss=CE,
            prediction=x,
            target=np.array([1]),
            target_form=TargetForm.INDEX,
            sample_weight=np.array([0.5]),
            reduction=Reduction.SUM,
        )
        assert float(total([case, case]).h) == math.inf

    def test_refusals(self) -> None:
        mean, sum_ = self.case([[1.0, 2.0]], [1]), self.case([[1.0, 2.0]], [1], Reduction.SUM)
        for cases, block in (([mean, sum_], 1), ([self.case([[1.0, 2.0]], [1], Reduction.NONE)], 0)):
            with pytest.raises(ValueError, match=rf"^reduction: \w+ in block {block}; expected sum or a mean"):
                total(cases)


class TestBlocksOfTheTiers:
    """The tiers cut a large case into blocks themselves; nothing depends on where."""

    @pytest.mark.parametrize("name", [*QUESTIONS, "divergence"])
    def test_they_do_not_change_the_answer(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for kind in (Reduction.NONE, Reduction.MEAN):
            case = question(name, REGIMES["ties"], "float32", 3, rows=29).replace(reduction=kind)
            if kind is Reduction.MEAN:
                case = case.replace(cotangent=None)
            monkeypatch.setattr(tiers, "WHOLE", 1 << 20)
            whole, counts = tiers.examine(case)
            monkeypatch.setattr(tiers, "WHOLE", 0)
            monkeypatch.setattr(tiers, "LOGITS", 10)
            cut_up, its = tiers.examine(case)
            assert counts == its
            for a, b in ((whole.value, cut_up.value), (whole.gradient, cut_up.gradient)):
                assert a is not None
                assert b is not None
                for attribute in ("h", "lo", "hi"):
                    np.testing.assert_array_equal(getattr(a, attribute), getattr(b, attribute))

    def test_a_sum_in_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        g = np.random.default_rng(0)
        h = g.normal(0, 1, 1000) * 10.0 ** g.integers(-12, 13, 1000)
        values = Enclosure(h, -np.abs(h) * 2.0**-60, np.abs(h) * 2.0**-60)
        exact = sum(map(Fraction, h.tolist()), Fraction(0))
        for size in (1 << 16, 7):
            monkeypatch.setattr(reduction, "SUMMED", size)
            ends = reduction.ends_of_sum(values)
            assert ends is not None
            assert ends[0] < exact < ends[1]
            assert ends[1] - ends[0] < Fraction(float(np.abs(h).sum())) / 2**58
