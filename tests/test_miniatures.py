"""Every check catches the faults it is for, and leaves correct losses alone, however unusual."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from lossconform import drawing
from lossconform.adapters.base import Answer, Call, Framework, LossFunction
from lossconform.adapters.engine_numpy import NumpyEngine
from lossconform.adapters.miniatures import faulty, unusual
from lossconform.adapters.miniatures.fault import Fault
from lossconform.adapters.miniatures.unusual import VARIATIONS, Variation
from lossconform.checks import CHECKS
from lossconform.checks.check import Question
from lossconform.examine import examine
from lossconform.plan import questions
from lossconform.profiles import PROFILES, Profile
from lossconform.reference.case import Case, Loss, TargetForm
from lossconform.reports.model import Record, Verdict
from lossconform.selftest import OF_CORRECT, OF_FAULTS

SEEDS = (0, 1, 2)
FAULTS = [(fault, check) for fault in faulty.FAULTS.values() for check in fault.checks]
CORRECT = [(variation, SEEDS[i % len(SEEDS)]) for i, variation in enumerate(VARIATIONS.values())]
"""Each with one seed; the sweep has them all."""


@pytest.fixture
def seeded(request: pytest.FixtureRequest) -> Iterator[int]:
    """Fix the seed of every case that Hypothesis draws, as --hypothesis-seed does."""
    with drawing.seeded(request.param):
        yield request.param


@cache
def framework(module: str) -> Framework:
    """Return the miniatures of a module."""
    return {"faulty": faulty, "unusual": unusual}[module].framework()


def found(module: str, name: str, check: str, dtype: str = "float32") -> Record:
    """Return the record of one question to one miniature."""
    asked = framework(module)
    function = asked.function(f"{module}.{name}")
    assert CHECKS[check].applies(function.contract)
    return examine(asked, Question(function, CHECKS[check], dtype, "call", OF_FAULTS), [])


@pytest.mark.parametrize("seeded", SEEDS[:1], indirect=True)
@pytest.mark.parametrize(("fault", "check"), FAULTS, ids=[f"{fault.id}-{check}" for fault, check in FAULTS])
def test_a_fault_is_caught(fault: Fault, check: str, seeded: int) -> None:
    record = found("faulty", fault.id, check, fault.dtype)
    assert record.verdict is Verdict.FAIL, f"{fault.wrong}: {record.verdict}, {record.telling} telling cases"
    assert re.search(fault.named(check), record.message), record.message
    assert record.witness is not None


def wrong(variation: Variation, records: list[Record]) -> list[str]:
    """Return what the records of a correct loss say against it."""
    expected = dict.fromkeys(variation.hazards, Verdict.HAZARD)
    return [
        f"{record.check} ({record.dtype}): {record.verdict}, {record.message}"
        for record in records
        # A contract with fewer dtypes is asked nothing in the others.
        if record.verdict not in (expected.get(record.check, Verdict.PASS), Verdict.UNSUPPORTED)
    ]


def asked_of(function: LossFunction, profile: Profile) -> list[Record]:
    """Return the records of everything that a profile asks of a correct loss."""
    one = Framework("miniatures", framework("unusual").engine, (function,))
    return [examine(one, question, []) for question in questions(one, profile)]


@pytest.mark.parametrize(
    ("variation", "seeded"), CORRECT, indirect=["seeded"], ids=[f"{variation.id}-{seed}" for variation, seed in CORRECT]
)
def test_a_correct_loss_is_left_alone(variation: Variation, seeded: int) -> None:
    assert wrong(variation, asked_of(variation.function(), OF_CORRECT)) == []


@pytest.mark.parametrize("seeded", [9], indirect=True)
@pytest.mark.parametrize("name", ["clipped_first", "like_keras"])
def test_few_cases_of_weights_tell(name: str, seeded: int) -> None:
    # Of six cases with this seed none had a weight but 1 where it mattered, when 1 was the simplest weight.
    function = VARIATIONS[name].function()
    one = Framework("miniatures", framework("unusual").engine, (function,))
    assert examine(one, Question(function, CHECKS["class-weight"], "float32", "call", OF_CORRECT), []).telling >= 2


@pytest.mark.parametrize("seeded", [19], indirect=True)
def test_a_slope_that_overflows_before_it_is_scaled_is_no_fault(seeded: int) -> None:
    # -t / q of a subnormal q is beyond float32; half of it was not, when an upstream gradient was a half.
    function = VARIATIONS["rows_exact"].function()
    one = Framework("miniatures", framework("unusual").engine, (function,))
    assert (
        examine(one, Question(function, CHECKS["gradient"], "float32", "call", OF_CORRECT), []).verdict is Verdict.PASS
    )


@pytest.mark.sweep
@pytest.mark.parametrize("seeded", SEEDS, indirect=True)
@pytest.mark.parametrize("variation", VARIATIONS.values(), ids=VARIATIONS)
def test_a_correct_loss_is_left_alone_by_more_cases(variation: Variation, seeded: int) -> None:
    assert wrong(variation, asked_of(variation.function(), PROFILES["quick"])) == []


@pytest.mark.sweep
@pytest.mark.parametrize("seeded", SEEDS[1:], indirect=True)
@pytest.mark.parametrize(("fault", "check"), FAULTS, ids=[f"{fault.id}-{check}" for fault, check in FAULTS])
def test_a_fault_is_caught_with_any_seed(fault: Fault, check: str, seeded: int) -> None:
    assert found("faulty", fault.id, check, fault.dtype).verdict is Verdict.FAIL


def test_every_check_has_a_fault_and_a_correct_loss() -> None:
    # That a correct loss passes a check means that there were telling cases: else it was not run.
    applies = {
        check.id for check in CHECKS.values() for v in VARIATIONS.values() if check.applies(v.function().contract)
    }
    assert applies == set(CHECKS)
    assert {check for _, check in FAULTS} == set(CHECKS)


def test_every_fault_is_one_change() -> None:
    # A second method may only take back what the first would break elsewhere.
    assert {fault.id for fault in faulty.FAULTS.values() if len(fault.patch) > 2} == set()
    assert len({(fault.loss, fault.wrong, *fault.checks) for fault in faulty.FAULTS.values()}) == len(faulty.FAULTS)


def squares(prediction, scale=1.0):
    """A loss of one's own, without an upstream gradient: one value a row."""
    return scale * (prediction**2).sum(axis=1), 2 * scale * prediction


def test_a_loss_of_ones_own_is_scaled_by_row() -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    call = Call(f"{__name__}.squares", {"prediction": x, "scale": 0.5}, "prediction")
    engine = NumpyEngine()
    upstream = np.array([1, -2, 0], np.float32)
    answer = engine.run(call, mode="call", cotangent=upstream, gradient=True)
    assert np.array_equal(answer.value, 0.5 * (x**2).sum(axis=1))
    assert answer.gradient is not None
    assert np.array_equal(answer.gradient, x * upstream[:, None])
    assert engine.run(call, mode="call", cotangent=None, gradient=False).gradient is None


def test_a_snippet_prints_the_same_numbers() -> None:
    asked = framework("unusual")
    function = asked.function("unusual.softmax_cross_entropy")
    case = Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction=np.array([[0.5, -np.inf, 2.0], [1e-40, 3.0, -1.0]], np.float32),
        target=np.array([2, 0]),
        target_form=TargetForm.INDEX,
        cotangent=np.array([1, -2], np.float32),
    )
    answer = asked.ask(function, case, mode="call", gradient=True)
    assert isinstance(answer, Answer)
    assert answer.gradient is not None
    snippet = asked.snippet(function, case, mode="call", gradient=True)
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    lines = [f"value {answer.value.astype(float).tolist()}", f"gradient {answer.gradient.astype(float).tolist()}"]
    assert done.stdout.splitlines() == lines
