"""Losses brought along that change global state of their framework, in a real process: each is told, and put back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lossconform import cli
from lossconform.reports.model import Verdict
from lossconform.reports.runfile import read

TORCH = """
import torch
from lossconform.adapters.pytorch import loss_function

def polluting(input, target, **options):
    {deed}
    return torch.nn.functional.cross_entropy(input, target, **options)

loss = loss_function(polluting, like="torch.nn.functional.cross_entropy")
"""

JAX = """
import jax
import optax
from lossconform.adapters.jax_optax import loss_function

def polluting(logits, labels):
    {deed}
    return optax.sigmoid_binary_cross_entropy(logits, labels)

loss = loss_function(polluting, like="optax.sigmoid_binary_cross_entropy")
"""


@pytest.mark.parametrize(
    ("package", "module", "deed", "change"),
    [
        ("torch", TORCH, "torch.set_default_dtype(torch.float64)", "torch.get_default_dtype() from float32 to float64"),
        ("torch", TORCH, "torch.manual_seed(0)", "torch was seeded"),
        ("torch", TORCH, "torch.rand(3)", ""),
        ("jax", JAX, 'jax.config.update("jax_enable_x64", False)', "jax.config.jax_enable_x64 from True to False"),
    ],
    ids=["default dtype", "seed", "drawing", "x64"],
)
def test_what_a_loss_does_to_its_framework_is_told(
    package: str, module: str, deed: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package)
    name = f"polluting_{abs(hash(deed))}"
    (tmp_path / f"{name}.py").write_text(module.format(deed=deed))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(tmp_path)
    chosen = ["--profile", "smoke", "-k", "value- and float32"]
    code = cli.main(["run", "--loss", f"{name}:loss", *chosen, "--output", str(tmp_path / "out")])
    (record,) = read(tmp_path / "out" / "run.json").targets[0].records
    if change:
        assert (code, record.verdict) == (1, Verdict.FAIL)
        assert record.message.startswith(f"changed global state: {change}")
        assert record.witness is not None
    else:
        assert (code, record.verdict) == (0, Verdict.PASS), record.message
