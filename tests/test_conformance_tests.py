"""`conformance_tests`: each check of a loss that is brought along is a test, in any test file."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from own_losses import EXAMPLES, HERE, STATED, plain

import lossconform
from lossconform.adapters.numpy_losses import loss_function

pytest_plugins = ["pytester"]


test_plain = lossconform.conformance_tests(loss_function(plain, **STATED), profile="smoke")


WORKED = {
    "test_torch_kernel": ("torch", "gradient-float32-eager"),
    "test_jax_callable": ("jax", "smoothing-share"),
    "test_keras_instance": ("keras", "sample-weight"),
    "test_tensorflow_function": ("tensorflow", "gradient-float32-eager"),
    "test_numpy_pair": ("numpy", "gradient-float32"),
    "test_command": ("numpy", "gradient"),
}


def test_the_worked_examples_pass(tmp_path: Path) -> None:
    """In one process, because to import the frameworks takes longest."""
    chosen = {name: word for name, (package, word) in WORKED.items() if importlib.util.find_spec(package)}
    words = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-c", os.devnull]
    words += ["--rootdir", str(EXAMPLES), "--import-mode=importlib", *(str(EXAMPLES / f"{name}.py") for name in chosen)]
    words += ["-k", " or ".join(f"({name} and {word})" for name, word in chosen.items())]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    passed = re.findall(r"^PASSED \S*?(\w+)\.py::", done.stdout, re.MULTILINE)
    assert sorted(passed) == sorted(chosen), done.stdout[-3000:] + done.stderr[-1000:]


TEST_FILE = """
import own_losses as own
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


ENDING = """
import ctypes
import own_losses as own
from lossconform import conformance_tests
from lossconform.adapters.numpy_losses import loss_function

def segfault(x, y):
    ctypes.string_at(0)

def hang(x, y):
    while True:
        pass

def leave(x, y):
    raise SystemExit(3)

for loss in (segfault, hang, leave, own.plain):
    name = f"test_{loss.__name__}"
    globals()[name] = conformance_tests(loss_function(loss, **own.STATED), profile="smoke", checks=["dtype"])
"""


def test_a_loss_that_ends_its_worker_costs_one_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xdist")
    if pytest.version_tuple < (9,):
        pytest.skip("this pytest does not end what hangs")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    pytester.makepyfile(test_mine=ENDING)
    ending = ["-o", "faulthandler_timeout=5", "-o", "faulthandler_exit_on_timeout=true"]
    result = pytester.runpytest_subprocess("-n", "1", *ending, "-p", "no:cacheprovider", "-rf")
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines_random(
        ["*test_segfault* worker * crashed*", "*test_hang* worker * crashed*", "*test_mine.leave fails dtype*"]
    )


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
targets = ["own_losses.scaled"]
loss_functions = ["own_losses.scaled"]
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
