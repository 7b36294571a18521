"""The checks: what must hold of a loss function, as data."""

from __future__ import annotations

from lossconform.checks import accuracy, labels, meaning, policies
from lossconform.checks.check import Check

MODULES = (accuracy, meaning, labels, policies)
CHECKS: dict[str, Check] = {check.id: check for module in MODULES for check in module.CHECKS}
"""Every check by id."""
