"""Contracts: what holds in every mode, and what was observed in one."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from lossconform.adapters.base import Engine, Framework, LossFunction
from lossconform.adapters.contract import Clause, Contract, Source
from lossconform.plan import function_infos, questions
from lossconform.profiles import PROFILES
from lossconform.reference.case import Loss, TargetForm

PAGE = Source("a page", "1", "description", "https://example.org")


def contract(**policies: Clause) -> Contract:
    return Contract(loss=Loss.SOFTMAX_CROSS_ENTROPY, source=PAGE, targets=(TargetForm.DISTRIBUTION,), policies=policies)


def test_a_mode_has_what_was_observed_in_it() -> None:
    one = contract(zero_times_infinity=Clause("nan", modes={"xla": "zero"}), infinite_logit=Clause("limit", PAGE))
    assert one.policy().zero_times_infinity == "nan"
    assert one.in_mode("eager") is one
    xla = one.in_mode("xla")
    assert xla.policy() == one.policy().replace(zero_times_infinity="zero")
    assert xla.policies["infinite_logit"].source == PAGE
    assert xla.in_mode("xla") is xla


def test_a_promise_holds_in_every_mode() -> None:
    with pytest.raises(ValueError, match=re.escape("{'xla': 'zero'} with a source")):
        Clause("nan", PAGE, modes={"xla": "zero"})


def test_an_unknown_value_in_a_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="zero_times_infinity: 'nought'"):
        contract(zero_times_infinity=Clause("nan", modes={"xla": "nought"}))


def test_questions_and_the_run_file_know_the_mode() -> None:
    clause = Clause("nan", modes={"xla": "zero"})
    function = LossFunction("a.loss", contract(zero_times_infinity=clause), lambda case: None)  # type: ignore[arg-type, return-value]
    engine: Engine = SimpleNamespace(modes={"eager": "", "xla": ""})  # type: ignore[assignment]
    framework = Framework("a", engine, (function,))
    values = {q.mode: q.function.contract.policy().zero_times_infinity for q in questions(framework, PROFILES["full"])}
    assert values == {"eager": "nan", "xla": "zero"}
    (info,) = function_infos(framework)
    stated = {c.clause: c.value for c in info.clauses if c.clause.startswith("policy")}
    assert stated == {"policy zero_times_infinity": "nan", "policy zero_times_infinity, xla": "zero"}
