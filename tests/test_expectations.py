"""Known deviations: what their files must say, what they cover, and when they are stale."""

from __future__ import annotations

import json
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from lossconform.adapters import describe
from lossconform.adapters.base import Answer, Call, Engine, Framework, LossFunction
from lossconform.adapters.contract import DTYPES, Contract, Source
from lossconform.checks import CHECKS
from lossconform.checks.check import Question
from lossconform.examine import examine
from lossconform.expectations import FACTS, Expectation, ExpectationError, load, parse
from lossconform.judge import Judgement
from lossconform.profiles import PROFILES
from lossconform.reference.case import Array, Case, Form, Loss, TargetForm
from lossconform.reference.formats import dtype_of
from lossconform.reference.grades import Grade
from lossconform.reference.serial import case_from_json, case_to_json
from lossconform.reports.model import Verdict
from lossconform.witness import in_dtype

FOLDER = files("lossconform.adapters.expectations")
SHIPPED = [
    (file.name, expectation)
    for file in sorted(FOLDER.iterdir(), key=lambda f: f.name)
    if file.name.endswith(".toml")
    for expectation in parse(file.read_text("utf-8"), file.name)
]
IDS = [expectation.id for _, expectation in SHIPPED]

shipped = pytest.mark.parametrize("expectation", [expectation for _, expectation in SHIPPED], ids=IDS)


def row(*logits: float, dtype: str = "float64") -> Case:
    """Return a case of log-sum-exp."""
    return Case(loss=Loss.LOG_SUM_EXP, prediction=np.array([logits], dtype=dtype_of(dtype)))


def binary(logit: float, target: float, dtype: str = "float32", form: Form = Form.LOGITS) -> Case:
    """Return a case of binary cross-entropy of one entry."""
    return Case(
        loss=Loss.BINARY_CROSS_ENTROPY,
        prediction=np.array([[logit]], dtype=dtype_of(dtype)),
        form=form,
        target=np.array([[target]], dtype=dtype_of(dtype)),
        target_form=TargetForm.BINARY,
    )


def focal(logit: float, target: float, gamma: float) -> Case:
    """Return a case of a focal loss of one entry."""
    return binary(logit, target).replace(loss=Loss.FOCAL, gamma=gamma)


def labelled(logits: list[list[float]], labels: list[int], **options: Any) -> Case:
    """Return a case of softmax cross-entropy with class indices."""
    return Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction=np.array(logits, np.float32),
        target=np.array(labels),
        target_form=TargetForm.INDEX,
        **options,
    )


FIELDS: dict[str, Any] = {
    "id": "an-id",
    "targets": ["stub"],
    "loss_functions": ["first"],
    "check": "value",
    "versions": {"numpy": ">=1"},
    "reason": "It is off by one.",
    "link": "https://example.org/",
    "witness": json.dumps(case_to_json(row(0.0, 0.0))),
}


def toml(**changes: Any) -> str:
    """Return a file of one expectation with some fields changed, or dropped where None is given."""
    lines = ["[[expectation]]"]
    for name, value in {**FIELDS, **changes}.items():
        if isinstance(value, dict):
            lines.append(f"{name} = {{ {', '.join(f'{k} = {json.dumps(v)}' for k, v in value.items())} }}")
        elif value is not None:
            lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines)


def one(**changes: Any) -> Expectation:
    """Return the expectation of such a file."""
    (expectation,) = parse(toml(**changes), "stub.toml")
    return expectation


@pytest.mark.parametrize("field", list(FIELDS))
def test_a_field_that_is_missing_is_named(field: str) -> None:
    with pytest.raises(ExpectationError, match=rf"^stub\.toml: expectation 1: {field} is missing$"):
        one(**{field: None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, r"expectation 1: unknown field 'colour'; expected id, .*varies"),
        ({"check": "taste"}, r"expectation 1 \(an-id\): check 'taste'; expected one of value, "),
        ({"facts": ["blue"]}, r"expectation 1 \(an-id\): facts 'blue'; expected one of from logits, "),
        ({"grade": "middling"}, r"expectation 1 \(an-id\): grade 'middling'; expected one of correctly rounded, "),
        ({"loss_functions": "first"}, r"expectation 1 \(an-id\): loss_functions 'first'; expected a list"),
        ({"facts": "where"}, r"expectation 1 \(an-id\): facts 'where'; expected a list"),
        ({"versions": {"numpy": "new"}}, r"expectation 1 \(an-id\): versions: .*'new'"),
        ({"versions": "new"}, r"expectation 1 \(an-id\): versions: .*expected { distribution = specifier }"),
        ({"witness": "{"}, r"expectation 1 \(an-id\): witness: "),
        ({"witness": "[1]"}, r"expectation 1 \(an-id\): witness: "),
        ({"witness": '{"loss": "none"}'}, r"expectation 1 \(an-id\): witness: case: field 'loss'"),
        ({"witness": '{"lose": 1}'}, r"expectation 1 \(an-id\): witness: case: unknown field 'lose'"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_expectation(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExpectationError, match=rf"^stub\.toml: {message}"):
        one(**changes)


def test_a_file_that_is_not_toml_is_named() -> None:
    with pytest.raises(ExpectationError, match=r"^stub\.toml: not TOML: "):
        parse("[[expectation", "stub.toml")


def test_a_table_of_another_name_is_not_skipped() -> None:
    with pytest.raises(ExpectationError, match=r"^stub\.toml: unknown table 'expectations'"):
        parse(toml().replace("expectation", "expectations"), "stub.toml")


def test_an_id_that_is_taken_is_named() -> None:
    with pytest.raises(ExpectationError, match=r"^stub\.toml: two expectations have the id 'an-id'"):
        parse(f"{toml()}\n{toml()}", "stub.toml")


def test_ids_are_unique_among_all_files() -> None:
    assert sorted(set(IDS)) == sorted(IDS)


@shipped
def test_a_witness_comes_back_from_json_as_it_was(expectation: Expectation) -> None:
    data = case_to_json(expectation.witness)
    assert case_to_json(case_from_json(json.loads(json.dumps(data)))) == data


@shipped
def test_facts_are_true_of_the_witness(expectation: Expectation) -> None:
    assert all(FACTS[fact](expectation.witness) for fact in expectation.facts)


@shipped
def test_it_names_functions_modes_and_dtypes_that_there_are(expectation: Expectation) -> None:
    for target in expectation.targets:
        framework = describe(target)
        functions = {function.id: function for function in framework.functions}
        assert set(expectation.modes) <= set(framework.engine.modes) or len(expectation.targets) > 1
        for name in expectation.loss_functions:
            assert CHECKS[expectation.check].applies(functions[name].contract)
    assert set(expectation.dtypes) <= set(DTYPES)
    assert not expectation.dtypes or expectation.witness.dtype in expectation.dtypes


@shipped
def test_its_first_function_takes_the_witness(expectation: Expectation) -> None:
    function = describe(expectation.targets[0]).function(expectation.loss_functions[0])
    assert function.invocation(expectation.witness).tensors


@shipped
def test_it_says_where_and_why_in_sentences(expectation: Expectation) -> None:
    assert expectation.reason.endswith(".")
    assert expectation.link.startswith("https://")


@pytest.mark.parametrize(
    ("fact", "true", "false"),
    [
        ("large logits", row(9.0, 9.0), row(7.0, 7.0)),
        ("masked logits", row(-np.inf, 0.0), row(np.inf, 0.0)),
        ("logit of NaN or +inf", row(np.nan, 0.0), row(-np.inf, 0.0)),
        ("logit of NaN or +inf", row(np.inf, 0.0), row(0.0, 0.0)),
        ("logit flushed to 0", binary(0.0, 1.0), binary(2.0**-126, 1.0)),
        ("logit flushed to 0", binary(2.0**-130, 1.0, "bfloat16"), binary(2.0**-20, 1.0, "float16")),
        ("logit flushed to 0", binary(-0.0, 1.0, "float16"), binary(2.0**-130, 1.0, "float64")),
        ("logit flushed to 0", binary(2.0**-1030, 1.0, "float64"), binary(0.0, 1.0, form=Form.PROBABILITIES)),
        ("negative logit for target 0", binary(-1.0, 0.0), binary(1.0, 0.0)),
        ("negative logit for target 0", binary(-1.0, 0.0), binary(-1.0, 0.5)),
        ("logit -inf for target 0", binary(-np.inf, 0.0), binary(-np.inf, 0.5)),
        ("perfect probability", binary(1.0, 1.0, form=Form.PROBABILITIES), binary(1.0, 0.0, form=Form.PROBABILITIES)),
        ("perfect probability", binary(0.0, 0.0, form=Form.PROBABILITIES), binary(0.5, 0.5, form=Form.PROBABILITIES)),
        (
            "non-finite ignored row",
            labelled([[np.nan, 0.0], [0.0, 0.0]], [-100, 0], ignore_index=-100),
            labelled([[np.nan, 0.0], [0.0, 0.0]], [0, -100], ignore_index=-100),
        ),
        ("logits beyond 2", binary(2.0, 1.0), binary(-1.5, 1.0)),
        ("gamma below 1", focal(0.0, 1.0, 0.5), focal(0.0, 1.0, 1.0)),
        ("gamma below 1", focal(0.0, 1.0, 0.0), binary(0.0, 1.0)),
        ("focal factor rounds to 0", focal(20.0, 1.0, 2.0), focal(20.0, 0.0, 2.0)),
        ("focal factor rounds to 0", focal(-20.0, 0.0, 2.0), binary(20.0, 1.0)),
        ("label from -C to -1", labelled([[0.0, 0.0]], [-2]), labelled([[0.0, 0.0]], [-3])),
        ("label from -C to -1", labelled([[0.0, 0.0]], [-1]), labelled([[0.0, 0.0]], [0])),
        (
            "batch mean",
            labelled([[0.0, 0.0]], [0], reduction="batch_mean"),
            labelled([[0.0, 0.0]], [0], reduction="mean"),
        ),
    ],
)
def test_facts(fact: str, true: Case, false: Case) -> None:
    assert FACTS[fact](true)
    assert not FACTS[fact](false)


def bad(grade: Grade | None) -> Judgement:
    """Return a judgement that is not ok."""
    return Judgement(ok=False, problem="it is wrong", grade=grade)


def test_covers_up_to_its_grade() -> None:
    expectation = one(grade="backward-stable")
    assert expectation.covers(row(0.0), bad(Grade.BACKWARD_STABLE))
    assert not expectation.covers(row(0.0), bad(Grade.SEQUENTIAL))
    # A refusal, a shape or a dtype has no grade: an expectation of accuracy does not excuse it.
    assert not expectation.covers(row(0.0), bad(None))
    assert one().covers(row(0.0), bad(None))


def test_covers_cases_of_which_every_fact_is_true() -> None:
    expectation = one(facts=["large logits", "masked logits"])
    assert expectation.covers(row(-np.inf, 9.0), bad(Grade.BROKEN))
    assert not expectation.covers(row(0.0, 9.0), bad(Grade.BROKEN))
    assert not expectation.covers(row(-np.inf, 1.0), bad(Grade.BROKEN))


class StubEngine(Engine):
    """Answers log-sum-exp in float64, with a relative error, of one prediction alone if asked for."""

    modes = MappingProxyType({"eager": "NumPy", "other": "NumPy too"})

    def __init__(self, error: float, only: Array | None = None) -> None:
        self.error, self.only = error, only

    def start(self) -> None:
        """Import nothing."""

    def tensor(self, array: Array) -> Any:
        return array

    def array(self, tensor: Any) -> Array:
        return np.asarray(tensor)

    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:
        x = call.arguments["x"].astype(np.float64)
        value = np.logaddexp.reduce(x, axis=-1)
        error = self.error if self.only is None or np.array_equal(x, self.only) else 0.0
        return Answer((value * (1 + error)).astype(call.arguments["x"].dtype))

    def imports(self) -> list[str]:
        return []

    def tensor_source(self, array: Array) -> str:
        return repr(array)

    def run_source(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> list[str]:
        return []


WRONG = 1e-3
MEANING = "negative-infinity"
"""A check of meaning that judges numbers, whatever the options."""


def stub(error: float) -> Framework:
    """Return a framework of one function, with a relative error."""
    contract = Contract(loss=Loss.LOG_SUM_EXP, source=Source("Stub", "1", "all", "https://example.org/"))
    return Framework(
        "stub",
        StubEngine(error),
        (LossFunction("first", contract, lambda case: Call("f", {"x": case.prediction}, "x")),),
    )


def ask(error: float, expectations: list[Expectation], dtype: str = "float64", mode: str = "eager") -> Any:
    framework = stub(error)
    question = Question(framework.functions[0], CHECKS[MEANING], dtype, mode, PROFILES["smoke"])
    return examine(framework, question, expectations)


def accuracy(error: float, expectations: list[Expectation]) -> Any:
    framework = stub(error)
    question = Question(framework.functions[0], CHECKS["value"], "float64", "eager", PROFILES["smoke"])
    return examine(framework, question, expectations)


def test_concerns_its_function_check_dtypes_and_modes() -> None:
    function = stub(0.0).functions[0]

    def question(check: str = "value", dtype: str = "float64", mode: str = "eager") -> Question:
        return Question(function, CHECKS[check], dtype, mode, PROFILES["smoke"])

    assert one().concerns(question(dtype="float16", mode="other"))
    assert not one().concerns(question(check="gradient"))
    assert not one(loss_functions=["second", "first too"]).concerns(question())
    assert not one(dtypes=["float32"]).concerns(question())
    assert one(dtypes=["float32"]).concerns(question(dtype="float32"))
    assert not one(modes=["other"]).concerns(question())
    assert one(modes=["other"]).concerns(question(mode="other"))


def test_a_known_deviation_is_not_a_failure() -> None:
    record = ask(WRONG, [one(check=MEANING, grade="inaccurate")])
    assert record.verdict is Verdict.KNOWN
    assert record.expectation == "an-id"
    assert record.message == "It is off by one."


def test_accuracy_keeps_its_regimes_under_a_known_deviation() -> None:
    record = accuracy(WRONG, [one(grade="inaccurate")])
    assert record.verdict is Verdict.KNOWN
    assert any(cell.grade == "inaccurate" for cell in record.regimes)


def test_what_an_expectation_does_not_cover_is_a_failure() -> None:
    assert ask(WRONG, []).verdict is Verdict.FAIL
    assert ask(WRONG, [one(check=MEANING, grade="sequential")]).verdict is Verdict.FAIL
    large = one(check=MEANING, facts=["large logits"], witness=json.dumps(case_to_json(row(9.0, 9.0))))
    record = ask(WRONG, [large])
    assert record.verdict is Verdict.FAIL
    assert "stale" not in record.message


RARE = row(3.25, 7.5)


def rarely(grades: list[str], dtype: str = "float64") -> Any:
    """Ask a function that is wrong of one prediction alone; that is the witness of an expectation of each grade."""
    function = stub(WRONG).functions[0]
    framework = Framework("stub", StubEngine(WRONG, only=RARE.prediction), (function,))
    witness = json.dumps(case_to_json(RARE))
    expectations = [one(check=MEANING, grade=grade, witness=witness) for grade in grades]
    return examine(framework, Question(function, CHECKS[MEANING], dtype, "eager", PROFILES["smoke"]), expectations)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_known_does_not_hang_on_the_cases_drawn(dtype: str) -> None:
    assert rarely([], dtype).verdict is Verdict.PASS
    record = rarely(["inaccurate"], dtype)
    assert record.verdict is Verdict.KNOWN
    assert case_from_json(record.witness.model_dump()["case"]).prediction.tolist() == RARE.prediction.tolist()


def test_a_witness_that_shows_more_than_is_covered_fails() -> None:
    record = rarely(["sequential"])
    assert record.verdict is Verdict.FAIL
    assert "inaccurate" in record.message


def test_a_witness_that_shows_nothing_any_more_fails() -> None:
    record = ask(0.0, [one(check=MEANING, grade="inaccurate")])
    assert record.verdict is Verdict.FAIL
    assert record.message == "expectation an-id is stale: its witness no longer shows a deviation"


def test_a_witness_is_asked_in_its_own_place_alone() -> None:
    expectation = one(check=MEANING, grade="inaccurate")
    assert ask(0.0, [expectation], dtype="float32").verdict is Verdict.PASS
    assert ask(0.0, [expectation], mode="other").verdict is Verdict.PASS
    assert ask(0.0, [one(check=MEANING, modes=["other"])], mode="other").verdict is Verdict.FAIL
    assert ask(0.0, [one(check=MEANING, loss_functions=["another", "first"])]).verdict is Verdict.PASS


def test_what_varies_with_the_processor_is_never_stale() -> None:
    expectation = one(check=MEANING, grade="inaccurate", varies="the processor")
    assert ask(0.0, [expectation]).verdict is Verdict.PASS
    assert ask(WRONG, [expectation]).verdict is Verdict.KNOWN


@pytest.mark.parametrize(
    ("versions", "installed"),
    [({"numpy": ">=1"}, True), ({"numpy": "<1"}, False), ({"numpy": ">=1", "a-package-that-is-not": ">=1"}, False)],
)
def test_it_holds_for_its_versions(versions: dict[str, str], installed: bool) -> None:
    assert one(versions=versions).installed() is installed


def test_load_takes_those_of_a_target() -> None:
    assert load("no such target") == []
    for target in ("torch", "tensorflow", "jax"):
        assert all(target in expectation.targets for expectation in load(target))


def test_a_witness_in_another_dtype_has_the_same_numbers_or_is_none() -> None:
    case = Case(loss=Loss.LOG_SUM_EXP, prediction=np.array([[1.0, 0.1]]))
    assert in_dtype(case, "float32") is None
    exact = in_dtype(case.replace(prediction=np.array([[1.0, 0.125]])), "bfloat16")
    assert exact is not None
    assert exact.dtype == "bfloat16"
    assert exact.prediction.astype(float).tolist() == [[1.0, 0.125]]
