"""Checks of accuracy: how far the value and the gradient are from the exact ones, in every regime."""

from lossconform.checks.check import Check

CHECKS = (
    Check(
        id="value",
        group="accuracy",
        question="Is the value as accurate as a stable evaluation allows, in every regime?",
        applies=lambda contract: True,  # noqa: ARG005
    ),
    Check(
        id="gradient",
        group="accuracy",
        question="Is the gradient as accurate as a stable evaluation allows, in every regime?",
        applies=lambda contract: True,  # noqa: ARG005
        gradient=True,
    ),
)
