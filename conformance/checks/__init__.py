"""The checks: what must hold of a loss function, as data."""

from __future__ import annotations

from lossconform.checks import accuracy, meaning, policies
from lossconform.checks.check import Check

CHECKS: dict[str, Check] = {check.id: check for check in (*accuracy.CHECKS, *meaning.CHECKS, *policies.CHECKS)}
"""Every check by id."""
