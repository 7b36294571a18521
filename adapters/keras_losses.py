"""The losses of Keras 3 as classes and as functions: what their documentation promises and how they are asked.

The documentation is one for all backends; what it leaves open may differ between them and is kept by backend.
It does not run them: that is the engine of the backend. No framework is imported here.
"""
# ruff: noqa: D102 - each overrides a method of `Engine`, which says what it does

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Unpack

from lossconform.adapters.base import Answer, Call, Engine, Framework, LossFunction, in_dtype
from lossconform.adapters.contract import LABEL_DTYPES, Clause, Contract, Source
from lossconform.adapters.engine_jax import JaxEngine
from lossconform.adapters.engine_tensorflow import TensorFlowEngine
from lossconform.adapters.engine_torch import TorchEngine
from lossconform.adapters.own import Statement, StatementError, bring
from lossconform.reference.case import Array, Case, Form, Loss, Reduction, TargetForm

VERSION = "3.15.1"
"""The version whose documentation was read."""

PAGE = "https://keras.io/api/losses/probabilistic_losses/"
FLOATX = "float32"

BACKENDS: dict[str, Callable[[], Engine]] = {
    "tensorflow": TensorFlowEngine,
    "jax": JaxEngine,
    # Keras calls what torch.compile cannot trace, so a graph break is Keras's own, not a fault.
    "torch": partial(TorchEngine, fullgraph=False),
}

REDUCTIONS = {
    Reduction.NONE: "none",
    Reduction.SUM: "sum",
    Reduction.MEAN: "sum_over_batch_size",
    Reduction.WEIGHTED_MEAN: "mean_with_sample_weight",
}
"""What Keras calls each reduction; the mean is what it does if it is not told."""


class KerasEngine(Engine):
    """The engine of a backend, with Keras imported. A process has one backend."""

    def __init__(self, name: str) -> None:
        self.backend_name = name
        self.backend = BACKENDS[name]()
        self.modes = self.backend.modes
        self.packages = (*self.backend.packages, "keras")

    def start(self) -> None:
        self.backend.start()
        import keras

        found = keras.backend.backend()
        if found != self.backend_name:
            raise RuntimeError(f"Keras was imported with the backend {found}, not {self.backend_name}")

    def tensor(self, array: Array) -> Any:
        return self.backend.tensor(array)

    def array(self, tensor: Any) -> Array:
        return self.backend.array(tensor)

    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:
        return self.backend.run(call, mode=mode, cotangent=cotangent, gradient=gradient)

    def imports(self) -> list[str]:
        return [*self.backend.imports(), "import keras"]

    def name(self, dotted: str) -> str:
        return self.backend.name(dotted)

    def tensor_source(self, array: Array) -> str:
        return self.backend.tensor_source(array)

    def run_source(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> list[str]:
        return self.backend.run_source(call, mode=mode, cotangent=cotangent, gradient=gradient)


def tensors(case: Case) -> dict[str, Any]:
    """Return target and prediction by the names that Keras has for them, soft targets in the prediction's dtype."""
    target = case.target
    if target is not None and case.target_form is not TargetForm.INDEX:
        target = in_dtype(target, case.prediction.dtype, "target")
    return {"y_true": target, "y_pred": case.prediction}


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One loss of Keras, as a class and as a function: its arguments and what its documentation says.

    Attributes:
        class_name: the class.
        function_name: the function.
        loss: what it computes.
        targets: the targets that its documentation names.
        logits: whether it takes from_logits.
        options: each option of a case with the argument that it becomes.
        axis: whether it takes the class axis.
        policies: each policy with its value and the section that states it; None where that is measured.
        class_policies: the same, of the class alone.
        measured: by backend, each policy that the documentation leaves open, with what was measured.
    """

    class_name: str
    function_name: str
    loss: Loss
    targets: tuple[TargetForm, ...]
    logits: bool = True
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    axis: bool = True
    policies: Mapping[str, tuple[str, str | None]] = field(default_factory=lambda: MappingProxyType({}))
    class_policies: Mapping[str, tuple[str, str | None]] = field(default_factory=lambda: MappingProxyType({}))
    measured: Mapping[str, Mapping[str, Clause]] = field(default_factory=lambda: MappingProxyType({}))

    def functions(self, backend: str) -> tuple[LossFunction, LossFunction]:
        """Return the class and the function as loss functions of a backend."""
        whole = LossFunction(f"keras.losses.{self.class_name}", self.contract(backend, True), self.class_call)
        name = f"keras.losses.{self.function_name}"
        return whole, LossFunction(name, self.contract(backend, False), self.function_call, form_of=whole.id)

    def contract(self, backend: str, as_class: bool) -> Contract:
        """Return what the documentation of the class or the function promises."""
        name = self.class_name if as_class else self.function_name

        def source(section: str) -> Source:
            return Source(f"keras.losses.{name}", VERSION, section, PAGE)

        options = {option: source(argument) for option, argument in self.options.items()}
        if self.axis:
            options["class_axis"] = source("axis")
        if as_class:
            options["sample_weight"] = source("reduction")
        policies = {**self.policies, **(self.class_policies if as_class else {})}
        clauses = {p: Clause(value, None if at is None else source(at)) for p, (value, at) in policies.items()}
        clauses |= self.measured.get(backend, {})
        return Contract(
            loss=self.loss,
            source=source("description"),
            forms=(Form.LOGITS, Form.PROBABILITIES) if self.logits else (Form.PROBABILITIES,),
            targets=self.targets,
            reductions=tuple(REDUCTIONS) if as_class else (Reduction.NONE,),
            options=options,
            policies=clauses,
            # 'We expect labels to be provided as integers': no dtype is named.
            label_dtypes=LABEL_DTYPES,
            class_axis="any" if self.axis else "last",
        )

    def settings(self, case: Case) -> dict[str, Any]:
        """Return the arguments that are not tensors and not at their default."""
        settings: dict[str, Any] = {}
        if case.form is Form.LOGITS:
            settings["from_logits"] = True
        if case.label_smoothing:
            settings["label_smoothing"] = case.label_smoothing
        if case.loss is Loss.FOCAL:
            # Its own default is 2; without apply_class_balancing alpha counts for nothing.
            settings["gamma"] = case.gamma
        if case.alpha is not None:
            settings |= {"apply_class_balancing": True, "alpha": case.alpha}
        if case.ignore_index is not None:
            settings["ignore_class"] = case.ignore_index
        if case.class_axis != case.prediction.ndim - 1:
            settings["axis"] = case.class_axis
        return settings

    def class_call(self, case: Case) -> Call:
        """Return a case as an invocation of the class."""
        settings = self.settings(case)
        if case.reduction is not Reduction.MEAN:
            settings["reduction"] = REDUCTIONS[case.reduction]
        # Without it Keras casts everything to float32, the targets included.
        if case.dtype != FLOATX:
            settings["dtype"] = case.dtype
        arguments = tensors(case)
        if case.sample_weight is not None:
            arguments["sample_weight"] = in_dtype(case.sample_weight, case.prediction.dtype, "sample_weight")
        return Call(f"keras.losses.{self.class_name}", arguments, "y_pred", init=settings)

    def function_call(self, case: Case) -> Call:
        """Return a case as an invocation of the function."""
        return Call(f"keras.losses.{self.function_name}", {**tensors(case), **self.settings(case)}, "y_pred")


SOFT = (TargetForm.ONE_HOT, TargetForm.DISTRIBUTION)
MEAN = {"mean_denominator": ("elements", "reduction"), "zero_denominator": ("zero", None)}
RANGE = {"probability_range": ("clipped_in_dtype", None)}
PROBABILITIES = {**RANGE, "probability_sum": ("renormalised", None)}

SIGNATURES = (
    Signature(
        class_name="CategoricalCrossentropy",
        function_name="categorical_crossentropy",
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        targets=SOFT,
        options={"label_smoothing": "label_smoothing"},
        policies={
            "smoothing": ("all_classes", "label_smoothing"),
            "infinite_logit": ("nan", None),
            "zero_times_infinity": ("nan", None),
            **PROBABILITIES,
        },
        class_policies=MEAN,
        measured={
            "tensorflow": {
                "target_sum": Clause("assumed_one"),
                "zero_times_infinity": Clause("nan", modes={"xla": "zero"}),
            },
            "jax": {"target_sum": Clause("as_given")},
            "torch": {"target_sum": Clause("as_given")},
        },
    ),
    Signature(
        class_name="SparseCategoricalCrossentropy",
        function_name="sparse_categorical_crossentropy",
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        targets=(TargetForm.INDEX,),
        options={"ignore_index": "ignore_class"},
        policies={"ignored_nonfinite": ("excluded", None), "infinite_logit": ("nan", None), **PROBABILITIES},
        # The documentation says the sample size, not whether ignored labels belong to it.
        class_policies={**MEAN, "mean_denominator": ("kept", None)},
        measured={
            "tensorflow": {
                "negative_label": Clause("refused", modes={"xla": "nan"}),
                "label_too_large": Clause("refused", modes={"xla": "nan"}),
                "probability_sum": Clause("renormalised_last"),
            },
            "jax": {"negative_label": Clause("zero"), "label_too_large": Clause("zero")},
            # All but -100, which PyTorch ignores unasked.
            "torch": {"negative_label": Clause("refused"), "label_too_large": Clause("refused")},
        },
    ),
    Signature(
        class_name="BinaryCrossentropy",
        function_name="binary_crossentropy",
        loss=Loss.BINARY_CROSS_ENTROPY,
        targets=(TargetForm.BINARY,),
        options={"label_smoothing": "label_smoothing"},
        policies={
            "class_axis_reduction": ("mean", "axis"),
            "zero_times_infinity": ("nan", None),
            **RANGE,
        },
        class_policies=MEAN,
        measured={"torch": {"probability_range": Clause("clipped_and_log_clamped")}},
    ),
    Signature(
        class_name="BinaryFocalCrossentropy",
        function_name="binary_focal_crossentropy",
        loss=Loss.FOCAL,
        targets=(TargetForm.BINARY,),
        options={"label_smoothing": "label_smoothing", "gamma": "gamma", "alpha": "alpha"},
        policies={
            "class_axis_reduction": ("mean", "axis"),
            "focal_target": ("arithmetic", None),
            "focal_range": ("as_given", None),
            "zero_times_infinity": ("nan", None),
            **RANGE,
        },
        class_policies=MEAN,
        measured={"torch": {"probability_range": Clause("clipped_and_log_clamped")}},
    ),
    Signature(
        class_name="KLDivergence",
        function_name="kl_divergence",
        loss=Loss.KL_DIVERGENCE,
        targets=(TargetForm.DISTRIBUTION,),
        logits=False,
        axis=False,
        # The text says clipped to [0, 1]; the example of the function, and the code, to [1e-7, 1].
        policies={
            "class_axis_reduction": ("sum", "Example"),
            "probability_range": ("clipped_in_dtype", "Example"),
            "target_range": ("clipped_in_dtype", "Example"),
        },
        class_policies={
            **MEAN,
            "class_axis_reduction": ("sum", None),
            "probability_range": ("clipped_in_dtype", None),
            "target_range": ("clipped_in_dtype", None),
        },
    ),
)


def framework(target: str) -> Framework:
    """Return Keras on one backend with its contracts: 'keras-tensorflow', 'keras-jax' or 'keras-torch'."""
    backend = target.removeprefix("keras-")
    functions = tuple(f for signature in SIGNATURES for f in signature.functions(backend))
    return Framework(target, KerasEngine(backend), functions, environment={"KERAS_BACKEND": backend})


def loss_function(target: Callable[..., Any], *, backend: str | None = None, **said: Unpack[Statement]) -> Framework:
    """Return a loss of one's own as a target: a Keras loss, on one backend.

    Args:
        target: a function, a subclass of keras.losses.Loss, or an instance of one.
        said: what is said of it: `like`, the id of a known loss function, or its loss and arguments; see
            `lossconform.adapters.own.Statement`.

        backend: 'tensorflow', 'jax' or 'torch'; by default the one that Keras uses in this process.

    Raises:
        StatementError: something is missing, unknown, or does not go together.
    """
    if backend is None:
        import keras

        backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise StatementError(f"backend: {backend!r}; expected one of {', '.join(BACKENDS)}")
    if not isinstance(target, type) and isinstance(getattr(target, "dtype", None), str):
        # An instance computes in the dtype that it was made with.
        said.setdefault("dtypes", (target.dtype,))  # type: ignore[attr-defined]
    return bring(target, KerasEngine(backend), said, environment={"KERAS_BACKEND": backend})
