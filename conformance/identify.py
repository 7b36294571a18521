"""What a loss of one's own does where nobody stated what it should: its open policies, identified before it is judged.

A loss function of a framework has a contract with its documentation; one that was brought along may say nothing of,
say, what its mean divides by. It is judged by what it was seen to do, and the report says what that is.
"""

from __future__ import annotations

import dataclasses

from lossconform.adapters.base import Framework, LossFunction
from lossconform.adapters.contract import Clause
from lossconform.checks import CHECKS
from lossconform.checks.check import Check, Question
from lossconform.examine import examine
from lossconform.plan import first_mode
from lossconform.profiles import Profile
from lossconform.reference.policy import CHOICES

ROUNDS = 3
"""One policy may be told only once another is known: what a mean divides by, once the empty one is."""


def identified(framework: Framework, function: LossFunction, profile: Profile) -> LossFunction:
    """Return a loss function whose open policies have the values that it was seen to follow.

    A policy that no case tells, or under no value of which all answers are right, stays as it was: its check says so.
    """
    asked = [c for c in CHECKS.values() if c.policy in function.open]
    for _ in range(ROUNDS):
        before = function.contract.policy()
        for check in asked:
            # Whether one applies may be known only once another policy is.
            if check.applies(function.contract):
                function = _with(framework, function, check, profile)
        if function.contract.policy() == before:
            break
    return function


def _with(framework: Framework, function: LossFunction, check: Check, profile: Profile) -> LossFunction:
    """Return a loss function with the policy of one check as observed."""
    contract, policy = function.contract, check.policy or ""
    dtype = "float32" if "float32" in contract.dtypes else contract.dtypes[0]
    question = Question(function, check, dtype, first_mode(framework.engine, check), profile)
    seen = [value for found in examine(framework, question, []).policies for value in found.observed]
    if not seen or getattr(contract.policy(), policy) in seen:
        return function
    value = next(choice for choice in CHOICES[policy] if choice in seen)
    changed = dataclasses.replace(contract, policies={**contract.policies, policy: Clause(value)})
    return dataclasses.replace(function, contract=changed)
