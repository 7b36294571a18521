"""The softmax functions of JAX and the losses of Optax: what their documentation promises and how they are asked.

It does not run them: that is `lossconform.adapters.engine_jax`. No framework is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Unpack

from lossconform.adapters.base import Call, Framework, LossFunction, in_dtype
from lossconform.adapters.contract import LABEL_DTYPES, Clause, Contract, Source
from lossconform.adapters.engine_jax import JaxEngine
from lossconform.adapters.own import Statement, bring
from lossconform.reference.case import Case, Form, Loss, TargetForm

VERSIONS = {"jax": "0.10.2", "optax": "0.2.8"}
"""The versions whose documentation was read."""

SOFT = (TargetForm.ONE_HOT, TargetForm.DISTRIBUTION)


def documentation(name: str, section: str) -> Source:
    """Return a section of the documentation page of a function."""
    package = name.split(".")[0]
    if package == "jax":
        url = f"https://docs.jax.dev/en/latest/_autosummary/{name}.html"
    else:
        url = f"https://optax.readthedocs.io/en/latest/api/losses.html#optax.losses.{name.split('.')[-1]}"
    return Source(name, VERSIONS[package], section, url)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One function: its arguments and what its documentation says, from which call and contract are made.

    Attributes:
        name: its dotted name.
        loss: what it computes.
        prediction: the argument for the prediction.
        target: the argument for the target; None for a function of the prediction alone.
        targets: the targets that its documentation names.
        form: what the prediction is.
        default_axis: the class axis where none is given: 'last', 'all' (so it is always given), or 'none' for a
            function without an axis argument that works element by element. 'fixed' is the last axis and no other.
        where: whether it takes a mask of classes.
        focal: whether it takes gamma and alpha.
        policies: each policy with its value and the section that states it; None where that is measured.
    """

    name: str
    loss: Loss
    prediction: str
    target: str | None = None
    targets: tuple[TargetForm, ...] = (TargetForm.NONE,)
    form: Form = Form.LOGITS
    default_axis: str = "last"
    where: bool = True
    focal: bool = False
    policies: Mapping[str, tuple[str, str | None]] = field(default_factory=lambda: MappingProxyType({}))

    def contract(self) -> Contract:
        """Return what the documentation promises."""
        axis = self.default_axis in ("last", "all")
        options = {"class_axis": axis, "where": self.where, "gamma": self.focal, "alpha": self.focal}
        return Contract(
            loss=self.loss,
            source=documentation(self.name, "description"),
            forms=(self.form,),
            targets=self.targets,
            options={
                option: documentation(self.name, "axis" if option == "class_axis" else option)
                for option, taken in options.items()
                if taken
            },
            policies={
                policy: Clause(value, None if section is None else documentation(self.name, section))
                for policy, (value, section) in self.policies.items()
            },
            # 'Integers', says optax of labels, and nothing of their dtype.
            label_dtypes=LABEL_DTYPES,
            class_axis="last" if self.default_axis == "fixed" else "any",
        )

    def call(self, case: Case) -> Call:
        """Return a case as an invocation of this function."""
        arguments: dict[str, Any] = {self.prediction: case.prediction}
        if self.target is not None:
            target = case.target
            # JAX would widen the loss to a target of a wider dtype.
            if target is not None and case.target_form is not TargetForm.INDEX:
                target = in_dtype(target, case.prediction.dtype, "target")
            arguments[self.target] = target
        last = case.class_axis == case.prediction.ndim - 1
        if self.default_axis == "all" or (self.default_axis == "last" and not last):
            arguments["axis"] = -1 if last else case.class_axis
        if case.where is not None:
            arguments["where"] = case.where
        if self.focal:
            # Its own default is 2.
            arguments["gamma"] = case.gamma
            if case.alpha is not None:
                arguments["alpha"] = case.alpha
        return Call(self.name, arguments, self.prediction)

    def function(self) -> LossFunction:
        """Return the loss function."""
        return LossFunction(self.name, self.contract(), self.call)


PLUS_INFINITY = {"infinite_logit": ("nan", "Note")}
MEASURED = {"infinite_logit": ("nan", None), "target_sum": ("as_given", None)}

SIGNATURES = (
    Signature(name="jax.nn.softmax", loss=Loss.SOFTMAX, prediction="x", policies=PLUS_INFINITY),
    Signature(name="jax.nn.log_softmax", loss=Loss.LOG_SOFTMAX, prediction="x", policies=PLUS_INFINITY),
    Signature(name="jax.nn.logsumexp", loss=Loss.LOG_SUM_EXP, prediction="a", default_axis="all"),
    Signature(name="jax.nn.log_sigmoid", loss=Loss.LOG_SIGMOID, prediction="x", default_axis="none", where=False),
    Signature(
        name="optax.softmax_cross_entropy",
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction="logits",
        target="labels",
        targets=SOFT,
        policies={"zero_times_infinity": ("nan", None), **MEASURED},
    ),
    Signature(
        name="optax.softmax_cross_entropy_with_integer_labels",
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction="logits",
        target="labels",
        targets=(TargetForm.INDEX,),
        # Only -C to -1 are wrapped; below them it is NaN too. A logit of +inf follows no policy: inf for another
        # label as in the limit, NaN for its own.
        policies={
            "negative_label": ("wrapped", None),
            "label_too_large": ("nan", None),
            "infinite_logit": ("as_difference", None),
        },
    ),
    Signature(
        name="optax.safe_softmax_cross_entropy",
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction="logits",
        target="labels",
        targets=SOFT,
        default_axis="fixed",
        where=False,
        policies={"zero_times_infinity": ("zero", "description"), **MEASURED},
    ),
    Signature(
        name="optax.sigmoid_binary_cross_entropy",
        loss=Loss.BINARY_CROSS_ENTROPY,
        prediction="logits",
        target="labels",
        targets=(TargetForm.BINARY,),
        default_axis="none",
        where=False,
        policies={"class_axis_reduction": ("none", "Returns"), "zero_times_infinity": ("nan", None)},
    ),
    Signature(
        name="optax.sigmoid_focal_loss",
        loss=Loss.FOCAL,
        prediction="logits",
        target="labels",
        targets=(TargetForm.BINARY,),
        default_axis="none",
        where=False,
        focal=True,
        # The text says that labels may be continuous, and p_t of 0 and 1 only.
        policies={"focal_target": ("arithmetic", None), "zero_times_infinity": ("nan", None)},
    ),
    Signature(
        name="optax.losses.kl_divergence",
        loss=Loss.KL_DIVERGENCE,
        prediction="log_predictions",
        target="targets",
        targets=(TargetForm.DISTRIBUTION,),
        form=Form.LOG_PROBABILITIES,
        policies={"class_axis_reduction": ("sum", "Returns"), "zero_times_infinity": ("nan", None)},
    ),
    Signature(
        name="optax.losses.kl_divergence_with_log_targets",
        loss=Loss.KL_DIVERGENCE,
        prediction="log_predictions",
        target="log_targets",
        targets=(TargetForm.LOG_DISTRIBUTION,),
        form=Form.LOG_PROBABILITIES,
        policies={"class_axis_reduction": ("sum", "Returns"), "zero_times_infinity": ("nan", None)},
    ),
)


def framework(target: str = "jax") -> Framework:
    """Return JAX and Optax with their contracts."""
    functions = tuple(signature.function() for signature in SIGNATURES)
    return Framework(target, JaxEngine(libraries=("optax",)), functions, packages=("optax",))


def loss_function(target: Callable[..., Any], **said: Unpack[Statement]) -> Framework:
    """Return a loss of one's own as a target: a callable of arrays that JAX traces and differentiates.

    Args:
        target: a function, a class, or an instance of one.
        said: what is said of it: `like`, the id of a known loss function, or its loss and arguments; see
            `lossconform.adapters.own.Statement`.

    Raises:
        StatementError: something is missing, unknown, or does not go together.
    """
    return bring(target, JaxEngine(), said)
