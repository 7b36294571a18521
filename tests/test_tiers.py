"""One entry point over the tiers: the same answers, the same errors, and the cheapest tier that decides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from containment import QUESTIONS, REGIMES, disagree, question, strays, undecided
from drawn import questions
from hypothesis import given, settings
from hypothesis import strategies as st

from lossconform.reference import exact, tiers
from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.demand import decided_at_sight
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS, Format, dtype_of
from lossconform.reference.losses import FAMILIES
from lossconform.reference.policy import Policy

CE = Loss.SOFTMAX_CROSS_ENTROPY


def same(case: Case, policy: Policy | None = None, *, gradient: bool = True, decided: bool = True) -> tiers.Counts:
    """Assert that the tiers answer as the exact one does; return what each decided."""
    found, counts = tiers.examine(case, policy, gradient=gradient)
    wanted = exact.evaluate(case, policy, gradient=gradient)
    assert (found.gradient is None) == (wanted.gradient is None)
    for mine, its in ((found.value, wanted.value), (found.gradient, wanted.gradient)):
        if mine is None or its is None:
            continue
        assert mine.shape == its.shape
        assert not strays(mine, its).any()
        assert not disagree(mine, its, case.format).any()
        if decided:
            assert not (undecided(mine, case.format) & ~undecided(its, case.format)).any()
    return counts


def refusal(ask: Any, case: Case, policy: Policy, gradient: bool) -> str | None:
    """Return the error of a question, if it is one."""
    try:
        ask(case, policy, gradient=gradient)
    except ValueError as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize(("loss", "form"), list(FAMILIES))
def test_every_loss_with_any_options(loss: Loss, form: Form) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(questions(loss, form), st.booleans())
    def run(asked: tuple[Case, Policy], gradient: bool) -> None:
        case, policy = asked
        wrong = refusal(exact.evaluate, case, policy, gradient)
        assert refusal(tiers.evaluate, case, policy, gradient) == wrong
        if wrong is None:
            same(case, policy, gradient=gradient)

    run()


@pytest.mark.parametrize("reduction", [Reduction.SUM, Reduction.MEAN])
@pytest.mark.parametrize("name", [n for n in QUESTIONS if n != "softmax"])
def test_reductions(name: str, reduction: Reduction) -> None:
    for regime in ("moderate", "confident correct", "confident wrong", "near ties", "huge"):
        for dtype in ("float32", "bfloat16", "float64"):
            case = question(name, REGIMES[regime], dtype, 3).replace(cotangent=None, reduction=reduction)
            for policy in (Policy(), Policy(class_axis_reduction="mean")):
                same(case, policy)


class TestSmoothedMidpoints:
    """Where the gaps add up to C times the label's own, smoothing moves nothing, and a midpoint stays one."""

    def case(self, rows: list[list[float]], labels: list[int], smoothing: float) -> Case:
        return Case(
            loss=CE,
            prediction=np.array(rows).astype(dtype_of("bfloat16")),
            target=np.array(labels),
            target_form=TargetForm.INDEX,
            label_smoothing=smoothing,
        )

    @pytest.mark.parametrize("smoothing", [0.1, 0.25, 0.3, 0.9])
    @pytest.mark.parametrize("rule", ["all_classes", "other_classes"])
    def test_it_is_decided_without_the_exact_tier(self, smoothing: float, rule: str) -> None:
        # A gap of 257, between 256 and 258, and next to nothing; and one that is no midpoint.
        case = self.case([[256.0, -1.0, -258.0], [256.0, 0.0, -256.0]], [1, 1], smoothing)
        policy = Policy(smoothing=rule)
        assert same(case, policy, gradient=False).rows == {"double-double": 1, "fast": 1}
        assert tiers.evaluate(case, policy, gradient=False).value.rounded(FORMATS["bfloat16"])[0].tolist() == [258, 256]

    def test_one_spacing_beside_it_is_no_midpoint(self) -> None:
        case = self.case([[256.0, -1.0, -256.0], [256.0, -1.0, -260.0]], [1, 1], 0.25)
        assert same(case, gradient=False).rows == {"fast": 2}

    @pytest.mark.parametrize(
        "changes",
        [
            {"class_weight": np.array([1.0, 2.0, 3.0])},
            {"sample_weight": np.array([3.0])},
            {"where": np.array([[True, True, False]])},
        ],
    )
    def test_what_has_weights_or_a_mask_is_none(self, changes: dict[str, Any]) -> None:
        case = self.case([[256.0, -1.0, -258.0]], [1], 0.1).replace(**changes)
        same(case, gradient=False)

    def test_an_ignored_row_beside_it(self) -> None:
        case = self.case([[256.0, -1.0, -258.0], [256.0, -1.0, -258.0]], [1, -100], 0.1).replace(ignore_index=-100)
        assert "exact" not in same(case, gradient=False).rows


class TestReducedMidpoints:
    """A mean that is a midpoint plus next to nothing is decided without the exact tier."""

    def test_a_sum_of_gaps(self) -> None:
        x = np.array([[128.0, -129.0, -1e4], [2.0**10, 0.0, -1e4]])
        case = Case(
            loss=CE, prediction=x.astype(dtype_of("bfloat16")), target=np.array([1, 1]), target_form=TargetForm.INDEX
        )
        for reduction in (Reduction.SUM, Reduction.MEAN):
            counts = same(case.replace(reduction=reduction), gradient=False)
            assert "exact" not in counts.rows

    def test_a_sum_that_only_the_exact_tier_decides(self) -> None:
        # log 2 and three float32 numbers that bring it within 2^-70 of a midpoint of float32.
        parts, left = [], 1 + 2.0**-24 - math.log(2.0)
        for low in (0.0, -2.3190468138462996e-17, 0.0):  # log 2 less its float64
            parts.append(float(np.float32(left)))
            left = (left - parts[-1]) + low
        x = np.array([[0.0, 0.0], *([y, -np.inf] for y in parts)], np.float32)
        case = Case(loss=Loss.LOG_SUM_EXP, prediction=x, reduction=Reduction.SUM)
        assert same(case, gradient=False).rows == {"exact": 4}

    def test_a_mean_of_losses_whose_sum_overflows(self) -> None:
        case = Case(
            loss=CE,
            prediction=np.array([[1e308, -5e307]] * 8),
            target=np.array([1] * 8),
            target_form=TargetForm.INDEX,
            reduction=Reduction.MEAN,
        )
        assert float(tiers.evaluate(case).value.h) == 1.5e308


class TestCounts:
    """Which tier decided what."""

    def case(self, dtype: str, x: Any = None) -> Case:
        x = np.random.default_rng(0).normal(0, 3, (50, 7)) if x is None else np.array(x)
        return Case(
            loss=CE,
            prediction=x.astype(dtype_of(dtype)),
            target=np.zeros(len(x), int),
            target_form=TargetForm.INDEX,
        )

    def test_the_cheapest(self) -> None:
        assert tiers.examine(self.case("float32"))[1].rows == {"fast": 50}
        assert tiers.examine(self.case("float64"))[1].rows == {"double-double": 50}

    @pytest.mark.parametrize(("dtype", "tier"), [("float32", "fast"), ("float64", "double-double")])
    def test_row_by_row(self, dtype: str, tier: str) -> None:
        case = self.case(dtype, [[1.0, 2.0], [np.nan, 0.0], [-np.inf, 0.0], [np.inf, 0.0], [3.0, 1.0]])
        assert same(case).rows == {tier: 2, "exact": 3}

    def test_nothing_need_be_decided(self) -> None:
        case = self.case("float64")
        found, counts = tiers.examine(case, decide="nothing")
        assert counts.rows == {"fast": 50}
        assert not strays(found.value, exact.evaluate(case).value).any()

    def test_what_only_the_exact_tier_knows(self) -> None:
        case = Case(
            loss=Loss.FOCAL,
            prediction=np.zeros((4, 3), np.float32),
            target=np.array([[1, 0, 1], [0, 0, 0], [0.5, 0, 1], [1, 1, 1]], np.float32),
            target_form=TargetForm.BINARY,
            gamma=2.0,
        )
        assert same(case, gradient=False).rows == {"fast": 4}
        p = case.replace(form=Form.PROBABILITIES, prediction=np.full((4, 3), 2.0**-30, np.float32))
        assert same(p, gradient=False).rows == {"fast": 4}
        policy = Policy(probability_range="log_clamped")
        ends = p.replace(prediction=np.resize(np.array([0, 1, 1], np.float32), (4, 3)))
        assert same(ends, policy, gradient=False).rows == {"fast": 4}
        assert same(ends, policy).rows == {"exact": 4}

    def test_no_rows(self) -> None:
        case = self.case("float32", np.zeros((0, 3)))
        assert same(case).rows == {}
        assert np.isnan(tiers.evaluate(case.replace(reduction=Reduction.MEAN)).value.h)

    @pytest.mark.parametrize("regime", REGIMES)
    def test_small_formats_leave_no_finite_loss(self, regime: str) -> None:
        for dtype in ("float32", "bfloat16", "float16"):
            for name in ("index", "one-hot", "smoothed"):
                case = question(name, REGIMES[regime], dtype, 10, rows=400, seed=3)
                found, counts = tiers.examine(case, gradient=False)
                infinite = int((~np.isfinite(found.value.h)).sum())
                assert counts.rows.get("exact", 0) == infinite


class TestErrors:
    """The errors are those of the exact tier."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"target": np.array([5, 0])}, "label 5"),
            ({"cotangent": np.ones(3)}, "cotangent: shape"),
            ({"pos_weight": np.ones(2)}, "pos_weight: given for"),
        ],
    )
    def test_of_a_case(self, changes: dict[str, Any], message: str) -> None:
        case = Case(
            loss=CE, prediction=np.zeros((2, 2)), target=np.array([0, 1]), target_form=TargetForm.INDEX
        ).replace(**changes)
        for ask in (exact.evaluate, tiers.evaluate):
            with pytest.raises(ValueError, match=message):
                ask(case)

    def test_of_a_form_without_a_loss(self) -> None:
        case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.ones((1, 2)), form=Form.PROBABILITIES)
        with pytest.raises(ValueError, match="form: probabilities for log_sum_exp"):
            tiers.evaluate(case)

    def test_of_an_unknown_demand(self) -> None:
        with pytest.raises(ValueError, match="decide: 'all'; expected one of"):
            tiers.evaluate(Case(loss=Loss.LOG_SUM_EXP, prediction=np.ones((1, 2))), decide="all")


class TestAtSight:
    """The quick look never calls decided what rounding would not."""

    @pytest.mark.parametrize("name", sorted(FORMATS))
    def test_near_every_kind_of_midpoint(self, name: str) -> None:
        fmt = FORMATS[name]
        h, lo, hi = near_midpoints(fmt)
        sure = decided_at_sight(h, lo, hi, fmt)
        low, high = Enclosure(h, lo, hi).rounded(fmt)
        assert not (sure & (low != high)).any()

    @pytest.mark.parametrize("name", sorted(FORMATS))
    def test_it_is_worth_having(self, name: str) -> None:
        fmt = FORMATS[name]
        h = np.random.default_rng(0).normal(0, 1, (100, 100))
        width = np.abs(h) * (2.0**-60 if name == "float64" else 2.0**-45)
        assert decided_at_sight(h, -width, width, fmt).mean() > 0.99


def near_midpoints(fmt: Format) -> tuple[np.ndarray[Any, Any], ...]:
    """Return bounds around numbers of a format, its midpoints, and its ends."""
    g = np.random.default_rng(9)
    exponents = np.concatenate([g.integers(fmt.min_exponent - fmt.precision, fmt.max_exponent + 1, 2000), [0] * 2000])
    grid = np.ldexp(g.integers(0, 2 ** (fmt.precision + 1), 4000).astype(np.float64), 1 - fmt.precision - 1)
    h = np.ldexp(grid, exponents) * g.choice([-1.0, 1.0], 4000)
    size = np.abs(h) + fmt.smallest
    lo = -size * g.choice([0.0, 2.0**-53, 2.0**-50, 2.0**-30, 2.0**-100], 4000)
    hi = size * g.choice([2.0**-53, 2.0**-50, 2.0**-30, 2.0**-100], 4000)
    return h, lo, hi
