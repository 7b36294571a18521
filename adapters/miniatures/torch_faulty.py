"""Every loss in PyTorch with exactly one fault, as a loss function by its id. Importing this imports PyTorch."""

from __future__ import annotations

from functools import cache
from typing import Any

from lossconform.adapters.base import Framework
from lossconform.adapters.miniatures import (
    torch_fault,
    torch_faults_of_gradient,
    torch_faults_of_options,
    torch_faults_of_rows,
    torch_faults_of_state,
    torch_faults_of_target,
    torch_faults_of_value,
)
from lossconform.adapters.miniatures.torch_fault import TorchFault

MODULES = (
    torch_faults_of_value,
    torch_faults_of_gradient,
    torch_faults_of_target,
    torch_faults_of_options,
    torch_faults_of_rows,
    torch_faults_of_state,
)

FAULTS: dict[str, TorchFault] = {fault.id: fault for module in MODULES for fault in module.FAULTS}
"""Every fault by id."""

SURVIVORS: dict[str, str] = {}
"""The faults that no check catches, by id, and why each is known to survive; now there is none."""


@cache
def __getattr__(name: str) -> Any:
    """Return a faulty loss by the id of its fault."""
    if name not in FAULTS:
        raise AttributeError(name)
    return FAULTS[name].build()


def framework() -> Framework:
    """Return every faulty loss as a loss function."""
    return torch_fault.framework("torch_faulty", tuple(fault.function() for fault in FAULTS.values()))
