"""How many of the same faults published tests of losses notice.

Run: KERAS_BACKEND=torch python benchmarks/published_tests.py. Needs the wheels of onnx, and of keras with torch; the
published tests come with them. Each fault of the miniatures stands in for the loss under test, and a test that fails
notices it. Only faults that a suite's own arguments can reach are counted for it: those of losses, forms of prediction
and targets that it has tests of. A correct loss in the same place must pass all of a suite's tests; those it does not
pass are left out and named. The suites: ONNX's node tests (values within 1e-3 relative) and Keras's losses_test.py.
What lossconform notices of the same faults says `lossconform selftest --kill`.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import unittest
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from lossconform.adapters.miniatures.catalogue import CLASSES
from lossconform.adapters.miniatures.fault import Fault
from lossconform.adapters.miniatures.faulty import FAULTS
from lossconform.reference.case import Form, Loss, TargetForm

Miniature = Callable[..., Any]
Test = Callable[[Callable[[Loss], Miniature]], bool]
"""Given what stands in for each loss, whether the test passes."""

CE = Loss.SOFTMAX_CROSS_ENTROPY
SOFT = frozenset({TargetForm.ONE_HOT, TargetForm.DISTRIBUTION})
INDEX = frozenset({TargetForm.INDEX})
Reach = tuple[Loss, frozenset[Form], frozenset[TargetForm]]


def reaches(fault: Fault, reach: Iterable[Reach], beyond: frozenset[str]) -> bool:
    """Return whether a suite has tests of the loss, form, targets and options that a fault is in."""
    contract = fault.function().contract
    return not set(fault.checks) <= beyond and any(
        contract.loss is loss and forms & set(contract.forms) and (targets & set(contract.targets) or not targets)
        for loss, forms, targets in reach
    )


def onnx_tests() -> dict[str, Test]:
    """Return ONNX's node tests of softmax and its losses."""
    from onnx import helper
    from onnx.backend.test.case.node import collect_testcases

    kinds = {"SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss", "Softmax", "LogSoftmax"}
    found: dict[str, Test] = {}
    for case in collect_testcases(""):
        (node, *more) = case.model.graph.node
        if more or node.op_type not in kinds:
            continue
        options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        found[case.name] = _onnx_test(node.op_type, options, case)
    return found


def _onnx_test(kind: str, options: dict[str, Any], case: Any) -> Test:
    def passes(put: Callable[[Loss], Miniature]) -> bool:
        for inputs, outputs in case.data_sets:
            if kind in ("Softmax", "LogSoftmax"):
                loss = Loss.SOFTMAX if kind == "Softmax" else Loss.LOG_SOFTMAX
                value, _ = put(loss)(inputs[0], axis=options.get("axis", -1))
            else:
                value, _ = put(CE)(
                    inputs[0],
                    np.asarray(inputs[1], np.int64),
                    class_weight=inputs[2] if len(inputs) > 2 else None,
                    form="logits" if kind == "SoftmaxCrossEntropyLoss" else "log_probabilities",
                    target_form="index",
                    axis=1,
                    ignore_index=options.get("ignore_index"),
                    reduction=options.get("reduction", b"mean").decode(),
                )
            if value.shape != outputs[0].shape or not np.allclose(value, outputs[0], rtol=case.rtol, atol=case.atol):
                return False
        return True

    return passes


ONNX_REACH: tuple[Reach, ...] = (
    (CE, frozenset({Form.LOGITS, Form.LOG_PROBABILITIES}), INDEX),
    (Loss.SOFTMAX, frozenset({Form.LOGITS}), frozenset()),
    (Loss.LOG_SOFTMAX, frozenset({Form.LOGITS}), frozenset()),
)
ONNX_BEYOND = frozenset(
    {"ignore-where", "label-smoothing", "smoothing-share", "smoothing-weight", "sample-weight", "probability-range"}
    | {"probability-sum", "unnormalised-target", "options-together", "empty-batch", "label-dtypes"}
)
"""The checks of what ONNX's operators do not have: their labels are int32 or int64."""

ONNX_POLICIES = {"mean_denominator": "weights"}


def keras_tests() -> dict[str, Test]:
    """Return the tests of Keras's cross-entropies, its binary focal loss and its divergence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("keras.src.losses.losses_test")
    cases = [getattr(module, f"{name}Test") for name in KERAS_CLASSES]
    tests = [test for case in cases for test in unittest.defaultTestLoader.loadTestsFromTestCase(case)]
    return {test.id().removeprefix("keras.src.losses.losses_test."): _keras_test(test) for test in tests}


def _keras_test(test: unittest.TestCase) -> Test:
    def passes(put: Callable[[Loss], Miniature]) -> bool:
        losses = importlib.import_module("keras.src.losses.losses")
        own = {name: getattr(losses, name) for name in KERAS_FUNCTIONS}
        for name, (loss, target_form) in KERAS_FUNCTIONS.items():
            setattr(losses, name, _as_keras(put(loss), target_form))
        result = unittest.TestResult()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                type(test)(test._testMethodName).run(result)
        finally:
            for name, function in own.items():
                setattr(losses, name, function)
        return result.wasSuccessful()

    return passes


def _as_keras(miniature: Miniature, target_form: str) -> Callable[..., Any]:
    """Return a miniature as one of Keras's functions."""
    from keras import ops
    from keras.src import backend

    def function(
        y_true: Any,
        y_pred: Any,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        ignore_class: int | None = None,
        **focal: Any,
    ) -> Any:
        p = np.array(ops.convert_to_numpy(y_pred))
        t = np.array(ops.convert_to_numpy(y_true))
        if target_form == "index":
            t = t.astype(np.int64)
            t = t[..., 0] if t.ndim == p.ndim and t.shape[-1] == 1 else t
        value, _ = miniature(
            p,
            t if target_form == "index" else t.astype(p.dtype),
            form="logits" if from_logits else "probabilities",
            target_form=target_form,
            axis=axis,
            label_smoothing=label_smoothing,
            ignore_index=ignore_class,
            **_focal(focal),
        )
        answer = ops.convert_to_tensor(value)
        if ignore_class is not None:
            backend.set_keras_mask(answer, mask=ops.convert_to_tensor(t != ignore_class))
        return answer

    return function


def _focal(arguments: dict[str, Any]) -> dict[str, float | None]:
    if not arguments:
        return {}
    balanced = arguments["apply_class_balancing"]
    return {"gamma": arguments["gamma"], "alpha": arguments["alpha"] if balanced else None}


KERAS_CLASSES = (
    "CategoricalCrossentropy",
    "SparseCategoricalCrossentropy",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "KLDivergence",
)
KERAS_FUNCTIONS = {
    "categorical_crossentropy": (CE, "distribution"),
    "sparse_categorical_crossentropy": (CE, "index"),
    "binary_crossentropy": (Loss.BINARY_CROSS_ENTROPY, "binary"),
    "binary_focal_crossentropy": (Loss.FOCAL, "binary"),
    "kl_divergence": (Loss.KL_DIVERGENCE, "distribution"),
}
BOTH = frozenset({Form.LOGITS, Form.PROBABILITIES})
KERAS_REACH: tuple[Reach, ...] = (
    (CE, BOTH, SOFT | INDEX),
    (Loss.BINARY_CROSS_ENTROPY, BOTH, frozenset({TargetForm.BINARY})),
    (Loss.FOCAL, BOTH, frozenset({TargetForm.BINARY})),
    (Loss.KL_DIVERGENCE, frozenset({Form.PROBABILITIES}), SOFT),
)
KERAS_BEYOND = frozenset(
    {"reduction", "mean-denominator", "all-ignored", "empty-batch", "class-weight", "pos-weight", "sample-weight"}
    | {"ignore-where", "smoothing-weight", "options-together", "many-rows"}
)
"""The checks of what is not the functions' but that of the class around them, or not in Keras."""

KERAS_POLICIES = {
    "class_axis_reduction": "mean",
    "probability_range": "clipped_in_dtype",
    "probability_sum": "renormalised",
    "target_range": "clipped",
}


def standing_in(fault: Fault | None, policies: dict[str, str]) -> Callable[[Loss], Miniature]:
    """Return what stands in for each loss: the correct miniature, or the fault where it is one of that loss."""

    def put(loss: Loss) -> Miniature:
        # What a sum over classes is depends on the loss: only elementwise losses leave it open.
        own = {**policies, **({"class_axis_reduction": "sum"} if loss is Loss.KL_DIVERGENCE else {})}
        if fault is not None and fault.loss is loss:
            return dataclasses.replace(fault, policies={**own, **fault.policies}).build()
        return CLASSES[loss](**own)

    return put


def failing(tests: dict[str, Test], put: Callable[[Loss], Miniature]) -> Iterator[str]:
    """Return the tests that fail, one by one; an exception fails a test."""
    for name, test in tests.items():
        try:
            fine = test(put)
        except Exception:
            fine = False
        if not fine:
            yield name


def compare(
    name: str, tests: dict[str, Test], reach: tuple[Reach, ...], beyond: frozenset[str], policies: dict[str, str]
) -> None:
    """Print how many of the faults that a suite can reach it notices."""
    broken = list(failing(tests, standing_in(None, policies)))
    kept = {test: passes for test, passes in tests.items() if test not in broken}
    faults = [fault for fault in FAULTS.values() if reaches(fault, reach, beyond)]
    missed = [fault for fault in faults if next(failing(kept, standing_in(fault, policies)), None) is None]
    print(f"{name}: {len(kept)} of {len(tests)} tests that a correct loss passes")
    if broken:
        print(f"  left out: {', '.join(broken)}")
    print(f"  {len(faults) - len(missed)} of {len(faults)} faults noticed")
    unseen = [fault for fault in faults if set(fault.checks) <= {"gradient"}]
    seen = [fault for fault in faults if fault not in unseen]
    print(f"  of the {len(seen)} that show in a value: {sum(fault not in missed for fault in seen)}")
    for fault in missed:
        print(f"    missed  {fault.id}: {fault.wrong}")
    sys.stdout.flush()


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare("ONNX node tests", onnx_tests(), ONNX_REACH, ONNX_BEYOND, ONNX_POLICIES)
    compare("Keras losses_test.py", keras_tests(), KERAS_REACH, KERAS_BEYOND, KERAS_POLICIES)
