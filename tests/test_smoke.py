"""The smoke test of a loss that is brought along: what it says of a wrong answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from own_losses import EXAMPLES, STATED, plain, scaled, told

from lossconform.adapters import ready
from lossconform.adapters.base import Answer
from lossconform.adapters.miniatures import unusual
from lossconform.adapters.numpy_losses import loss_function
from lossconform.cli import main
from lossconform.judge import Oracle
from lossconform.reference.case import Case
from lossconform.reference.policy import Policy
from lossconform.smoke import OPEN, cases, lines_of, smoke


def test_smoke_passes_what_is_right() -> None:
    brought = ready(loss_function(plain, **STATED))
    assert [outcome.problem for outcome in smoke(brought, brought.functions[0])] == [""] * 10


ADVICE = {
    "sign": (scaled, "the gradient has the wrong sign"),
    "minus": (lambda x, y: tuple(-a for a in plain(x, y)), "the value has the wrong sign"),
    "detached": (lambda x, y: (plain(x, y)[0], np.zeros_like(x)), "is the computation detached"),
    "mean": (lambda x, y: (plain(x, y)[0].mean(), plain(x, y)[1]), "the value is right for the reduction mean"),
    "names": (lambda logits, labels: plain(logits, labels), "compare the call"),
}


@pytest.mark.parametrize(("loss", "advice"), ADVICE.values(), ids=ADVICE)
def test_smoke_says_what_it_looks_like(loss: Any, advice: str) -> None:
    brought = ready(loss_function(loss, **STATED))
    lines = "\n".join(lines_of(smoke(brought, brought.functions[0])))
    assert advice in lines
    assert "mend this first" in lines


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_smoke_sees_the_wrong_sign_in_every_dtype(dtype: str) -> None:
    brought = ready(loss_function(scaled, **told(dtypes=[dtype])))
    assert all(outcome.problem for outcome in smoke(brought, brought.functions[0]))


def test_the_command_line_smokes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert main(["smoke", "test_numpy_pair:loss"]) == 0
    assert "10 of 10 cases pass" in capsys.readouterr().out


WIDE = ["softmax_cross_entropy_wide", "binary_cross_entropy_wide", "kl_divergence_wide", "focal"]
"""Losses of every form of prediction, target and reduction."""


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.parametrize("loss", WIDE)
def test_a_policy_is_varied_wherever_it_tells(name: str, loss: str) -> None:
    function = unusual.framework().function(f"unusual.{loss}")
    for case in cases(function.contract):
        answers = [read(case, policy) for policy in Policy().alternatives(name).values()]
        assert OPEN[name](case) or len(set(answers)) == 1, case


def read(case: Case, policy: Policy) -> tuple[bytes, bytes]:
    """Return the right value and gradient of a case under a policy, bit for bit."""
    answer = Oracle.of(case, policy, gradient=True).answer()
    assert isinstance(answer, Answer)
    assert answer.gradient is not None
    return answer.value.tobytes(), answer.gradient.tobytes()
