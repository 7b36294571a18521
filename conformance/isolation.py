"""Isolation: what stands between a loss function and the process that asks it.

The case about to be asked is written down first, so that it is there after a crash; an attempt to end the process
becomes a finding. What ends the process all the same is for the runner.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lossconform.adapters.base import Answer, Framework, LossFunction, Refusal
from lossconform.reference.case import ARRAYS, Case
from lossconform.reference.formats import dtype_of
from lossconform.reference.serial import array_to_json, case_from_json
from lossconform.stop import Stop

HEAD = struct.Struct("<QI")
"""What the file begins with: the length of the rest and its checksum."""


class Misbehaved(BaseException):
    """A loss function tried to end the process. No Exception, so that nothing between here and the record takes it."""


class LastCase:
    """The case that was asked last: in memory, and in a file if there is one, which outlives the process."""

    def __init__(self, path: Path | None = None) -> None:
        self.case: Case | None = None
        self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)

    def note(self, case: Case) -> None:
        """Write a case down, in place of the last one: one system call, no flush to disk."""
        self.case = case
        if self._file is not None:
            text = to_bytes(case)
            os.pwrite(self._file, HEAD.pack(len(text), zlib.crc32(text)) + text, 0)

    def forget(self) -> None:
        """Begin a question: no case has been asked of it."""
        self.case = None
        if self._file is not None:
            os.pwrite(self._file, HEAD.pack(0, 0), 0)

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def last_case(path: Path) -> Case | None:
    """Return the case that a process wrote down last; None if there is none, or only part of one."""
    try:
        data = path.read_bytes()
        length, checksum = HEAD.unpack_from(data)
    except (OSError, struct.error):
        return None
    text = data[HEAD.size : HEAD.size + length]
    return from_bytes(text) if length == len(text) > 0 and zlib.crc32(text) == checksum else None


def to_bytes(case: Case) -> bytes:
    """Return a case as a line of JSON and the bytes of its arrays: hex floats are too dear to write for each call."""
    arrays = {name: array for name in ARRAYS if (array := getattr(case, name)) is not None}
    options = {name: getattr(case, name) for name in Case.__dataclass_fields__ if name not in ARRAYS}
    shapes = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    return b"\n".join([json.dumps([options, shapes]).encode(), b"".join(array.tobytes() for array in arrays.values())])


def from_bytes(text: bytes) -> Case:
    """Undo `to_bytes`."""
    head, _, data = text.partition(b"\n")
    options, shapes = json.loads(head)
    offset = 0
    for name, (dtype, shape) in shapes.items():
        kind = dtype_of(dtype) if dtype in ("float16", "bfloat16", "float32", "float64") else np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(data, kind, count, offset) if count else np.empty(0, kind)
        options[name] = array_to_json(array.reshape(shape))
        offset += count * kind.itemsize
    return case_from_json({name: value for name, value in options.items() if value is not None})


@dataclass(frozen=True)
class Watched(Framework):
    """A framework whose loss functions are kept from ending the process by an exception.

    Attributes:
        last: where each case is written down before it is asked.
        stop: tells a person's interrupt from one that the loss function raises.
    """

    last: LastCase = field(default_factory=LastCase)
    stop: Stop = field(default_factory=lambda: Stop(interrupt=True))

    @classmethod
    def of(cls, framework: Framework, last: LastCase, stop: Stop) -> Watched:
        """Return a framework as one that is watched."""
        fields = {name: getattr(framework, name) for name in Framework.__dataclass_fields__}
        return cls(**fields, last=last, stop=stop)

    def ask(self, function: LossFunction, case: Case, *, mode: str, gradient: bool) -> Answer | Refusal:
        """Put a case to a loss function, as any framework. Raises `Misbehaved` if it tries to end the process."""
        self.last.note(case)
        try:
            answer = super().ask(function, case, mode=mode, gradient=gradient)
        except Exception:
            raise
        except BaseException as error:
            if self.stop.asked:
                raise KeyboardInterrupt from error
            raise Misbehaved(_what(error)) from error
        if self.stop.asked:
            # The loss function, or what it calls, took the interrupt for its own.
            raise KeyboardInterrupt
        return answer


def _what(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        return f"exit code {code}, called exit"
    text = str(error).strip().split("\n", 1)[0][:200]
    return f"raised {type(error).__name__}" + (f": {text}" if text else "") + ", which ends a process"
