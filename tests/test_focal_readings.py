"""Every reading of a focal loss's fractional target in both float64 tiers: they hold the exact tier's answers."""

from __future__ import annotations

import numpy as np
import pytest
from containment import REGIMES, WORST, disagree, logits, strays, worst_numpy

from lossconform.adapters.base import Answer
from lossconform.judge import Oracle
from lossconform.reference import double_double_losses, exact, fast, running, tiers
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case, Form, Loss, TargetForm
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS, dtype_of, round_to
from lossconform.reference.grades import Grade
from lossconform.reference.policy import CHOICES, Policy

READINGS = tuple(CHOICES["focal_target"])
TIERS = {"fast": fast.evaluate, "double-double": double_double_losses.evaluate}
SHAPES = ("moderate", "confident wrong", "ties", "huge")


def case_of(regime: str, dtype: str, form: Form, gamma: float, rows: int = 24) -> Case:
    """Return a case of a regime; half of the targets are few bits, whose products may be midpoints."""
    fmt, rng = FORMATS[dtype], np.random.default_rng([7, int(8 * gamma)])
    x = logits(REGIMES[regime], dtype, rows, 2, 11).astype(np.float64)
    if form is Form.PROBABILITIES:
        x = np.clip(1 / (1 + np.exp(-np.clip(x, -30, 30))), 2.0**-20, 1 - fmt.unit_roundoff * 2)
    few, many = rng.integers(0, 17, x.shape) / 16, rng.uniform(0, 1, x.shape)
    return Case(
        loss=Loss.FOCAL,
        prediction=round_to(x, fmt).astype(dtype_of(dtype)),
        form=form,
        target=round_to(np.where(np.arange(rows)[:, None] % 2, few, many), fmt).astype(dtype_of(dtype)),
        target_form=TargetForm.BINARY,
        gamma=gamma,
    )


def check(tier: str, case: Case, policy: Policy, *, gradient: bool = True) -> int:
    """Assert that a tier's bounds hold the exact ones on the rows that they cover; return how many rows those are."""
    found = TIERS[tier](canonical(case, policy), gradient=gradient)
    assert found is not None
    its = exact.evaluate(case, policy, gradient=gradient)
    at = found.covered
    for mine, part in ((found.value, its.value), (found.gradient, its.gradient)):
        if mine is None or part is None:
            continue
        a, b = (Enclosure(p.h[at], p.lo[at], p.hi[at]) for p in (mine, part))
        assert not strays(a, b).any()
        assert not disagree(a, b, case.format).any()
    return int(at.sum())


@pytest.mark.parametrize("form", [Form.LOGITS, Form.PROBABILITIES])
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("tier", TIERS)
def test_it_holds_the_exact_answer(tier: str, reading: str, form: Form) -> None:
    for regime in SHAPES:
        for dtype in FORMATS:
            for gamma in (0.5, 2.0, 3.5):
                case = case_of(regime, dtype, form, gamma)
                covered = check(tier, case, Policy(focal_target=reading))
                # Of numbers as large as float64 has, some weights are beyond what a tier takes.
                assert covered == 24 or regime == "huge"


@pytest.mark.parametrize("smoothing", [0.25, 0.1])
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("tier", TIERS)
def test_smoothed_and_with_alpha_too(tier: str, reading: str, smoothing: float) -> None:
    for regime in SHAPES:
        case = case_of(regime, "float32", Form.LOGITS, 2.0).replace(label_smoothing=smoothing, alpha=0.25)
        assert check(tier, case, Policy(focal_target=reading))


@pytest.mark.parametrize("smoothing", [1e-17, 1e-40])
@pytest.mark.parametrize("loss", [Loss.FOCAL, Loss.BINARY_CROSS_ENTROPY])
@pytest.mark.parametrize("form", [Form.LOGITS, Form.PROBABILITIES])
@pytest.mark.parametrize("tier", TIERS)
def test_a_weight_that_rounds_to_nothing_is_not_nothing(tier: str, form: Form, loss: Loss, smoothing: float) -> None:
    """Of a label smoothed by so little 1 - t rounds to 0, and is all that the loss is made of where it is certain."""
    x = [1e4, 700.0, 40.0, 1.0, -1e4, -40.0] if form is Form.LOGITS else [1 - 2.0**-53, 0.5, 2.0**-60, 1.0, 0.0, 0.75]
    for reading in READINGS if loss is Loss.FOCAL else ("terms",):
        for label in (0.0, 1.0):
            case = Case(
                loss=loss,
                prediction=np.array(x)[:, None],
                form=form,
                target=np.full((len(x), 1), label),
                target_form=TargetForm.BINARY,
                label_smoothing=smoothing,
                **({"gamma": 2.0} if loss is Loss.FOCAL else {}),
            )
            assert check(tier, case, Policy(focal_target=reading))
            case = case.replace(direction=np.ones(case.prediction.shape))
            mine, its = (
                part(case, Policy(focal_target=reading)).hessian_product for part in (tiers.evaluate, exact.evaluate)
            )
            assert mine is not None
            assert its is not None
            assert not strays(mine, its).any()


class TestClipped:
    """Probabilities that the logarithms see clipped, and the factor as they are or clipped too."""

    def case(self, dtype: str, gamma: float, *, ends: bool) -> Case:
        case = case_of("moderate", dtype, Form.PROBABILITIES, gamma)
        p = case.prediction.astype(np.float64)
        p[::3, 0], p[1::3, 1] = 2.0**-30, 1 - FORMATS[dtype].unit_roundoff
        target = case.target
        if ends:
            assert target is not None
            p[:, 0], target = np.arange(24) % 2, np.rint(target.astype(np.float64)).astype(target.dtype)
        return case.replace(prediction=p.astype(case.prediction.dtype), target=target)

    @pytest.mark.parametrize("seen", ["as_given", "clipped"])
    @pytest.mark.parametrize("rule", ["clipped", "clipped_in_dtype"])
    @pytest.mark.parametrize("reading", READINGS)
    @pytest.mark.parametrize("tier", TIERS)
    def test_it_holds_the_exact_answer(self, tier: str, reading: str, rule: str, seen: str) -> None:
        policy = Policy(focal_target=reading, probability_range=rule, focal_range=seen)
        for dtype in ("float32", "float64"):
            for gamma in (0.5, 2.0, 3.5):
                assert check(tier, self.case(dtype, gamma, ends=False), policy) == 24

    @pytest.mark.parametrize("seen", ["as_given", "clipped"])
    @pytest.mark.parametrize("tier", TIERS)
    def test_so_it_does_of_0_and_1(self, tier: str, seen: str) -> None:
        policy = Policy(probability_range="clipped", focal_range=seen)
        for gamma in (0.5, 2.0):
            case = self.case("float32", gamma, ends=True)
            assert check(tier, case, policy, gradient=False) == 24
            # A factor that is 0 has a slope that is 0, infinite, or neither: left to the exact tier.
            assert check(tier, case, policy) == (24 if seen == "clipped" else 0)

    @pytest.mark.parametrize("seen", ["as_given", "clipped"])
    @pytest.mark.parametrize("reading", READINGS)
    def test_so_does_the_product_of_the_hessian(self, reading: str, seen: str) -> None:
        policy = Policy(focal_target=reading, probability_range="clipped", focal_range=seen)
        for dtype in ("float32", "float64"):
            case = self.case(dtype, 2.0, ends=False)
            case = case.replace(direction=np.ones_like(case.prediction))
            mine, its = (part(case, policy).hessian_product for part in (tiers.evaluate, exact.evaluate))
            assert mine is not None
            assert its is not None
            assert not strays(mine, its).any()
            assert not disagree(mine, its, case.format).any()


@pytest.mark.parametrize("worst", WORST)
@pytest.mark.parametrize("reading", READINGS)
def test_with_the_worst_libm_it_still_does(reading: str, worst: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "np", worst_numpy(worst))
    for regime in SHAPES:
        for dtype in ("float32", "float64"):
            assert check("fast", case_of(regime, dtype, Form.LOGITS, 2.0), Policy(focal_target=reading))


@pytest.mark.parametrize("form", [Form.LOGITS, Form.PROBABILITIES])
@pytest.mark.parametrize("reading", READINGS)
def test_so_does_the_product_of_the_hessian(reading: str, form: Form) -> None:
    rng = np.random.default_rng(3)
    for regime in SHAPES[:3]:
        for dtype in ("float32", "float64"):
            case = case_of(regime, dtype, form, 2.0)
            case = case.replace(direction=rng.normal(0, 1, case.prediction.shape).astype(dtype))
            policy = Policy(focal_target=reading)
            mine, its = (part(case, policy).hessian_product for part in (tiers.evaluate, exact.evaluate))
            assert mine is not None
            assert its is not None
            assert not strays(mine, its).any()
            assert not disagree(mine, its, case.format).any()


@pytest.mark.parametrize("regime", ["moderate", "confident wrong", "huge"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("reading", READINGS)
def test_no_loss_of_logits_is_left_to_the_exact_tier(reading: str, dtype: str, regime: str) -> None:
    _, counts = tiers.examine(
        case_of(regime, dtype, Form.LOGITS, 2.0, rows=2000), Policy(focal_target=reading), gradient=False
    )
    assert sum(counts.rows.values()) == 2000
    assert "exact" not in counts.rows


@pytest.mark.parametrize(
    ("reading", "share", "product", "side"),
    [
        ("arithmetic", 0.25, 0.25**3, 1),
        ("arithmetic", 0.75, 0.75**3, -1),
        ("geometric", 0.25, 0.25, -1),
        ("geometric", 0.5, 0.5, -1),
        ("logit", 0.5, 0.5**3, 1),
        ("logit", 0.75, 0.75, -1),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_on_which_side_of_a_product_a_confident_loss_lies(
    reading: str, share: float, product: float, side: int, sign: int
) -> None:
    # The logit denies the class whose target is `share`.
    target = 1 - share if sign > 0 else share
    case = Case(
        loss=Loss.FOCAL,
        prediction=np.array([[4096.0 * sign]]),
        target=np.array([[target]]),
        target_form=TargetForm.BINARY,
        gamma=2.0,
    )
    found = double_double_losses.evaluate(canonical(case, Policy(focal_target=reading)), gradient=False)
    assert found is not None
    h, lo, hi = (float(part[0, 0]) for part in (found.value.h, found.value.lo, found.value.hi))
    assert h == product * 4096
    assert (lo == 0 < hi) if side > 0 else (lo < 0 == hi)


def test_what_a_factor_loses_is_that_of_the_probability_it_sees() -> None:
    # Keras forms 1 - p_t of a probability that its logarithm sees clipped: next to 0 that loses u of 1.
    p = float.fromhex("0x1.0b1e65aa47e51p-50")
    case = Case(
        loss=Loss.FOCAL,
        form=Form.PROBABILITIES,
        prediction=np.array([[p]]),
        target=np.zeros((1, 1)),
        target_form=TargetForm.BINARY,
        gamma=0.5,
    )
    policy = Policy(probability_range="clipped", focal_range="as_given")
    oracle = Oracle.of(case, policy, gradient=False)
    for factor, ok in ((1 - (1 - p), True), (p, True), (9 * p, False)):
        answer = Answer(np.array([[factor**0.5 * -np.log1p(-1e-7)]]))
        assert oracle.judge(answer, Grade.SHIFT_STABLE).ok is ok
