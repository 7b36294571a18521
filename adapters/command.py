"""Losses of one's own in any language: a command that reads cases and writes answers, one JSON object a line.

A case is {"arguments": {name: array or plain value}, "prediction": name, "cotangent": array or null, "gradient":
boolean}. An array is {"dtype": name, "shape": [...], "data": [...]}, row by row, floats as C99 hex floats in strings
("0x1.8p+1", "nan", "-inf"), which `strtod` reads exactly, integers and booleans in decimal. The answer is
{"value": array, "gradient": array}, floats as hex floats or as JSON numbers, or {"error": "message"} where the case is
refused. What the command writes to stderr is shown if it ends.
"""
# ruff: noqa: D102 - each overrides a method of `Engine`, which says what it does

from __future__ import annotations

import json
import math
import shlex
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import IO, Any, Unpack

import numpy as np

from lossconform.adapters.base import COMMAND, Answer, Call, Engine, Framework
from lossconform.adapters.own import Statement, StatementError, bring
from lossconform.reference.case import Array
from lossconform.reference.formats import dtype_of
from lossconform.reference.serial import array_to_json

TIMEOUT = 60.0
"""Seconds that one answer may take."""


class CommandError(Exception):
    """The command ended, or did not answer as it should; the message says how."""


class Command:
    """A running command; called with the arguments of a case by keyword, it returns value and gradient.

    It is started with the first case, and again after it has ended.
    """

    def __init__(self, words: Sequence[str], timeout: float = TIMEOUT) -> None:
        self.words = list(words)
        self.timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None
        self._end: Callable[[], object] | None = None

    def __call__(self, **case: Any) -> dict[str, Any]:
        """Return the answer to a request as the command wrote it. Raises `CommandError`."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes
        late = threading.Timer(self.timeout, process.kill)
        late.daemon = True
        late.start()
        try:
            process.stdin.write(json.dumps(case) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            in_time = late.is_alive()
            late.cancel()
        if not line:
            raise CommandError(self._ended(in_time))
        try:
            answer = json.loads(line)
        except json.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            self.close()
            raise CommandError(f"expected one JSON object a line; got {line.strip()[:80]!r}")
        if "error" in answer:
            raise CommandError(str(answer["error"]))
        return answer

    def close(self) -> None:
        """End the process."""
        if self._end is not None:
            self._end()
        self._process = self._errors = self._end = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
            self._process = subprocess.Popen(  # noqa: S603 - what the user asks for
                self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
            )
            # It ends with whatever asked it, at the latest with this process.
            self._end = weakref.finalize(self, _end, self._process, self._errors)
        return self._process

    def _ended(self, in_time: bool) -> str:
        assert self._process is not None and self._errors is not None  # noqa: S101, PT018 - it was started
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        self.close()
        how = f"ended with exit code {code}" if in_time else f"gave no answer in {self.timeout:g} s"
        return f"the command {how}{': ' + lines[-1] if lines else ''}"


def _end(process: subprocess.Popen[str], errors: IO[str]) -> None:
    process.kill()
    # Before they are closed, pipes are flushed, which a process that has ended does not take.
    with suppress(OSError):
        process.communicate()
    for file in (process.stdin, process.stdout, errors):
        if file is not None:
            with suppress(OSError):
                file.close()


class CommandEngine(Engine):
    """The engine of a command."""

    modes = MappingProxyType({COMMAND: "a process that answers in JSON, one line a case"})
    packages = ("numpy",)

    def __init__(self, command: Command) -> None:
        self.command = command

    def start(self) -> None:
        return None

    def tensor(self, array: Array) -> dict[str, Any]:
        return array_to_json(array, whole=True)

    def array(self, tensor: Any) -> Array:
        return array_of(tensor)

    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:  # noqa: ARG002
        answer = self.command(**self.request(call, cotangent, gradient))
        for part in ("value", "gradient") if gradient else ("value",):
            if part not in answer:
                raise CommandError(f"the answer has no {part!r}: {', '.join(answer) or 'it is empty'}")
        return Answer(array_of(answer["value"]), array_of(answer["gradient"]) if gradient else None)

    def request(self, call: Call, cotangent: Array | None, gradient: bool) -> dict[str, Any]:
        """Return what the command is sent."""
        return {
            "arguments": {n: self.tensor(v) if isinstance(v, np.ndarray) else v for n, v in call.arguments.items()},
            "prediction": call.prediction,
            "cotangent": None if cotangent is None else self.tensor(cotangent),
            "gradient": gradient,
        }

    def imports(self) -> list[str]:
        return ["import json", "import subprocess"]

    def import_of(self, call: Call) -> list[str]:  # noqa: ARG002 - it is a command, whatever it is asked
        return [
            "",
            "def command(**arguments):",
            '    request = {"arguments": arguments, "prediction": prediction}',
            '    request |= {"cotangent": cotangent, "gradient": gradient}',
            f"    words = {self.command.words!r}",
            '    done = subprocess.run(words, input=json.dumps(request) + "\\n", capture_output=True, text=True)',
            "    return done.stdout + done.stderr",
        ]

    def name(self, dotted: str) -> str:  # noqa: ARG002 - a command has no dotted name
        return "command"

    def tensor_source(self, array: Array) -> str:
        few = array_to_json(array)
        times = math.prod(few["shape"]) // max(1, len(few["data"]))
        source = repr(few)
        # What is written over and over stands in the last place.
        return f"{source[:-1]} * {times}}}" if times > 1 else source

    def run_source(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> list[str]:  # noqa: ARG002
        passed = ", ".join(f"{name}={name}" for name in call.tensors)
        return [
            f"prediction = {call.prediction!r}",
            f"cotangent = {None if cotangent is None else self.tensor(cotangent)!r}",
            f"gradient = {gradient}",
            f"print(loss({passed}))",
        ]


def array_of(data: Any) -> Array:
    """Return the array of an answer. Raises `CommandError` for what is none."""
    try:
        name, shape, numbers = data["dtype"], data["shape"], data["data"]
        values = [_float(v) for v in np.ravel(np.array(numbers, dtype=object)).tolist()]
        exact = np.array(values, dtype=np.float64).reshape(shape)
        with np.errstate(over="ignore"):
            array = exact.astype(dtype_of(name))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CommandError(f"not an array with dtype, shape and data: {type(error).__name__}: {error}") from error
    if not np.array_equal(array.astype(np.float64), exact, equal_nan=True):
        raise CommandError(f"the data has numbers that are not of dtype {name}")
    return array


def _float(value: Any) -> float:
    if isinstance(value, str) and "x" in value.lower():
        return float.fromhex(value)
    return float(value)


def loss_function(words: str | Sequence[str], *, timeout: float = TIMEOUT, **said: Unpack[Statement]) -> Framework:
    """Return a command as a target: a loss in C++, Rust, Julia or anything else.

    Args:
        words: the command with its arguments.
        timeout: how many seconds one answer may take.
        said: its loss, targets, options and so on; see `lossconform.adapters.own.Statement`.

    Raises:
        StatementError: something is missing, unknown, or does not go together.
    """
    words = shlex.split(words) if isinstance(words, str) else list(words)
    if not words:
        raise StatementError("the command is empty: expected its name and arguments, such as ['./my_loss']")
    command = Command(words, timeout)
    said.setdefault("name", " ".join(words))
    return bring(command, CommandEngine(command), said)
