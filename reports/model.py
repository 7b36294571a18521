"""The run file: everything that one execution saw, as pydantic models with a published JSON Schema.

A report is made from this file alone. Fields named `timing` are the only ones that differ between two runs with the
same seed and versions. Infinities and NaN are the strings "Infinity", "-Infinity" and "NaN".
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    WithJsonSchema,
    model_validator,
)

SCHEMA_VERSION: Literal[1] = 1

Real = Annotated[
    float,
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"], "type": "string"}]}),
]
"""A number that may be infinite or NaN; JSON has no word for these, so they are written as strings."""


def _twice(names: Iterable[str]) -> str | None:
    """Return the first name that occurs a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


class Model(BaseModel):
    """Strict about names, so that a foreign file is recognised as one."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Verdict(StrEnum):
    """What a check found."""

    PASS = "pass"  # noqa: S105 - a verdict
    KNOWN = "known deviation"
    FAIL = "fail"
    HAZARD = "hazard"
    UNSUPPORTED = "unsupported"
    NOT_RUN = "not run"
    CRASHED = "crashed"


class Grade(StrEnum):
    """How good an answer is, best first."""

    CORRECTLY_ROUNDED = "correctly rounded"
    FAITHFUL = "faithful"
    ACCURATE = "accurate"
    SHIFT_STABLE = "shift-stable"
    BACKWARD_STABLE = "backward-stable"
    SEQUENTIAL = "sequential"
    INACCURATE = "inaccurate"
    BROKEN = "broken"


class Numbers(Model):
    """An array as hex floats (integers and booleans as decimal), in C order.

    Of a large array that is a few rows over and over, `data` has those rows only.
    """

    dtype: str
    shape: list[NonNegativeInt]
    data: list[str]


class Witness(Model):
    """The smallest input that shows a thing.

    Attributes:
        case: every field of the case that is not its default, by name; arrays as `Numbers`.
        answer: what the loss function returned, or its exception.
        expected: the exact answer, rounded to the dtype.
        where: which entry of the value or of the gradient is shown: 'value[0]', 'gradient[0, 2]'.
        got: that entry of the answer, hex.
        wanted: the exact answer for that entry, rounded to the dtype, hex.
        ulp: the distance between the two.
        allowed: what was allowed, in ULP, with the name of the bound.
        snippet: a program that shows it in the framework alone.
    """

    case: dict[str, Numbers | str | bool | int | FiniteFloat | None]
    answer: Numbers | str
    expected: Numbers | str
    where: str | None = None
    got: str | None = None
    wanted: str | None = None
    ulp: Real | None = None
    allowed: str | None = None
    snippet: str


class Cell(Model):
    """What one regime gave: cases asked, entries compared, the worst grade and the largest distance."""

    regime: str
    cases: NonNegativeInt
    entries: NonNegativeInt
    grade: Grade | None = None
    max_ulp: Real | None = None


class Observed(Model):
    """A policy as identified: the values that all telling cases allow."""

    policy: str
    documented: str | None = None
    assumed: str
    observed: list[str]
    telling: NonNegativeInt
    source: str | None = None


class Timing(Model):
    """Times and memory, the only part of a run that is not reproducible.

    Attributes:
        started: when, in UTC.
        seconds: how long it took.
        peak_mib: the most memory that the process held, in MiB.
    """

    started: str | None = None
    seconds: float = 0.0
    peak_mib: float | None = None


class Question(Model):
    """What one record answers: whether a loss function holds a check, in a dtype and a mode."""

    loss_function: str
    check: str
    dtype: str
    mode: str

    @property
    def id(self) -> str:
        """The name of the question: check[loss function-dtype-mode]."""
        return f"{self.check}[{self.loss_function}-{self.dtype}-{self.mode}]"


class Record(Question):
    """One row of a run: a loss function, a check, a dtype and a mode, with the verdict.

    Attributes:
        cases: how many were asked.
        telling: how many of them could have shown a fault or told two policy values apart.
        message: one line for a person.
        expectation: the id of the known deviation that applied.
    """

    verdict: Verdict
    message: str = ""
    cases: NonNegativeInt = 0
    telling: NonNegativeInt = 0
    grade: Grade | None = None
    max_ulp: Real | None = None
    regimes: list[Cell] = Field(default_factory=list)
    policies: list[Observed] = Field(default_factory=list)
    expectation: str | None = None
    witness: Witness | None = None
    timing: Timing = Field(default_factory=Timing)


class ClauseText(Model):
    """One clause of a contract for a reader: what, its value, and the documentation."""

    clause: str
    value: str
    source: str | None = None
    url: str | None = None


class FunctionInfo(Model):
    """A loss function with its contract, as a page shows it."""

    id: str
    loss: str
    source: str
    url: str
    clauses: list[ClauseText]


class CheckInfo(Model):
    """A check with the question it asks."""

    id: str
    question: str


class ExpectationInfo(Model):
    """A known deviation: what deviates, since when, why, and where it is discussed."""

    id: str
    loss_functions: list[str]
    check: str
    versions: str
    reason: str
    link: str | None = None


class Status(StrEnum):
    """How a target's process ended."""

    COMPLETE = "complete"
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"


class TargetRun(Model):
    """What was seen of one target.

    Attributes:
        expected: how many questions (record ids) were to be answered.
        records: the answers, in order, each id once.
        missing: the questions that a crash or an interruption left without a record, where the plan was known.
        detail: why it is not complete.
    """

    target: str
    status: Status
    detail: str = ""
    versions: dict[str, str]
    modes: dict[str, str]
    expected: NonNegativeInt
    functions: list[FunctionInfo]
    expectations: list[ExpectationInfo] = Field(default_factory=list)
    records: list[Record]
    missing: list[Question] = Field(default_factory=list)
    timing: Timing = Field(default_factory=Timing)

    @model_validator(mode="after")
    def _each_record_once(self) -> TargetRun:
        # Two records of one id would hide a missing one from the count.
        if (twice := _twice(record.id for record in self.records)) is not None:
            raise ValueError(f"record {twice} is there twice")
        return self


class Assumption(Model):
    """One thing that the reference assumes of the machine's NumPy, as sampled before the run.

    Attributes:
        function: what is assumed to be accurate.
        worst: the largest error seen, in ULP.
        allowed: the error that the reference's bounds leave room for, in ULP.
        argument: where the largest error was seen, hex.
        samples: how many arguments were looked at.
        ok: whether the assumption held at all of them.
    """

    function: str
    worst: Real
    allowed: Real
    argument: str
    samples: NonNegativeInt
    ok: bool


class Run(Model):
    """Everything one execution saw.

    Attributes:
        selftest: what sampling showed of the reference's assumptions; empty where it was not sampled.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["lossconform run"] = "lossconform run"
    lossconform: str
    profile: str
    seed: int
    command: str
    environment: dict[str, str]
    checks: list[CheckInfo]
    selftest: list[Assumption] = Field(default_factory=list)
    targets: list[TargetRun]
    timing: Timing = Field(default_factory=Timing)

    @model_validator(mode="after")
    def _each_target_once(self) -> Run:
        if (twice := _twice(target.target for target in self.targets)) is not None:
            raise ValueError(f"target {twice} is there twice")
        return self
