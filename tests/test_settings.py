"""Global settings: what a loss function changed is put back, what a framework does to them itself is no change."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lossconform.adapters import start
from lossconform.adapters.base import Answer
from lossconform.adapters.settings import Snapshot
from lossconform.reference.case import Case, Loss, TargetForm


def test_what_torch_has_is_put_back() -> None:
    torch = pytest.importorskip("torch")
    before = Snapshot(start("torch").engine.state())
    assert before.restore() == []
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    assert before.restore() == [
        "torch.get_default_dtype() from float32 to float64",
        "torch.is_grad_enabled() from True to False",
    ]
    assert torch.get_default_dtype() is torch.float32
    assert before.restore() == []


@pytest.mark.parametrize("mode", ["compiled", "inductor"])
def test_what_a_compiler_of_torch_sets_is_no_change(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    if mode == "inductor" and shutil.which("g++") is None:
        pytest.skip("no C++ compiler: inductor cannot compile")
    # Compiled anew, whatever was compiled before: what is read from a cache sets nothing.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    framework = start("torch")
    before = Snapshot(framework.engine.state())
    function = framework.function("torch.nn.functional.cross_entropy")
    case = Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction=np.arange(21, dtype=np.float32).reshape(3, 7),
        target=np.array([0, 6, 3]),
        target_form=TargetForm.INDEX,
    )
    assert isinstance(framework.ask(function, case, mode=mode, gradient=True), Answer)
    assert before.restore() == []


def test_what_jax_has_is_put_back() -> None:
    jax = pytest.importorskip("jax")
    before = Snapshot(start("jax").engine.state())
    jax.config.update("jax_enable_x64", False)
    assert before.restore() == ["jax.config.jax_enable_x64 from True to False"]
    assert before.restore() == []
