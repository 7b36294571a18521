"""Losses that a user brings along: what is said of them, how they are asked, identified and tested."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossconform
from lossconform.adapters import TargetError, describe, ready, targets_of
from lossconform.adapters.base import Framework, Refusal, Unsupported
from lossconform.adapters.command import loss_function as command_loss
from lossconform.adapters.numpy_losses import loss_function
from lossconform.adapters.own import StatementError
from lossconform.cli import main
from lossconform.examine import examine
from lossconform.identify import identified
from lossconform.plan import questions
from lossconform.profiles import PROFILES
from lossconform.reference.case import Array, Case, Loss, Reduction, TargetForm
from lossconform.reports.runfile import read as read_run
from lossconform.smoke import lines_of, smoke

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "docs" / "examples"
STATED: Any = {
    "loss": "softmax_cross_entropy",
    "targets": ["index"],
    "arguments": {"prediction": "x", "target": "y"},
    "dtypes": ["float32"],
    "class_axis": "rows",
}


def rows(x: Array, y: Array) -> tuple[Array, Array]:
    """Return loss and gradient of each row, in float64."""
    z = x.astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    at = np.arange(len(y)), y
    slope = p.copy()
    slope[at] -= 1
    return np.log(e.sum(axis=1)) + z.max(axis=1) - z[at], slope


def plain(x: Array, y: Array) -> tuple[Array, Array]:
    """Refuse labels that are no class."""
    if ((y < 0) | (y >= x.shape[1])).any():
        raise ValueError("a label is not a class")
    value, slope = rows(x, y)
    return value.astype(x.dtype), slope.astype(x.dtype)


def scaled(x: Array, y: Array) -> tuple[Array, Array]:
    """Have a gradient of the wrong sign."""
    value, slope = plain(x, y)
    return value, -slope


def weighted_mean(x: Array, y: Array, weight: Array | None = None, reduction: str = "mean") -> tuple[Array, Array]:
    """Divide by the number of rows, whatever the weights."""
    value, slope = rows(x, y)
    w = np.ones(len(y)) if weight is None else weight.astype(np.float64)[y]
    value, slope = value * w, slope * w[:, None]
    if reduction == "none":
        return value.astype(x.dtype), slope.astype(x.dtype)
    n = len(y) if reduction == "mean" else 1
    return (value.sum() / n).astype(x.dtype), (slope / n).astype(x.dtype)


class Smoothed:
    """A class, made with its options and called with its arrays."""

    def __init__(self, ignore_index: int | None = None) -> None:
        self.ignore_index = ignore_index

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array]:
        kept = np.ones(len(y), bool) if self.ignore_index is None else y != self.ignore_index
        value, slope = rows(x, np.where(kept, y, 0))
        return (value * kept).astype(x.dtype), (slope * kept[:, None]).astype(x.dtype)


test_plain = lossconform.conformance_tests(loss_function(plain, **STATED), profile="smoke")


def index_case(label: int = 0) -> Case:
    return Case(
        loss=Loss.SOFTMAX_CROSS_ENTROPY,
        prediction=np.array([[0.0, 1.0, 2.0]], np.float32),
        target=np.array([label]),
        target_form=TargetForm.INDEX,
    )


def told(**changes: Any) -> Any:
    return {**STATED, **changes}


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
    assert f"import {__name__}" in snippet
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


def test_smoke_passes_what_is_right() -> None:
    brought = ready(loss_function(plain, **STATED))
    assert [outcome.problem for outcome in smoke(brought, brought.functions[0])] == [""] * 10


ADVICE = {
    "sign": (scaled, "the gradient has the wrong sign"),
    "minus": (lambda x, y: tuple(-a for a in plain(x, y)), "the value has the wrong sign"),
    "detached": (lambda x, y: (plain(x, y)[0], np.zeros_like(x)), "is the computation detached"),
    "mean": (lambda x, y: (plain(x, y)[0].mean(), plain(x, y)[1]), "the value is right for the reduction mean"),
    "names": (lambda logits, labels: plain(logits, labels), "compare the call"),
}


@pytest.mark.parametrize(("loss", "advice"), ADVICE.values(), ids=ADVICE)
def test_smoke_says_what_it_looks_like(loss: Any, advice: str) -> None:
    brought = ready(loss_function(loss, **STATED))
    lines = "\n".join(lines_of(smoke(brought, brought.functions[0])))
    assert advice in lines
    assert "mend this first" in lines


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_smoke_sees_the_wrong_sign_in_every_dtype(dtype: str) -> None:
    brought = ready(loss_function(scaled, **told(dtypes=[dtype])))
    assert all(outcome.problem for outcome in smoke(brought, brought.functions[0]))


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


def test_the_name_of_an_entry_point_is_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    entry = EntryPoint("numpy-pair", "test_numpy_pair:loss", "lossconform.losses")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [entry] if group == entry.group else [])
    assert targets_of(["numpy-pair"]) == ["numpy-pair"]
    assert describe("numpy-pair").target == "numpy-pair"


def test_the_command_line_runs_a_loss_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    words = ["run", "--loss", "test_numpy_pair:loss", "--profile", "smoke", "-k", "dtype and float32"]
    assert main([*words, "--output", str(tmp_path)]) == 0
    (target,) = read_run(tmp_path / "run.json").targets
    assert target.target == "test_numpy_pair:loss"
    assert [str(record.verdict) for record in target.records] == ["pass"]


COMMAND: Any = {
    "loss": "binary_cross_entropy",
    "targets": ["binary"],
    "arguments": {"prediction": "logits", "target": "labels"},
}
BINARY = Case(
    loss=Loss.BINARY_CROSS_ENTROPY,
    prediction=np.array([[0.0, 2.0]]),
    target=np.array([[0.0, 1.0]]),
    target_form=TargetForm.BINARY,
)


def asked(words: list[str], **options: Any) -> Any:
    brought = ready(command_loss(words, **COMMAND, **options))
    return brought.ask(brought.functions[0], BINARY, mode="command", gradient=True)


def test_a_command_answers() -> None:
    answer = asked([sys.executable, str(EXAMPLES / "binary_loss.py")])
    assert answer.value[0, 0] == np.log(2)
    assert answer.gradient[0, 0] == 0.5


PROGRAMS = {
    "exit": ("import sys; sys.exit('no such thing')", "ended with exit code 1: no such thing"),
    "garbage": ("print('hello', flush=True); input()", "expected one JSON object a line; got 'hello'"),
    "number": ("print(3, flush=True); input()", "expected one JSON object a line; got '3'"),
    "empty": ("print({}, flush=True); input()", "the answer has no 'value'"),
    "refusal": ('print(\'{"error": "a label is no class"}\', flush=True); input()', "a label is no class"),
    "array": ('print(\'{"value": 3, "gradient": 3}\', flush=True); input()', "not an array with dtype"),
}


@pytest.mark.parametrize(("program", "complaint"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_command_that_misbehaves_is_a_refusal_that_says_how(program: str, complaint: str) -> None:
    answer = asked([sys.executable, "-c", program])
    assert isinstance(answer, Refusal)
    assert complaint in answer.message


def test_a_command_that_hangs_is_ended() -> None:
    answer = asked([sys.executable, "-c", "while True: pass"], timeout=0.5)
    assert isinstance(answer, Refusal)
    assert "gave no answer in 0.5 s" in answer.message


def test_a_target_of_ones_own_is_found_by_package_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert targets_of(["test_numpy_pair:loss", "jax"]) == ["jax", "test_numpy_pair:loss"]
    found = describe("test_numpy_pair:loss")
    assert isinstance(found, Framework)
    assert found.target == "test_numpy_pair:loss"


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("no_such_module:x", "no module 'no_such_module' can be imported"),
        ("test_numpy_pair:nothing", "test_numpy_pair has no 'nothing'"),
        ("test_numpy_pair:cross_entropy", "is of type function: make it a target"),
        ("test_numpy_pair:cross_entropy@jax.softmax", "like='jax.softmax' is no known loss function"),
    ],
)
def test_a_target_that_is_none_is_one_clear_line(
    target: str, complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    with pytest.raises(TargetError, match=complaint):
        describe(target)
    assert main(["run", "--loss", target]) == 2
    assert complaint in capsys.readouterr().err


def test_like_needs_a_loss(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--like", "torch.nn.functional.cross_entropy"]) == 2
    assert "of which loss?" in capsys.readouterr().err


def test_the_command_line_smokes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert main(["smoke", "test_numpy_pair:loss"]) == 0
    assert "10 of 10 cases pass" in capsys.readouterr().out


WORKED = {
    "test_torch_kernel": ("torch", "gradient-float32-eager"),
    "test_jax_callable": ("jax", "smoothing-share"),
    "test_keras_instance": ("keras", "sample-weight"),
    "test_tensorflow_function": ("tensorflow", "gradient-float32-eager"),
    "test_numpy_pair": ("numpy", "gradient-float32"),
    "test_command": ("numpy", "gradient"),
}


@pytest.mark.parametrize(("name", "package", "chosen"), [(n, *rest) for n, rest in WORKED.items()], ids=WORKED)
def test_a_worked_example_passes(name: str, package: str, chosen: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    words += ["--rootdir", str(EXAMPLES), "--import-mode=importlib", str(EXAMPLES / f"{name}.py"), "-k", chosen]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "1 passed" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]


TEST_FILE = """
import test_own_loss as own
from lossconform import conformance_tests
from lossconform.adapters.numpy_losses import loss_function

test_good = conformance_tests(loss_function(own.plain, **own.STATED), profile="smoke")
test_bad = conformance_tests(loss_function(own.scaled, **own.STATED), profile="smoke")
"""


def test_each_check_is_a_test_of_its_own(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    pytester.makepyfile(test_mine=TEST_FILE)
    result = pytester.runpytest_inprocess("-k", "value or gradient", "-p", "no:cacheprovider", "-rA")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*test_bad[[]gradient-float32-call[]]*"])
    result.stdout.fnmatch_lines(["*reproduce it in the framework alone*"])


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ((plain,), TypeError, "expected what loss_function of an adapter returns"),
        ((), ValueError, "no loss was given"),
    ],
)
def test_conformance_tests_says_what_it_wants(arguments: Any, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        lossconform.conformance_tests(*arguments)


def test_unknown_profiles_and_checks_are_named() -> None:
    loss = loss_function(plain, **STATED)
    with pytest.raises(ValueError, match="profile: 'fast'; expected one of smoke"):
        lossconform.conformance_tests(loss, profile="fast")
    with pytest.raises(ValueError, match="checks: 'speed'"):
        lossconform.conformance_tests(loss, checks=["speed"])


EXPECTATION = """
[[expectation]]
id = "negated"
targets = ["test_own_loss.scaled"]
loss_functions = ["test_own_loss.scaled"]
check = "gradient"
versions = { numpy = ">=1" }
reason = "it is minus the gradient"
link = "https://example.invalid/1"
witness = """ + repr(
    '{"loss": "softmax_cross_entropy",'
    ' "prediction": {"dtype": "float32", "shape": [1, 2], "data": ["0x0p+0", "0x0p+0"]},'
    ' "target": {"dtype": "int64", "shape": [1], "data": ["0"]}, "target_form": "index"}'
)


def test_a_known_deviation_of_ones_own_is_known(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    pytester.path.joinpath("known.toml").write_text(EXPECTATION)
    pytester.makepyfile(
        test_mine=TEST_FILE.replace('own.STATED), profile="smoke")', 'own.STATED), expectations="known.toml")')
    )
    result = pytester.runpytest_inprocess("-k", "gradient and bad", "-p", "no:cacheprovider")
    result.assert_outcomes(xfailed=1)


def test_expectations_that_cannot_be_read_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--framework", "torch", "--expectations", str(tmp_path / "none.toml")]) == 2
    assert "none.toml: cannot be read" in capsys.readouterr().err
