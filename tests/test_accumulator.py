"""The accumulator of a contract: what it may be, that the judge goes by it, and that the run file says so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lossconform.adapters import pytorch
from lossconform.adapters.base import Answer, Framework
from lossconform.adapters.contract import Clause, Contract, Source
from lossconform.adapters.miniatures import catalogue
from lossconform.adapters.numpy_losses import loss_function
from lossconform.adapters.own import StatementError
from lossconform.judge import LENIENT, Oracle
from lossconform.plan import function_infos
from lossconform.reference.canonical import canonical
from lossconform.reference.case import Array, Case, Loss, Reduction, TargetForm
from lossconform.reference.condition import conditions
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS
from lossconform.reference.grades import ACCUMULATORS, USUAL, Condition, Grade, accumulator_roundoff, allowed
from lossconform.reference.policy import Policy

CE = Loss.SOFTMAX_CROSS_ENTROPY


def labelled(**options: object) -> Case:
    """Return a mean over four rows."""
    return Case(
        loss=CE,
        prediction=np.zeros((4, 3), np.float32),
        target=np.zeros(4, np.int64),
        target_form=TargetForm.INDEX,
        reduction=Reduction.MEAN,
    ).replace(**options)


def squares(x: Array, y: Array) -> tuple[Array, Array]:
    """Stand for a loss of one's own; it is never called."""
    raise NotImplementedError


@pytest.mark.parametrize(
    ("fmt", "accumulator", "like"),
    [
        ("float16", USUAL, "float32"),
        ("bfloat16", USUAL, "float32"),
        ("float32", USUAL, "float32"),
        ("float64", USUAL, "float64"),
        ("bfloat16", "float64", "float64"),
        ("float32", "float64", "float64"),
        ("float16", "own dtype", "float16"),
        ("float64", "own dtype", "float64"),
    ],
)
def test_each_accumulator_has_the_roundoff_that_it_says(fmt: str, accumulator: str, like: str) -> None:
    assert accumulator_roundoff(FORMATS[fmt], accumulator) == FORMATS[like].unit_roundoff


def test_a_narrower_accumulator_may_lose_more_by_as_much_as_is_derived() -> None:
    zero, one = np.zeros(()), np.ones(())
    fmt, n, rows = FORMATS["float16"], 10, 100
    condition = Condition(base=zero, shift=zero, terms=one, n=n, batch=one, rows=rows, floor=zero)
    exact = Enclosure(one, zero, zero)
    for accumulator in ACCUMULATORS:
        u = accumulator_roundoff(fmt, accumulator)
        bound = allowed(Grade.SEQUENTIAL, exact, condition, fmt, accumulator=accumulator)
        assert float(bound) == pytest.approx((n - 1 + rows) * u + float(exact.spacing(fmt)) / 2, rel=1e-12)


def test_the_judge_goes_by_the_accumulator() -> None:
    case = labelled()
    fmt = case.format
    log3 = np.log(3)
    # Half of what so many additions in float32 may lose beyond everything else.
    answer = Answer(np.float32(log3 + 4 * fmt.unit_roundoff * (2 + log3 + log3) + 3 * fmt.unit_roundoff)[()])
    usual = Oracle.of(case, Policy(), gradient=False)
    wide = Oracle.of(case, Policy(), gradient=False, accumulator="float64")
    answer = Answer(np.asarray(answer.value))
    assert usual.judge(answer, LENIENT).ok
    assert not wide.judge(answer, LENIENT).ok


def test_a_contract_refuses_an_accumulator_that_there_is_not() -> None:
    contract = catalogue.contract(CE)
    assert dataclasses.replace(contract, accumulator=Clause("float64")).accumulator.value == "float64"
    with pytest.raises(ValueError, match="accumulator: 'float8'; expected one of float32 or wider, float64, own dtype"):
        dataclasses.replace(contract, accumulator=Clause("float8"))


def test_the_run_file_says_with_what_precision_and_where_it_is_promised() -> None:
    framework = pytorch.framework()
    clauses = [c for info in function_infos(framework) for c in info.clauses if c.clause == "accumulator"]
    assert len(clauses) == len(framework.functions)
    # Nothing is said of it in PyTorch's documentation of its losses.
    assert {(c.value, c.source) for c in clauses} == {(USUAL, None)}
    function = framework.functions[0]
    source = Source("A page", "1", "accumulator", "https://example.org")
    promised: Contract = dataclasses.replace(function.contract, accumulator=Clause("float64", source))
    one = Framework("torch", framework.engine, (dataclasses.replace(function, contract=promised),))
    (clause,) = (c for c in function_infos(one)[0].clauses if c.clause == "accumulator")
    assert (clause.value, clause.source) == ("float64", "A page 1, accumulator")


def test_a_loss_of_ones_own_states_it() -> None:
    stated = loss_function(squares, loss=CE, targets=["index"], accumulator="own dtype").functions[0].contract
    assert stated.accumulator.value == "own dtype"
    assert stated.accumulator.source is not None
    silent = loss_function(squares, loss=CE, targets=["index"]).functions[0].contract
    assert silent.accumulator == Clause(USUAL)
    known = "torch.nn.functional.cross_entropy"
    like = loss_function(squares, like=known, accumulator="float64").functions[0].contract
    assert like.accumulator.value == "float64"
    with pytest.raises(StatementError, match="accumulator: 'float8'"):
        loss_function(squares, loss=CE, targets=["index"], accumulator="float8")


@pytest.mark.parametrize(
    ("options", "weighed"),
    [
        ({}, False),
        ({"sample_weight": np.ones(4, np.float32)}, True),
        ({"class_weight": np.ones(3, np.float32)}, True),
        ({"sample_weight": np.ones(4, np.float32), "reduction": Reduction.SUM}, False),
        ({"reduction": Reduction.NONE}, False),
    ],
)
def test_a_gradient_adds_up_rows_only_in_a_denominator_of_weights(options: dict[str, object], weighed: bool) -> None:
    _, gradient = conditions(canonical(labelled(**options), Policy()))
    assert bool((gradient.batch > 0).all()) == weighed
    assert bool((gradient.batch == 0).all()) == (not weighed)
