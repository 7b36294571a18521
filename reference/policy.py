"""Policies: the named choices that the mathematics leaves open, each with a closed list of values.

A policy states a meaning, never an accuracy. Which one a framework follows is identified (root package) or
promised (`lossconform.adapters.contract`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

CHOICES: dict[str, dict[str, str]] = {
    "mean_denominator": {
        "elements": "the mean divides by the number of entries that reduction 'none' would return",
        "kept": "the mean divides by the number of those entries whose row is not ignored",
        "weights": "the mean divides by the sum over those entries of sample weight times the label's class weight",
        "batch": "the mean divides by the length of the prediction's first axis, whatever that axis is",
    },
    "zero_denominator": {
        "nan": "a mean whose rows are all ignored or weigh nothing is NaN, and so is the gradient of rows not ignored",
        "zero": "a mean whose rows are all ignored or weigh nothing is 0, and so is its gradient",
    },
    "empty_mean": {
        "nan": "the mean of a batch without rows is NaN",
        "zero": "the mean of a batch without rows is 0",
    },
    "ignored_nonfinite": {
        "excluded": "NaN or infinity in an ignored row leaves value and gradient untouched",
        "propagated": "NaN or infinity in an ignored row reaches the result, as 0 · NaN",
    },
    "smoothing": {
        "all_classes": "label smoothing e gives each class e/K and the label 1 - e + e/K",
        "other_classes": "label smoothing e gives the other classes e/(K-1) and the label 1 - e",
    },
    "smoothing_weight": {
        "each_class": "with class weights, the smoothed mass of each class has that class's weight",
        "label_class": "with class weights, the whole row has its label's weight",
    },
    "class_axis_reduction": {
        "none": "one loss an element",
        "sum": "the losses of a row are summed",
        "mean": "the losses of a row are averaged",
    },
    "probability_range": {
        "as_given": "probabilities are used as they are",
        "clipped": "probabilities are clipped to [1e-7, 1 - 1e-7]; no gradient outside",
        "clipped_in_dtype": "clipped to [1e-7, 1 - 1e-7], both bounds rounded to the dtype; no gradient outside",
        "clipped_and_log_clamped": "as clipped_in_dtype, and then as log_clamped",
        "log_clamped": "in binary losses log is at least -100, the gradient's divisor p(1 - p) at least float32 1e-12",
    },
    "probability_sum": {
        "as_given": "a row of probabilities need not sum to 1",
        "renormalised": "a row of probabilities is divided by its sum, then clipped",
        "renormalised_last": "a row of probabilities is clipped, then divided by its sum",
    },
    "target_range": {
        "as_given": "target probabilities of a KL divergence are used as they are",
        "clipped_in_dtype": "target probabilities of a KL divergence are clipped to [1e-7, 1], rounded to the dtype",
    },
    "zero_times_infinity": {
        "zero": "a class with target 0, or weight 0, contributes 0, whatever its log-probability",
        "nan": "0 · inf is NaN: a class with target 0 and an infinite logarithm contributes NaN",
    },
    "focal_target": {
        "arithmetic": "p_t = t p + (1 - t)(1 - p), also for a fractional target t, whose loss is that of its p_t",
        "geometric": "-log p_t is the binary cross-entropy of t: p_t = p^t (1 - p)^(1 - t)",
        "logit": "p_t = sigmoid((2t - 1) z), for a logit z",
        "terms": "the losses of targets 1 and 0, each with its own p_t, are weighted with t and 1 - t",
    },
    "focal_range": {
        "as_given": "where probabilities are clipped, the factor (1 - p_t)^gamma is still that of those given",
        "clipped": "the factor (1 - p_t)^gamma is that of the clipped probabilities",
    },
    "target_sum": {
        "as_given": "the gradient is (sum of the target) p - t, the derivative of the value",
        "assumed_one": "the gradient is p - t, times the row's weight, whatever the target sums to",
    },
    "infinite_logit": {
        "nan": "a logit of +inf makes the row NaN",
        "limit": "a logit of +inf gives the limit: inf for every other label, 0 for its own",
        "as_difference": "LSE - x is taken as it is: inf for every other label, NaN for that of the logit",
    },
    "negative_label": {
        "refused": "an exception",
        "nan": "NaN for that row",
        "zero": "the row is silently 0, and counts in a mean",
        "wrapped": "the label counts from the end",
        "clamped": "the label is moved to the first class",
    },
    "label_too_large": {
        "refused": "an exception",
        "nan": "NaN for that row",
        "zero": "the row is silently 0, and counts in a mean",
        "clamped": "the label is moved to the last class",
    },
}
"""Every policy with its values and what each means."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One value for every policy. The defaults are the plain mathematical reading."""

    mean_denominator: str = "elements"
    zero_denominator: str = "nan"
    empty_mean: str = "nan"
    ignored_nonfinite: str = "excluded"
    smoothing: str = "all_classes"
    smoothing_weight: str = "each_class"
    class_axis_reduction: str = "none"
    probability_range: str = "as_given"
    probability_sum: str = "as_given"
    target_range: str = "as_given"
    zero_times_infinity: str = "zero"
    focal_target: str = "arithmetic"
    focal_range: str = "as_given"
    target_sum: str = "as_given"
    infinite_logit: str = "nan"
    negative_label: str = "refused"
    label_too_large: str = "refused"

    def __post_init__(self) -> None:
        for name, values in CHOICES.items():
            value = getattr(self, name)
            if value not in values:
                raise ValueError(f"policy {name}: {value!r}; expected one of {', '.join(values)}")

    def replace(self, **changes: Any) -> Policy:
        """Return the same policy with some values changed."""
        return dataclasses.replace(self, **changes)

    def alternatives(self, name: str) -> dict[str, Policy]:
        """Return this policy under every value of the policy `name`."""
        return {value: self.replace(**{name: value}) for value in CHOICES[name]}
