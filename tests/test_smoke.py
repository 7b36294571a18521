"""The smoke test of a loss that is brought along: what it says of a wrong answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from own_losses import EXAMPLES, STATED, plain, scaled, told

from lossconform.adapters import ready
from lossconform.adapters.numpy_losses import loss_function
from lossconform.cli import main
from lossconform.smoke import lines_of, smoke


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
