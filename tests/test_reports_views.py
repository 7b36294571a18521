"""What stands behind the page: figures, the matrix, identified policies, pooled accuracy, grouped deviations."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from lossconform.reports.html.accuracy import accuracy, pool
from lossconform.reports.html.deviations import known, unexpected
from lossconform.reports.html.figures import decimal, distance, figure
from lossconform.reports.html.matrix import matrix
from lossconform.reports.html.policies import policies
from lossconform.reports.html.rows import rows
from lossconform.reports.model import Cell, Grade, Numbers, Observed, Question, Run, Verdict
from tests import run_factory as make

DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


@pytest.mark.parametrize(
    ("text", "dtype", "shown"),
    [
        ("0x1.99999ap-4", "float32", "0.1"),
        ("0x1.999999999999ap-4", "float64", "0.1"),
        ("0x1.9ap-4", "bfloat16", "0.1"),
        ("0x1.998p-4", "float16", "0.1"),
        ("0x1.ep+4", "float32", "30.0"),
        ("0x1.fffffep+127", "float32", "3.4028235e+38"),
        ("0x0.000002p-126", "float32", "1e-45"),
        ("0x1.ffcp+15", "float16", "65500.0"),
        ("-0x0p+0", "float32", "-0.0"),
        ("nan", "float32", "nan"),
        ("-inf", "bfloat16", "-inf"),
        ("0x1.0000000000001p+0", "float16", "1.0000000000000002"),
        ("-100", "int64", "-100"),
        ("RuntimeError", "float32", "RuntimeError"),
        ("0x1p+99999", "float64", "0x1p+99999"),
    ],
)
def test_the_shortest_decimal(text: str, dtype: str, shown: str) -> None:
    assert decimal(text, dtype) == shown


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_decimal_is_the_same_number(dtype: str) -> None:
    to = DTYPES[dtype]
    rng = np.random.default_rng(0)
    for value in (rng.normal(size=300) * 10.0 ** rng.integers(-9, 4, size=300)).astype(to):
        text = decimal(float(value).hex(), dtype)
        assert to(float(text)) == value
        assert len(text) <= len(repr(float(value)))


@pytest.mark.parametrize(
    ("ulp", "shown"),
    [
        (None, ""), (0.0, "0"), (0.5, "0.5"), (3.14159, "3.14"), (99.0, "99"), (419.0, "419"), (12_345.6, "12,346"),
        (4.2e6, "4.2e6"), (1e-9, "1.0e-9"), (math.inf, "∞"), (math.nan, "NaN"),
    ],
)  # fmt: skip
def test_distances(ulp: float | None, shown: str) -> None:
    assert distance(ulp) == shown


def test_arrays_are_nested_by_shape() -> None:
    shown = figure(Numbers(dtype="float32", shape=[2, 1, 2], data=["0x1p+0", "nan", "0x1p+1", "inf"]))
    assert shown.title == "float32, shape (2, 1, 2)"
    assert shown.decimal == "[[[1.0, nan]],\n [[2.0, inf]]]"
    assert shown.hex == "[[[0x1p+0, nan]],\n [[0x1p+1, inf]]]"
    assert figure(Numbers(dtype="int64", shape=[1], data=["3"])).hex is None
    assert figure(Numbers(dtype="float32", shape=[], data=["nan"])).decimal == "nan"
    assert figure(Numbers(dtype="float32", shape=[0, 3], data=[])).decimal == "[]"
    assert figure(Numbers(dtype="float32", shape=[7], data=["nan", "inf"])).decimal == "[nan, inf]"


def test_rows_over_and_over_are_shown_once() -> None:
    assert figure(Numbers(dtype="int64", shape=[81920], data=["3"])).decimal == "[3] 81,920 times over"
    two = figure(Numbers(dtype="float32", shape=[4000, 2], data=["0x1p+0", "0x0p+0", "0x1p+1", "0x0p+0"]))
    assert two.decimal == "[[1.0, 0.0],\n [2.0, 0.0]] 2,000 times over"


def test_a_large_array_says_how_much_more_there_is() -> None:
    shown = figure(Numbers(dtype="float32", shape=[1000], data=["0x1p+0"] * 1000))
    assert shown.decimal.endswith("1.0, … 952 more in the run file]")


def test_rows_of_a_loss_function_and_check_stand_together() -> None:
    run = make.realistic()
    shuffled = run.targets[0].model_copy(update={"records": run.targets[0].records[::-1]})
    listed = rows(make.run(shuffled))
    places = [(row.record.loss_function, row.record.check) for row in listed]
    assert len(dict.fromkeys(places)) == sum(a != b for a, b in zip(places, [None, *places], strict=False))
    assert [row.number for row in listed] == list(range(len(listed)))


def test_a_matrix_cell_has_the_worst_verdict_and_its_share() -> None:
    verdicts = [Verdict.PASS, Verdict.FAIL, Verdict.FAIL, Verdict.KNOWN]
    records = [make.record(verdict=verdict, mode=f"mode {n}") for n, verdict in enumerate(verdicts)]
    missing = [make.record(mode="late"), make.record(check="smoothing")]
    questions = [Question(**record.model_dump(include=set(Question.model_fields))) for record in missing]
    run = make.run(make.target(records=records, missing=questions, expected=6))
    found = matrix(run, rows(run))
    assert [check.id for check in found.checks] == ["value-accuracy", "smoothing"]
    ((_, (line, idle)),) = found.groups
    first, second = line.cells
    assert first is not None
    assert second is not None
    assert (first.verdict, first.count, first.total, first.anchor) == (Verdict.FAIL, 2, 5, "r1")
    assert (second.verdict, second.count, second.total, second.anchor) == (None, 1, 1, "missing-torch")
    assert idle.cells == [None, None]


def _policy_run(*seen: tuple[str | None, list[str], int]) -> Run:
    records = [
        make.record(
            mode=f"mode {n}",
            policies=[
                Observed(policy="label_too_large", documented=doc, assumed="nan", observed=values, telling=telling)
            ],
        )
        for n, (doc, values, telling) in enumerate(seen)
    ]
    return make.run(make.target(records=records))


@pytest.mark.parametrize(
    ("seen", "state", "observed", "telling"),
    [
        ([("nan", ["nan"], 3)], "as documented", ("nan",), 3),
        ([("nan", ["nan", "zero"], 3), ("nan", ["nan"], 2)], "as documented", ("nan",), 5),
        ([("nan", ["zero"], 3)], "differs", ("zero",), 3),
        ([(None, ["zero"], 3)], "undocumented", ("zero",), 3),
        ([("nan", [], 3)], "no known policy", (), 3),
        ([("nan", ["nan"], 3), ("nan", ["nan", "zero"], 0)], "as documented", ("nan",), 3),
        ([("nan", ["nan", "zero"], 0)], "no evidence", (), 0),
    ],
)
def test_what_is_said_of_a_policy(
    seen: list[tuple[str | None, list[str], int]], state: str, observed: tuple[str, ...], telling: int
) -> None:
    run = _policy_run(*seen)
    (table,) = policies(run, rows(run))
    (entry,) = table.entries.values()
    (finding,) = entry.findings
    assert (finding.mark.word, finding.observed, finding.telling) == (state, observed, telling)
    assert finding.where == ()


def test_a_policy_links_to_the_documentation_that_states_it() -> None:
    run = make.realistic()
    stated = [entry for table in policies(run, rows(run)) for entry in table.entries.values() if entry.source]
    assert stated
    assert all(entry.url and entry.url.endswith("#notes") for entry in stated if "Notes" in (entry.source or ""))


def test_modes_that_no_one_value_explains_stand_apart() -> None:
    run = _policy_run(("nan", ["nan"], 3), ("nan", ["zero"], 2), ("nan", ["nan"], 1))
    (table,) = policies(run, rows(run))
    (entry,) = table.entries.values()
    assert [(f.mark.word, f.observed, f.telling, f.where) for f in entry.findings] == [
        ("as documented", ("nan",), 4, ("float32 mode 0", "float32 mode 2")),
        ("differs", ("zero",), 2, ("float32 mode 1",)),
    ]


def test_accuracy_pools_the_modes() -> None:
    def cell(grade: Grade | None, ulp: float | None) -> Cell:
        return Cell(regime="ties", cases=2, entries=10, grade=grade, max_ulp=ulp)

    one, other = cell(Grade.FAITHFUL, 0.7), cell(Grade.BROKEN, math.inf)
    assert pool([one, other]) == Cell(regime="ties", cases=4, entries=20, grade=Grade.BROKEN, max_ulp=math.inf)
    assert pool([]) is None
    assert pool([cell(None, None)]) == cell(None, None)
    worst = pool([other, cell(None, math.nan), one])
    assert worst is not None
    assert worst.max_ulp is not None
    assert math.isnan(worst.max_ulp)


def test_each_check_of_accuracy_has_its_table() -> None:
    run = make.realistic()
    tables = accuracy(run, rows(run))
    assert [table.check.id for table in tables] == ["value-accuracy", "gradient-accuracy"]
    assert all(table.regimes == list(make.REGIMES) for table in tables)
    assert {cell.entries for table in tables for line in table.lines for cell in line.cells if cell} == {12_800}


def test_deviations_are_grouped_and_all_there() -> None:
    run = make.realistic()
    listed = rows(run)
    surprises, explained = unexpected(run, listed), known(run, listed)
    found = [row for deviation in surprises for row in deviation.rows]
    assert found == [r for r in listed if r.record.verdict in (Verdict.FAIL, Verdict.HAZARD, Verdict.CRASHED)]
    assert [(d.target, len(d.functions), len(d.rows), d.total) for d in explained] == [("keras-jax", 2, 16, 16)]
    assert explained[0].expectation is not None
    assert all(d.total == 8 for d in surprises)
