"""Correct losses, the plain ones and unusual ones: every check must leave them alone.

An unusual one is a correct class with methods replaced by others that mean the same, or with other policies, which its
contract states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from lossconform.adapters.base import Framework, LossFunction
from lossconform.adapters.miniatures import catalogue, evaluations
from lossconform.adapters.miniatures.loss import NumpyLoss
from lossconform.reference.case import Form, Loss, Reduction, TargetForm
from lossconform.reference.grades import Grade

Patch = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, kw_only=True)
class Variation:
    """A correct loss.

    Attributes:
        id: its name in this module.
        meaning: what is unusual about it.
        loss: what it computes.
        patch: the methods that are replaced.
        policies: the policies it follows, and states.
        features: what its contract takes, where that is less than the loss takes.
        wide: whether it computes in float64.
        hazards: the checks that find nonsense accepted in silence, as its contract states.
    """

    id: str
    meaning: str
    loss: Loss
    patch: Patch = field(default_factory=lambda: MappingProxyType({}))
    policies: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    features: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    wide: bool = False
    hazards: tuple[str, ...] = ()

    def build(self) -> NumpyLoss:
        """Return the callable."""
        cls = type(self.id, (catalogue.CLASSES[self.loss],), dict(self.patch))
        made: NumpyLoss = cls(wide=self.wide, **self.policies)
        return made

    def function(self) -> LossFunction:
        """Return the loss function with its contract."""
        promised = catalogue.contract(self.loss, dict(self.policies), **self.features)
        return catalogue.function("unusual", self.id, promised)


CE, BCE, KL = Loss.SOFTMAX_CROSS_ENTROPY, Loss.BINARY_CROSS_ENTROPY, Loss.KL_DIVERGENCE
LOGITS = MappingProxyType({"forms": (Form.LOGITS,)})
PROBABILITIES = MappingProxyType({"forms": (Form.PROBABILITIES,)})
OF_PROBABILITIES = MappingProxyType(
    {**PROBABILITIES, "options": ("sample_weight", "ignore_index", "label_smoothing", "class_weight", "class_axis")}
)
"""A softmax cross-entropy takes a mask of classes with logits alone."""
LABELS = MappingProxyType({"forms": (Form.LOGITS,), "targets": (TargetForm.INDEX,)})
EVALUATED = MappingProxyType(
    {**LOGITS, "options": ("where", "class_axis"), "reductions": (Reduction.NONE, Reduction.SUM)}
)
"""How a loss is computed has nothing to do with most options."""
ROWS_OF_LABELS = MappingProxyType({**LABELS, "options": ("ignore_index",)})
ROWS_OF_LOGITS = MappingProxyType({**LOGITS, "options": ()})
"""How rows are added up has nothing to do with most options."""
ONE_DTYPE = MappingProxyType({**LABELS, "dtypes": ("float32",)})
"""A policy is the same in every dtype."""


PLAIN = tuple(Variation(id=str(loss), meaning="plain", loss=loss) for loss in Loss)
"""The plain ones, in the dtype as asked."""

WIDE = tuple(
    Variation(id=f"{loss}_wide", meaning="float64 inside", loss=loss, wide=True) for loss in (CE, BCE, KL, Loss.ENTROPY)
)

EVALUATIONS = (
    Variation(id="online", meaning="online softmax", loss=CE, patch={"parts": evaluations.online}, features=EVALUATED),
    Variation(
        id="chunked",
        meaning="sums in blocks",
        loss=CE,
        patch=evaluations.summing(evaluations.chunked),
        features=EVALUATED,
    ),
    *(
        Variation(
            id=f"{loss}_one_by_one",
            meaning="sums one by one",
            loss=loss,
            patch=evaluations.summing(evaluations.sequential),
            features=EVALUATED if loss is CE else {},
        )
        for loss in (CE, Loss.SOFTMAX)
    ),
    Variation(
        id="backwards",
        meaning="sums from the end",
        loss=CE,
        patch=evaluations.summing(evaluations.backwards),
        features=EVALUATED,
    ),
    Variation(
        id="pairwise",
        meaning="sums in a tree",
        loss=CE,
        patch=evaluations.summing(evaluations.pairwise),
        features=EVALUATED,
    ),
    Variation(
        id="kahan",
        meaning="compensated sums",
        loss=CE,
        patch=evaluations.summing(evaluations.kahan),
        features=EVALUATED,
    ),
    Variation(id="fsum", meaning="exact sums", loss=Loss.LOG_SUM_EXP, patch=evaluations.summing(evaluations.exact)),
    Variation(
        id="base_two",
        meaning="exponentials to base 2",
        loss=CE,
        patch={"exp": evaluations.base_two},
        features=EVALUATED,
    ),
    Variation(
        id="log_of_sum",
        meaning="log of the whole sum",
        loss=CE,
        patch={"log_total": evaluations.direct},
        features=EVALUATED,
    ),
    Variation(
        id="p_through_logs",
        meaning="p as exp(log p)",
        loss=CE,
        patch={"p": evaluations.through_logs},
        features=EVALUATED,
    ),
    Variation(id="two_pass", meaning="p divided twice", loss=Loss.SOFTMAX, patch={"p": evaluations.two_pass}),
    Variation(
        id="reordered",
        meaning="rows in reverse",
        loss=CE,
        patch={"evaluate": evaluations.reordered},
        features=EVALUATED,
    ),
    Variation(id="documented_binary", meaning="z - zt + log1p", loss=BCE, patch={"terms": evaluations.documented_form}),
    Variation(
        id="sigmoid_by_sign", meaning="a sigmoid of two branches", loss=BCE, patch={"sigmoid": evaluations.by_sign}
    ),
    Variation(
        id="labels_in_int32",
        meaning="labels cast to int32, whatever their dtype",
        loss=CE,
        patch={"labels": lambda self, target, classes: target.astype(np.int32)},
        features=LABELS,
    ),
    Variation(
        id="promising_binary",
        meaning="relative accuracy promised of logits",
        loss=BCE,
        features={**LOGITS, "bar": Grade.SHIFT_STABLE},
    ),
)
"""Other ways of computing the same."""

ROWS = (
    *(
        Variation(
            id=f"rows_{name}",
            meaning=meaning,
            loss=loss,
            patch={"total": lambda self, batch, values, function=function: function(values.reshape(1, -1))[0, 0]},
            features=features,
        )
        for name, meaning, function, loss, features in (
            ("sequential", "rows summed one by one", evaluations.sequential, CE, ROWS_OF_LABELS),
            ("pairwise", "rows summed in a tree", evaluations.pairwise, BCE, ROWS_OF_LOGITS),
            ("chunked", "rows summed in blocks", evaluations.chunked, CE, ROWS_OF_LABELS),
            ("kahan", "rows with compensated sums", evaluations.kahan, CE, ROWS_OF_LABELS),
            ("exact", "rows summed exactly", evaluations.exact, KL, MappingProxyType({"options": ()})),
        )
    ),
    Variation(
        id="rows_divided_first",
        meaning="each loss divided before the sum",
        loss=CE,
        patch={"reduce": evaluations.divided_first},
        features=ROWS_OF_LABELS,
    ),
    Variation(
        id="rows_in_float64",
        meaning="rows summed in float64, as is promised",
        loss=CE,
        patch={"total": lambda self, batch, values: values.astype(float).sum()},
        features={**ROWS_OF_LABELS, "accumulator": "float64"},
    ),
    Variation(
        id="rows_in_own_dtype",
        meaning="rows summed in their own dtype, as is promised",
        loss=CE,
        patch={"total": evaluations.in_own_dtype},
        features={**ROWS_OF_LABELS, "accumulator": "own dtype"},
    ),
)
"""Other ways of adding up rows."""

FRAMEWORKS = (
    Variation(
        id="like_torch",
        meaning="weighted means, NaN of nothing, 0 times infinity NaN",
        loss=CE,
        policies={"mean_denominator": "weights", "zero_times_infinity": "nan"},
        features=LOGITS,
    ),
    Variation(
        id="like_tensorflow",
        meaning="targets taken to sum to 1, means of nothing 0",
        loss=CE,
        policies={"target_sum": "assumed_one", "zero_denominator": "zero", "empty_mean": "zero"},
        # A gradient that is not the value's derivative is no gradient under a mask or class weights.
        features={"forms": (Form.LOGITS,), "options": ("class_axis", "sample_weight", "ignore_index")},
    ),
    Variation(
        id="like_keras",
        meaning="renormalised and clipped probabilities",
        loss=CE,
        policies={"probability_sum": "renormalised", "probability_range": "clipped_in_dtype"},
        features=OF_PROBABILITIES,
    ),
    Variation(
        id="clipped_first",
        meaning="clipped, then renormalised",
        loss=CE,
        policies={"probability_sum": "renormalised_last", "probability_range": "clipped"},
        features=OF_PROBABILITIES,
        # 1 - 1e-7 is no float32.
        wide=True,
    ),
    Variation(
        id="clipped_divergence",
        meaning="both distributions clipped",
        loss=KL,
        policies={"probability_range": "clipped_in_dtype", "target_range": "clipped_in_dtype"},
        features={**PROBABILITIES, "targets": (TargetForm.DISTRIBUTION,), "options": ("sample_weight",)},
    ),
    Variation(
        id="strict_divergence",
        meaning="0 times infinity is NaN",
        loss=KL,
        policies={"zero_times_infinity": "nan", "class_axis_reduction": "sum"},
        features={"forms": (Form.LOG_PROBABILITIES,)},
    ),
    *(
        Variation(
            id=f"binary_{rule}",
            meaning=f"binary probabilities {rule}",
            loss=BCE,
            policies={"probability_range": rule, "class_axis_reduction": axis},
            features=PROBABILITIES,
            wide=rule == "clipped",
        )
        for rule, axis in (
            ("clipped", "mean"),
            ("clipped_in_dtype", "sum"),
            ("clipped_and_log_clamped", "none"),
            ("log_clamped", "mean"),
        )
    ),
)
"""Policies of the kind that frameworks have."""

CHOICES = (
    *(
        Variation(
            id=f"denominator_{rule}",
            meaning=f"the mean divides by {rule}",
            loss=CE,
            policies={"mean_denominator": rule, "zero_denominator": "zero"},
            features=ONE_DTYPE,
        )
        for rule in ("kept", "weights", "batch")
    ),
    Variation(
        id="propagating",
        meaning="NaN in an ignored row reaches the result",
        loss=CE,
        policies={"ignored_nonfinite": "propagated"},
        features=ONE_DTYPE,
    ),
    Variation(
        id="smoothed_others",
        meaning="smoothing spares the label; its weight is the label's",
        loss=CE,
        policies={"smoothing": "other_classes", "smoothing_weight": "label_class"},
        features={**ONE_DTYPE, "options": ("label_smoothing", "class_weight", "class_axis")},
    ),
    *(
        Variation(
            id=f"infinity_{rule}",
            meaning=f"a logit of inf gives: {rule}",
            loss=CE,
            policies={"infinite_logit": rule},
            features=ONE_DTYPE,
        )
        for rule in ("limit", "as_difference")
    ),
    Variation(
        id="softmax_limit",
        meaning="a logit of inf has all the mass",
        loss=Loss.SOFTMAX,
        policies={"infinite_logit": "limit"},
    ),
    *(
        Variation(
            id=f"labels_{low}",
            meaning=f"negative labels: {low}; too large: {high}",
            loss=CE,
            policies={"negative_label": low, "label_too_large": high},
            features=ONE_DTYPE,
            hazards=hazards,
        )
        for low, high, hazards in (
            ("nan", "nan", ()),
            ("zero", "zero", ("negative-label", "label-too-large")),
            ("clamped", "clamped", ("negative-label", "label-too-large")),
            ("wrapped", "refused", ("negative-label",)),
        )
    ),
    *(
        Variation(
            id=f"focal_{rule}",
            meaning=f"p_t of a fractional target: {rule}",
            loss=Loss.FOCAL,
            policies={"focal_target": rule},
            features={"forms": (Form.LOGITS,), "dtypes": ("float32",)},
        )
        for rule in ("geometric", "logit", "terms")
    ),
    *(
        Variation(
            id=f"focal_range_{rule}",
            meaning=f"logarithms of clipped probabilities, and a factor of those {rule}",
            loss=Loss.FOCAL,
            policies={"probability_range": "clipped_in_dtype", "focal_range": rule, "class_axis_reduction": "mean"},
            features={"forms": (Form.PROBABILITIES,), "dtypes": ("float32",)},
        )
        for rule in ("as_given", "clipped")
    ),
    Variation(
        id="summing_only",
        meaning="a function of one reduction",
        loss=CE,
        features={**ONE_DTYPE, "reductions": (Reduction.SUM,), "options": ()},
    ),
)
"""Legal policies, one by one."""

VARIATIONS = {v.id: v for v in (*PLAIN, *WIDE, *EVALUATIONS, *ROWS, *FRAMEWORKS, *CHOICES)}
"""Every correct loss by id."""


@cache
def __getattr__(name: str) -> NumpyLoss:
    """Return a correct loss by its id."""
    if name not in VARIATIONS:
        raise AttributeError(name)
    return VARIATIONS[name].build()


def framework() -> Framework:
    """Return every correct loss as a loss function."""
    return catalogue.framework("unusual", [v.function() for v in VARIATIONS.values()])
