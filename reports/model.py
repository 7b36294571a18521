"""The run file: everything that one execution saw, as pydantic models with a published JSON Schema.

A report is made from this file alone. Fields named `timing` are the only ones that differ between two runs with the
same seed and versions. Infinities and NaN are the strings "Infinity", "-Infinity" and "NaN".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


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
    """An array as hex floats (integers and booleans as decimal), in C order."""

    dtype: str
    shape: list[int]
    data: list[str]


class Witness(Model):
    """The smallest input that shows a thing.

    Attributes:
        case: every field of the case that is not its default; arrays as `Numbers`.
        answer: what the loss function returned, or its exception.
        expected: the exact answer, rounded to the dtype.
        where: which entry of the value or of the gradient is shown: 'value[0]', 'gradient[0, 2]'.
        got: that entry of the answer, hex.
        wanted: the exact answer for that entry, rounded to the dtype, hex.
        ulp: the distance between the two.
        allowed: what was allowed, in ULP, with the name of the bound.
        snippet: a program that shows it in the framework alone.
    """

    case: dict[str, Any]
    answer: Numbers | str
    expected: Numbers | str
    where: str | None = None
    got: str | None = None
    wanted: str | None = None
    ulp: float | None = None
    allowed: str | None = None
    snippet: str


class Cell(Model):
    """What one regime gave: cases asked, entries compared, the worst grade and the largest distance."""

    regime: str
    cases: int
    entries: int
    grade: Grade | None = None
    max_ulp: float | None = None


class Observed(Model):
    """A policy as identified: the values that all telling cases allow."""

    policy: str
    documented: str | None
    assumed: str
    observed: list[str]
    telling: int
    source: str | None = None


class Timing(Model):
    """Times, the only part of a run that is not reproducible."""

    started: str | None = None
    seconds: float = 0.0


class Record(Model):
    """One row of a run: a loss function, a check, a dtype and a mode, with the verdict.

    Attributes:
        cases: how many were asked.
        telling: how many of them could have shown a fault or told two policy values apart.
        message: one line for a person.
        expectation: the id of the known deviation that applied.
    """

    loss_function: str
    check: str
    dtype: str
    mode: str
    verdict: Verdict
    message: str = ""
    cases: int = 0
    telling: int = 0
    grade: Grade | None = None
    max_ulp: float | None = None
    regimes: list[Cell] = Field(default_factory=list)
    policies: list[Observed] = Field(default_factory=list)
    expectation: str | None = None
    witness: Witness | None = None
    timing: Timing = Field(default_factory=Timing)

    @property
    def id(self) -> str:
        """The name of the question: check[loss function-dtype-mode]."""
        return f"{self.check}[{self.loss_function}-{self.dtype}-{self.mode}]"


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
        expected: how many checks (record ids) were to run.
        records: those that did, in order; a check that a crash left without a record is in none of them.
        detail: why it is not complete.
    """

    target: str
    status: Status
    detail: str = ""
    versions: dict[str, str]
    modes: dict[str, str]
    expected: int
    functions: list[FunctionInfo]
    expectations: list[ExpectationInfo] = Field(default_factory=list)
    records: list[Record]
    timing: Timing = Field(default_factory=Timing)


class Run(Model):
    """Everything one execution saw."""

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["lossconform run"] = "lossconform run"
    lossconform: str
    profile: str
    seed: int
    command: str
    environment: dict[str, str]
    checks: list[CheckInfo]
    targets: list[TargetRun]
    timing: Timing = Field(default_factory=Timing)
