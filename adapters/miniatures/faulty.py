"""Every loss with exactly one fault, as a loss function by its id."""

from __future__ import annotations

from functools import cache

from lossconform.adapters.base import Framework
from lossconform.adapters.miniatures import (
    catalogue,
    faults_of_elements,
    faults_of_focal,
    faults_of_gradient,
    faults_of_ignore,
    faults_of_input,
    faults_of_labels,
    faults_of_options,
    faults_of_rows,
    faults_of_shape,
    faults_of_value,
)
from lossconform.adapters.miniatures.fault import Fault
from lossconform.adapters.miniatures.loss import NumpyLoss

MODULES = (
    faults_of_value,
    faults_of_elements,
    faults_of_focal,
    faults_of_gradient,
    faults_of_labels,
    faults_of_ignore,
    faults_of_options,
    faults_of_shape,
    faults_of_rows,
    faults_of_input,
)

FAULTS: dict[str, Fault] = {fault.id: fault for module in MODULES for fault in module.FAULTS}
"""Every fault by id."""


@cache
def __getattr__(name: str) -> NumpyLoss:
    """Return a faulty loss by the id of its fault."""
    if name not in FAULTS:
        raise AttributeError(name)
    return FAULTS[name].build()


def framework() -> Framework:
    """Return every faulty loss as a loss function."""
    return catalogue.framework("faulty", [fault.function() for fault in FAULTS.values()])
