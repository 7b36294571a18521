"""Checks that identify a policy: what a loss function does where the mathematics leaves a choice."""

from __future__ import annotations

from collections.abc import Callable

from lossconform.adapters.contract import Contract
from lossconform.checks.check import Check
from lossconform.reference.case import BINARY, Form, Loss, Reduction, TargetForm
from lossconform.strategies.choices import (
    INF,
    NAN,
    all_ignored,
    bad_ignored_rows,
    denominators,
    fractional,
    infinite,
    means,
    multiplied,
    no_rows,
    odd_label,
    probabilities_at_the_ends,
    probabilities_of_any_sum,
    smoothed,
    unnormalised,
    wrong_probabilities,
    zero_probability_targets,
    zero_target,
)

SILENT = frozenset({"zero", "wrapped", "clamped"})
"""What accepts a label that is no class and returns an ordinary number."""


def _applies(loss: Loss, form: Form) -> Callable[[Contract], bool]:
    return lambda contract: contract.loss is loss and form in contract.forms


def _has_index(contract: Contract) -> bool:
    return TargetForm.INDEX in contract.targets


CHECKS = (
    Check(
        id="ignored-nonfinite",
        group="ignore",
        question="Does NaN or infinity in an ignored row stay out of value and gradient?",
        applies=lambda contract: "ignore_index" in contract.options,
        cases=bad_ignored_rows,
        policy="ignored_nonfinite",
        gradient=True,
    ),
    Check(
        id="all-ignored",
        group="ignore",
        question="What is the mean of a batch whose rows are all ignored?",
        applies=lambda contract: "ignore_index" in contract.options and bool(means(contract)),
        cases=all_ignored,
        policy="zero_denominator",
    ),
    Check(
        id="mean-denominator",
        group="reductions",
        question="What does the mean divide by?",
        applies=lambda contract: Reduction.MEAN in contract.reductions,
        cases=denominators,
        policy="mean_denominator",
        gradient=True,
    ),
    Check(
        id="empty-batch",
        group="reductions",
        question="What is the mean of a batch without rows?",
        applies=lambda contract: Reduction.MEAN in contract.reductions,
        cases=no_rows,
        once=True,
        policy="empty_mean",
    ),
    Check(
        id="negative-label",
        group="labels",
        question="What does a negative label do that is not to be ignored?",
        applies=_has_index,
        cases=lambda contract, dtype: (odd_label(contract, dtype, -1, 0), odd_label(contract, dtype, 0, -1)),
        policy="negative_label",
        hazards=SILENT,
    ),
    Check(
        id="label-too-large",
        group="labels",
        question="What does a label beyond the last class do?",
        applies=_has_index,
        cases=lambda contract, dtype: (odd_label(contract, dtype, 0, 1), odd_label(contract, dtype, 1, 1)),
        policy="label_too_large",
        hazards=SILENT,
    ),
    Check(
        id="unnormalised-target",
        group="labels",
        question="Is the gradient that of the value when soft labels do not sum to 1?",
        applies=lambda contract: (
            contract.loss is Loss.SOFTMAX_CROSS_ENTROPY
            and Form.LOGITS in contract.forms
            and TargetForm.DISTRIBUTION in contract.targets
        ),
        cases=unnormalised,
        policy="target_sum",
        gradient=True,
    ),
    Check(
        id="zero-target",
        group="labels",
        question="Does a class of probability 0 and target 0 contribute nothing?",
        applies=lambda contract: (
            contract.loss in (Loss.SOFTMAX_CROSS_ENTROPY, Loss.KL_DIVERGENCE)
            and bool(multiplied(contract))
            and any(f is not Form.PROBABILITIES for f in contract.forms)
        ),
        cases=zero_target,
        policy="zero_times_infinity",
    ),
    Check(
        id="smoothing-share",
        group="options",
        question="How is smoothed mass shared among the classes?",
        applies=lambda contract: "label_smoothing" in contract.options and contract.loss is Loss.SOFTMAX_CROSS_ENTROPY,
        cases=lambda contract, dtype: smoothed(contract, dtype, weighted=False),
        policy="smoothing",
        gradient=True,
    ),
    Check(
        id="smoothing-weight",
        group="options",
        question="Which class weights does smoothed mass have?",
        applies=lambda contract: {"label_smoothing", "class_weight"} <= set(contract.options) and _has_index(contract),
        cases=lambda contract, dtype: smoothed(contract, dtype, weighted=True),
        policy="smoothing_weight",
        gradient=True,
    ),
    Check(
        id="focal-target",
        group="labels",
        question="What is p_t of a fractional target?",
        applies=lambda contract: contract.loss is Loss.FOCAL and "gamma" in contract.options,
        cases=fractional,
        policy="focal_target",
        gradient=True,
    ),
    Check(
        id="focal-range",
        group="from_logits",
        question="Where probabilities are clipped, is the factor (1 - p_t)^gamma that of the clipped ones?",
        applies=lambda contract: (
            _applies(Loss.FOCAL, Form.PROBABILITIES)(contract)
            and "gamma" in contract.options
            and contract.policy().probability_range.startswith("clipped")
        ),
        cases=wrong_probabilities,
        policy="focal_range",
        gradient=True,
    ),
    Check(
        id="probability-range",
        group="from_logits",
        question="What happens to probabilities of 0 and 1?",
        applies=lambda contract: Form.PROBABILITIES in contract.forms,
        cases=probabilities_at_the_ends,
        policy="probability_range",
        every_dtype=True,
    ),
    Check(
        id="probability-sum",
        group="from_logits",
        question="Are probabilities divided by their sum?",
        applies=_applies(Loss.SOFTMAX_CROSS_ENTROPY, Form.PROBABILITIES),
        cases=probabilities_of_any_sum,
        policy="probability_sum",
        gradient=True,
    ),
    Check(
        id="target-range",
        group="from_logits",
        question="Are target probabilities clipped?",
        applies=_applies(Loss.KL_DIVERGENCE, Form.PROBABILITIES),
        cases=zero_probability_targets,
        policy="target_range",
    ),
    Check(
        id="infinite-logit",
        group="special",
        question="What does a logit of +inf give?",
        applies=lambda contract: (
            Form.LOGITS in contract.forms and contract.loss not in BINARY | {Loss.LOG_SIGMOID, Loss.LOG_SUM_EXP}
        ),
        cases=lambda contract, dtype: infinite(contract, dtype, INF),
        policy="infinite_logit",
    ),
    Check(
        id="nan-propagates",
        group="special",
        question="Does NaN in a prediction reach the value, or raise?",
        may_refuse=True,
        applies=lambda contract: True,  # noqa: ARG005
        cases=lambda contract, dtype: infinite(contract, dtype, NAN),
    ),
    Check(
        id="negative-infinity",
        group="special",
        question="Is a logit of -inf a class of probability 0?",
        applies=lambda contract: Form.LOGITS in contract.forms,
        cases=lambda contract, dtype: infinite(contract, dtype, -INF),
    ),
)
