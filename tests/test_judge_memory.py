"""What the judge remembers of the reference: of the same question alone, of few numbers, and so many of them."""

from __future__ import annotations

import numpy as np
import pytest

from lossconform import judge
from lossconform.judge import LARGE, Oracle
from lossconform.reference.case import Case, Loss
from lossconform.reference.policy import Policy


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_kept", {})


def case(first: float = 0.0, size: int = 3) -> Case:
    x = np.zeros((1, size), np.float32)
    x[0, 0] = first
    return Case(loss=Loss.LOG_SUM_EXP, prediction=x)


def asked(one: Case, policy: Policy | None = None, **changes: object) -> Oracle:
    options: dict[str, object] = {"gradient": True, **changes}
    return Oracle.of(one, policy or Policy(), **options)  # type: ignore[arg-type]


def test_the_same_question_is_asked_once() -> None:
    assert asked(case()) is asked(case())


def test_another_question_is_asked_anew() -> None:
    questions = [
        asked(case()),
        asked(case(1.0)),
        asked(case(), Policy(infinite_logit="limit")),
        asked(case(), gradient=False),
        asked(case(), accumulator="float64"),
        asked(case(), any_order=False),
    ]
    assert len({id(question) for question in questions}) == len(questions)
    assert questions[3].gradient is None
    assert questions[4].accumulator == "float64"
    assert not questions[5].any_order


@pytest.mark.parametrize(("size", "kept"), [(LARGE - 1, 1), (LARGE, 1), (LARGE + 1, 0)])
def test_large_cases_are_not_kept(size: int, kept: int) -> None:
    asked(case(size=size))
    assert len(judge._kept) == kept


def test_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "REMEMBERED", 3)
    first, *others = [asked(case(float(i))) for i in range(4)]
    assert len(judge._kept) == 3
    assert asked(case(0.0)) is not first
    assert asked(case(3.0)) is others[2]
