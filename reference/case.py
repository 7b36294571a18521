"""A case: one question to a loss function. It holds NumPy arrays and knows no framework.

It is not the answer (`lossconform.reference.exact`) and not how a framework is asked (`lossconform.adapters`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossconform.reference.formats import FORMATS, Format, format_of

Array = NDArray[Any]


class Loss(StrEnum):
    """What is computed."""

    LOG_SUM_EXP = "log_sum_exp"
    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log_softmax"
    LOG_SIGMOID = "log_sigmoid"
    ENTROPY = "entropy"
    SOFTMAX_CROSS_ENTROPY = "softmax_cross_entropy"
    BINARY_CROSS_ENTROPY = "binary_cross_entropy"
    FOCAL = "focal"
    KL_DIVERGENCE = "kl_divergence"


class Form(StrEnum):
    """What the prediction is."""

    LOGITS = "logits"
    LOG_PROBABILITIES = "log_probabilities"
    PROBABILITIES = "probabilities"


class TargetForm(StrEnum):
    """What the target is."""

    NONE = "none"
    INDEX = "index"
    ONE_HOT = "one_hot"
    DISTRIBUTION = "distribution"
    BINARY = "binary"
    LOG_DISTRIBUTION = "log_distribution"


class Reduction(StrEnum):
    """What is asked for. What the plain mean divides by is a policy; the others say it by their name."""

    NONE = "none"
    SUM = "sum"
    MEAN = "mean"
    BATCH_MEAN = "batch_mean"
    WEIGHTED_MEAN = "weighted_mean"


FUNCTIONS = frozenset({Loss.LOG_SUM_EXP, Loss.SOFTMAX, Loss.LOG_SOFTMAX, Loss.LOG_SIGMOID, Loss.ENTROPY})
"""Losses without a target."""

BINARY = frozenset({Loss.BINARY_CROSS_ENTROPY, Loss.FOCAL})
"""Losses of a target in [0, 1] for each element, with a positive and a negative term."""

ELEMENTWISE = BINARY | {Loss.KL_DIVERGENCE}
"""Losses with one term an element, before the class axis is reduced."""

ARRAYS = ("prediction", "target", "class_weight", "pos_weight", "sample_weight", "where", "cotangent", "direction")
ENUMS: dict[str, type[StrEnum]] = {"loss": Loss, "form": Form, "target_form": TargetForm, "reduction": Reduction}


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """One question: a loss, a prediction, a target, options and a reduction. Immutable.

    An option may mean nothing for the loss: that is for a loss function, and for `canonical`, to refuse.

    Attributes:
        loss: what is computed.
        prediction: logits, log-probabilities or probabilities, of any shape with one class axis;
            float64, float32, float16 or ml_dtypes.bfloat16. NaN and infinities are data.
        form: what the prediction is.
        target: class indices (the prediction's shape without the class axis, integer) or an array of the
            prediction's shape. None for functions without a target.
        target_form: what the target is.
        class_axis: the axis of the classes, counted from the front.
        class_weight: a nonnegative weight for each class, shape (C,).
        pos_weight: the weight of the positive term of a binary loss, shape (C,).
        sample_weight: a nonnegative weight for each row: the prediction's shape without the class axis.
        ignore_index: rows with this label count for nothing.
        where: boolean, the prediction's shape: classes that are False take no part. They have probability 0, so a
            target on one makes a softmax cross-entropy infinite; in a KL divergence they are left out of the sum.
        label_smoothing: in [0, 1].
        gamma: of a focal loss, the exponent of (1 - p_t), finite and nonnegative; 0 is binary cross-entropy.
        alpha: of a focal loss, the weight of target 1 in [0, 1], where target 0 has 1 - alpha; None for no weights.
        reduction: over everything but the class axis.
        cotangent: the upstream gradient, in the shape of the loss function's value; None is all ones.
        direction: what the Hessian is multiplied by, finite, in the prediction's shape; None asks for no second
            derivatives.
    """

    loss: Loss
    prediction: Array
    form: Form = Form.LOGITS
    target: Array | None = None
    target_form: TargetForm = TargetForm.NONE
    class_axis: int = 1
    class_weight: Array | None = None
    pos_weight: Array | None = None
    sample_weight: Array | None = None
    ignore_index: int | None = None
    where: Array | None = None
    label_smoothing: float = 0.0
    gamma: float = 0.0
    alpha: float | None = None
    reduction: Reduction = Reduction.NONE
    cotangent: Array | None = None
    direction: Array | None = None

    def __post_init__(self) -> None:
        for name, kind in ENUMS.items():
            object.__setattr__(self, name, _member(name, kind, getattr(self, name)))
        for name in ARRAYS:
            array = getattr(self, name)
            if array is not None:
                array = np.array(array, copy=True)
                array.setflags(write=False)
                object.__setattr__(self, name, array)
        validate(self)

    @property
    def format(self) -> Format:
        """The format of the prediction, which is that of the answer too."""
        return format_of(self.prediction.dtype)

    @property
    def dtype(self) -> str:
        """The name of the prediction's dtype."""
        return self.format.name

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.prediction.shape[self.class_axis])

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The prediction's shape without the class axis."""
        shape = self.prediction.shape
        return shape[: self.class_axis] + shape[self.class_axis + 1 :]

    @property
    def fingerprint(self) -> bytes:
        """A digest (BLAKE2b, 16 bytes) of everything that is asked, bit for bit: equal for cases that are the same."""
        digest = blake2b(digest_size=16)
        for name in FIELDS:
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                digest.update(f"{name} {value.dtype} {value.shape} ".encode())
                digest.update(value.tobytes())
            else:
                digest.update(f"{name} {value!r} ".encode())
        return digest.digest()

    def replace(self, **changes: Any) -> Case:
        """Return the same case with some fields changed."""
        return dataclasses.replace(self, **changes)


FIELDS = tuple(field.name for field in dataclasses.fields(Case))
"""The names of everything that a case is made of."""


def rows(case: Case, array: Array) -> Array:
    """Bring an array of the prediction's shape into shape (rows, classes)."""
    return np.moveaxis(array, case.class_axis, -1).reshape(-1, case.classes)


def unrows(case: Case, array: Array) -> Array:
    """Undo `rows`."""
    shape = (*case.batch_shape, case.classes)
    return np.moveaxis(array.reshape(shape), -1, case.class_axis)


def _member(argument: str, kind: type[StrEnum], value: str) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        raise _fail(argument, repr(value), f"one of {', '.join(kind)}") from None


def _fail(argument: str, found: str, expected: str) -> ValueError:
    return ValueError(f"{argument}: {found}; expected {expected}")


def validate(case: Case) -> None:
    """Raise ValueError or TypeError, naming the argument, unless the case is well formed.

    Labels outside the range are not looked at here: what they do is a policy.
    """
    prediction = case.prediction
    try:
        format_of(prediction.dtype)
    except TypeError as error:
        known = ", ".join(FORMATS)
        raise TypeError(f"prediction: dtype {prediction.dtype}; expected one of {known}") from error
    if prediction.ndim < 1:
        raise _fail("prediction", "no axes", "at least the class axis")
    if not 0 <= case.class_axis < prediction.ndim:
        raise _fail("class_axis", str(case.class_axis), f"0 to {prediction.ndim - 1} for shape {prediction.shape}")
    if case.classes == 0:
        raise _fail("prediction", f"shape {prediction.shape} has no classes", "at least one class")
    if not 0 <= case.label_smoothing <= 1:
        raise _fail("label_smoothing", repr(case.label_smoothing), "a number in [0, 1]")
    if not 0 <= case.gamma < float("inf"):
        raise _fail("gamma", repr(case.gamma), "a finite number of at least 0")
    if case.alpha is not None and not 0 <= case.alpha <= 1:
        raise _fail("alpha", repr(case.alpha), "None or a number in [0, 1]")
    _validate_target(case)
    for name, shape in (
        ("class_weight", (case.classes,)),
        ("pos_weight", (case.classes,)),
        ("sample_weight", case.batch_shape),
    ):
        _validate_weight(name, getattr(case, name), shape)
    where = case.where
    if where is not None and (where.dtype != np.bool_ or where.shape != prediction.shape):
        raise _fail("where", f"{where.dtype} of shape {where.shape}", f"bool of shape {prediction.shape}")
    if case.cotangent is not None and not np.isfinite(case.cotangent.astype(np.float64)).all():
        raise _fail("cotangent", "NaN or infinity", "finite numbers")
    direction = case.direction
    if direction is not None and direction.shape != prediction.shape:
        raise _fail("direction", f"shape {direction.shape}", f"{prediction.shape}, that of the prediction")
    if direction is not None and not np.isfinite(direction.astype(np.float64)).all():
        raise _fail("direction", "NaN or infinity", "finite numbers")


def _validate_target(case: Case) -> None:
    target, form = case.target, case.target_form
    if case.loss in FUNCTIONS:
        if target is not None or form is not TargetForm.NONE:
            raise _fail("target", f"given for {case.loss}", "no target")
        return
    if target is None:
        raise _fail("target", "none", f"a target of form {form}")
    index = form is TargetForm.INDEX
    for form_of_some, losses in (
        (TargetForm.BINARY, BINARY),
        (TargetForm.LOG_DISTRIBUTION, frozenset({Loss.KL_DIVERGENCE})),
    ):
        if form is form_of_some and case.loss not in losses:
            raise _fail("target_form", f"{form} for {case.loss}", f"{' or '.join(sorted(losses))} with that form")
    if case.loss is Loss.FOCAL and form is not TargetForm.BINARY:
        raise _fail("target_form", f"{form} for {case.loss}", "binary")
    if form is TargetForm.NONE:
        raise _fail("target_form", "none, and a target is given", "the form of the target")
    expected = case.batch_shape if index else case.prediction.shape
    if target.shape != expected:
        raise _fail("target", f"shape {target.shape}", f"{expected} for the form {form}")
    if index:
        if target.dtype.kind not in "iu":
            raise TypeError(f"target: dtype {target.dtype}; expected integers for the form index")
        return
    values = target.astype(np.float64)
    if form is TargetForm.LOG_DISTRIBUTION:
        if np.isnan(values).any() or (values == np.inf).any():
            raise _fail("target", "NaN or inf", "logarithms of probabilities, finite or -inf")
    elif not np.isfinite(values).all() or (values < 0).any():
        raise _fail("target", "a negative value, NaN or infinity", "finite, nonnegative values")
    if form is TargetForm.BINARY and (values > 1).any():
        raise _fail("target", f"{values.max()}", "values in [0, 1]")


def _validate_weight(name: str, weight: Array | None, shape: tuple[int, ...]) -> None:
    if weight is None:
        return
    if weight.shape != shape:
        raise _fail(name, f"shape {weight.shape}", str(shape))
    values = weight.astype(np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise _fail(name, "a negative value, NaN or infinity", "finite, nonnegative weights")
