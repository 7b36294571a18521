"""Losses that a user brings along: what is said of them, how they are asked and identified."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from own_losses import STATED, Smoothed, index_case, plain, told, weighted_mean

from lossconform.adapters import ready
from lossconform.adapters.base import Refusal, Unsupported
from lossconform.adapters.numpy_losses import loss_function
from lossconform.adapters.own import StatementError
from lossconform.checks import CHECKS
from lossconform.examine import examine
from lossconform.identify import identified
from lossconform.plan import questions
from lossconform.profiles import PROFILES
from lossconform.reference.case import Array, Loss, Reduction
from lossconform.reference.grades import Grade

WRONG = {
    "loss": (told(loss="hinge"), "loss: 'hinge'; expected some of log_sum_exp"),
    "nothing": ({}, "say like="),
    "targets": ({"loss": "softmax_cross_entropy"}, "targets= is missing"),
    "target": (told(targets=["labels"]), "targets: 'labels'; expected some of none, index"),
    "string": (told(targets="index"), r"expected a list, such as \['index'\]"),
    "option": (told(options=["delta"]), "options: 'delta'; expected some of alpha"),
    "argument": (told(arguments={"input": "x"}), "arguments: 'input'; expected some of prediction"),
    "policy": (told(policies={"mean": "rows"}), "policies: 'mean'; expected some of mean_denominator"),
    "value": (told(policies={"mean_denominator": "n"}), "policies: mean_denominator: 'n'; expected some of elements"),
    "dtype": (told(dtypes=["float8"]), "dtypes: 'float8'"),
    "label dtype": (told(label_dtypes=["int4"]), "label_dtypes: 'int4'; expected some of int64, int32"),
    "bar": (told(bar="exact"), "bar: 'exact'; expected some of correctly rounded, faithful"),
    "axis": (told(class_axis="first"), "class_axis: 'first'; expected some of last, second, any, rows"),
    "key": (told(reduction="mean"), "reduction: expected name, like"),
    "like": ({"like": "torch.cross_entropy"}, "like='torch.cross_entropy' is no known loss function"),
    "both": ({"like": "torch.nn.functional.cross_entropy", "loss": "softmax"}, "loss is said by like="),
    "class": ({"like": "torch.nn.CrossEntropyLoss", "forms": ["probabilities"], "options": ["gamma"]}, "options: 'g"),
}


@pytest.mark.parametrize(("said", "complaint"), WRONG.values(), ids=WRONG)
def test_says_what_is_wrong_with_what_is_said(said: Any, complaint: str) -> None:
    with pytest.raises(StatementError, match=complaint):
        loss_function(plain, **said)


def test_something_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(StatementError, match="3 cannot be called"):
        loss_function(3, **STATED)  # type: ignore[arg-type]


def test_like_takes_over_signature_and_contract() -> None:
    brought = loss_function(
        plain, like="torch.nn.functional.cross_entropy", targets=["index"], options=["class_weight"]
    )
    (function,) = brought.functions
    assert function.contract.loss is Loss.SOFTMAX_CROSS_ENTROPY
    assert list(function.contract.options) == ["class_weight"]
    assert function.contract.policy().mean_denominator == "weights"
    call = function.invocation(index_case())
    assert call.own is plain
    assert list(call.arguments) == ["input", "target", "reduction"]
    with pytest.raises(Unsupported, match="ignore_index"):
        function.invocation(index_case().replace(ignore_index=1))


def test_what_is_documented_or_stated_is_not_open() -> None:
    (function,) = loss_function(
        plain, like="torch.nn.functional.cross_entropy", policies={"zero_denominator": "zero"}
    ).functions
    assert "mean_denominator" not in function.open
    assert "zero_denominator" not in function.open
    assert "negative_label" in function.open


@pytest.mark.parametrize("said", [STATED, {"like": "torch.nn.functional.cross_entropy"}], ids=["stated", "like"])
def test_a_better_grade_than_asked_for_may_be_promised(said: Any) -> None:
    (function,) = loss_function(plain, **said, bar="faithful").functions
    assert function.contract.bar is Grade.FAITHFUL
    (function,) = loss_function(plain, **said).functions
    assert function.contract.bar is None


def test_labels_are_passed_in_the_dtypes_that_are_taken() -> None:
    narrow = index_case().replace(target=np.array([1], np.int8))
    with pytest.raises(Unsupported, match="labels of dtype int8, only int64"):
        loss_function(plain, **STATED).functions[0].invocation(narrow)
    (function,) = loss_function(plain, **told(label_dtypes=["int64", "int8"])).functions
    assert function.invocation(narrow).arguments["y"].dtype == np.int8
    assert CHECKS["label-dtypes"].applies(function.contract)


def test_an_instance_keeps_what_it_was_made_with() -> None:
    brought = loss_function(Smoothed(), like="torch.nn.CrossEntropyLoss", targets=["index"])
    (function,) = brought.functions
    assert function.contract.reductions == (Reduction.MEAN,)
    assert not function.contract.options
    assert function.invocation(index_case().replace(reduction=Reduction.MEAN)).init is None


def test_a_class_is_made_with_its_options() -> None:
    brought = loss_function(Smoothed, **told(options=["ignore_index"]))
    call = brought.functions[0].invocation(index_case().replace(ignore_index=0))
    assert call.init == {"ignore_index": 0}
    answer = ready(brought).ask(brought.functions[0], index_case().replace(ignore_index=0), mode="call", gradient=False)
    assert not isinstance(answer, Refusal)
    assert answer.value.tolist() == [0.0]


def test_a_snippet_imports_what_was_brought() -> None:
    brought = loss_function(plain, **STATED)
    snippet = brought.snippet(brought.functions[0], index_case(), mode="call", gradient=True)
    assert f"import {plain.__module__}" in snippet
    assert "not importable" in loss_function(lambda x, y: plain(x, y), **STATED).snippet(
        loss_function(lambda x, y: plain(x, y), **STATED).functions[0], index_case(), mode="call", gradient=True
    )


def test_open_policies_are_identified() -> None:
    brought = loss_function(
        weighted_mean,
        **told(
            options=["class_weight"],
            reductions=["none", "mean"],
            arguments={**STATED["arguments"], "class_weight": "weight"},
        ),
    )
    function = identified(ready(brought), brought.functions[0], PROFILES["smoke"])
    assert function.contract.policy().mean_denominator == "elements"
    # NumPy's own indexing: labels from the end are labels, and those beyond it raise.
    assert function.contract.policy().negative_label == "wrapped"
    assert function.contract.policy().label_too_large == "refused"


def test_an_argument_changed_in_place_is_shown_by_the_program() -> None:
    def clearing(x: Array, y: Array) -> tuple[Array, Array]:
        answer = plain(x, y)
        y[:] = 0
        return answer

    brought = ready(loss_function(clearing, **STATED))
    question = next(
        q for q in questions(brought, PROFILES["smoke"]) if q.id.startswith("gradient") and q.dtype == "float32"
    )
    record = examine(brought, question, [])
    assert "changed its argument y in place" in record.message
    assert record.witness is not None
    assert 'print("afterwards y", y.tolist())' in record.witness.snippet
