"""How a loss function is described and asked, whatever its framework.

Three parts: a `Call` is one invocation as data; an `Engine` makes a framework's tensors, runs and differentiates
calls and writes them as source; a `Framework` is an engine with the loss functions of one target. One `Call` serves
both to ask and to print the snippet, so a snippet shows what was asked.
"""

from __future__ import annotations

import importlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lossconform.adapters import generators, settings
from lossconform.adapters.contract import Contract, unsupported
from lossconform.adapters.generators import Generator
from lossconform.adapters.settings import Setting
from lossconform.reference.case import Array, Case
from lossconform.reference.repeats import MANY, period


class Unsupported(Exception):  # noqa: N818 - a statement about the case, not an error
    """The case cannot be put to this loss function; the message says why."""


class InputChanged(Exception):  # noqa: N818 - what was seen, in the words of a refusal
    """A loss function changed one of its arguments in place."""


@dataclass(frozen=True)
class Answer:
    """What a loss function returned, as NumPy arrays in its own dtypes.

    Attributes:
        value: of whatever shape the loss function gave it.
        gradient: with respect to the prediction, for the case's cotangent; None if not asked for.
    """

    value: Array
    gradient: Array | None = None


@dataclass(frozen=True)
class Refusal:
    """An exception instead of an answer: its type and the first line of its message."""

    kind: str
    message: str


@dataclass(frozen=True)
class Call:
    """One invocation as data: NumPy arrays become tensors, everything else is written as it is.

    Attributes:
        function: dotted name, importable: 'torch.nn.functional.cross_entropy'.
        arguments: by keyword, in the order in which they are shown.
        prediction: the argument that is differentiated.
        init: for a class: the arguments of its constructor. None for a function.
        own: the callable itself, where it was brought along and not looked up by its name.
    """

    function: str
    arguments: Mapping[str, Any]
    prediction: str
    init: Mapping[str, Any] | None = None
    own: Callable[..., Any] | None = None

    @property
    def tensors(self) -> dict[str, Array]:
        """The arguments that are arrays."""
        return {name: value for name, value in self.arguments.items() if isinstance(value, np.ndarray)}

    @property
    def literals(self) -> dict[str, Any]:
        """The arguments that are not arrays."""
        return {name: value for name, value in self.arguments.items() if not isinstance(value, np.ndarray)}

    def target(self) -> Any:
        """Return what is called. Raises ModuleNotFoundError or AttributeError where the name is not importable."""
        return resolve(self.function) if self.own is None else self.own

    def key(self) -> tuple[Any, ...] | None:
        """What a compiled form of this call can be kept under; None if it must not be kept."""
        init = self.init or {}
        if any(isinstance(value, np.ndarray) for value in init.values()):
            return None
        return (self.function, id(self.own), repr(init), repr(self.literals), tuple(self.tensors), self.prediction)


@dataclass(frozen=True)
class LossFunction:
    """One callable of one framework with its contract.

    Attributes:
        id: the name people know: 'torch.nn.functional.cross_entropy'.
        contract: what its documentation promises.
        call: puts a case that the contract covers into this function's terms; raises `Unsupported` for
            combinations that do not go together. Ask through `invocation`, which looks at the contract first.
        open: the policies that nobody stated: what it does is identified first, and taken as its contract.
        form_of: the id of the loss function that it is another form of, as a module is of a function; empty for none.
    """

    id: str
    contract: Contract
    call: Callable[[Case], Call]
    open: frozenset[str] = frozenset()
    form_of: str = ""

    def in_mode(self, mode: str) -> LossFunction:
        """Return the loss function with its contract in one mode of execution."""
        contract = self.contract.in_mode(mode)
        return self if contract is self.contract else replace(self, contract=contract)

    def invocation(self, case: Case) -> Call:
        """Return a case in this function's terms. Raises `Unsupported` where that cannot be done."""
        reason = unsupported(self.contract, case)
        if reason is not None:
            raise Unsupported(f"{self.id}: {reason}")
        return self.call(case)


def resolve(dotted: str) -> Any:
    """Return the object of a dotted name, importing as much of it as is a module."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[cut:], module)
    raise ModuleNotFoundError(f"no module of {dotted} can be imported")


EAGER, CALL, COMMAND = "eager", "call", "command"
UNCOMPILED = frozenset({EAGER, CALL, COMMAND})
"""The modes in which nothing is compiled as a whole, so that new shapes and options cost little."""


class Engine(ABC):
    """How one framework makes tensors, runs, compiles and differentiates calls, and writes them as source.

    Attributes:
        modes: each way of executing a call, with one line on what it is; the first is the usual one.
        packages: the distributions whose versions identify the framework.
    """

    modes: Mapping[str, str] = MappingProxyType({})
    packages: tuple[str, ...] = ()

    @abstractmethod
    def start(self) -> None:
        """Import the framework and set what must be set once. Raises ImportError."""

    def state(self) -> dict[str, Setting]:
        """Return the global settings that asking a loss function must leave as they are, by name; once started."""
        # An engine on top of another, as Keras's is, has the other's.
        backend = getattr(self, "backend", None)
        return backend.state() if isinstance(backend, Engine) else settings.of_process()

    def generators(self) -> dict[str, Generator]:
        """Return the global generators of random numbers that no loss function may seed, by name; once started."""
        backend = getattr(self, "backend", None)
        return backend.generators() if isinstance(backend, Engine) else generators.of_process()

    @abstractmethod
    def tensor(self, array: Array) -> Any:
        """Return the framework's tensor of the same dtype, bit for bit."""

    @abstractmethod
    def array(self, tensor: Any) -> Array:
        """Return the NumPy array of a tensor, bit for bit."""

    @abstractmethod
    def run(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> Answer:
        """Execute a call; raises whatever the framework raises.

        Tensors are passed as arguments, never closed over: compilers fold constants.
        """

    def look_again(self, call: Call, tensors: Mapping[str, Any]) -> None:
        """Raise `InputChanged` if a call changed one of the tensors that it was given, bit for bit."""
        for name, array in call.tensors.items():
            if self.array(tensors[name]).tobytes() != array.tobytes():
                raise InputChanged(f"it changed its argument {name} in place")

    @abstractmethod
    def imports(self) -> list[str]:
        """Return the source lines that a snippet begins with."""

    def import_of(self, call: Call) -> list[str]:
        """Return the lines that make a callable that was brought along known to a snippet."""
        if call.own is None:
            return []
        module = getattr(call.own, "__module__", None) or ""
        if call.function.startswith(f"{module}.") and module != "__main__" and "<" not in call.function:
            return [f"import {module}"]
        return [f"# {call.function} is not importable by that name: define it here"]

    def name(self, dotted: str) -> str:
        """Return how a snippet writes a dotted name, given what it imports."""
        return dotted

    @abstractmethod
    def tensor_source(self, array: Array) -> str:
        """Return an expression that makes the tensor again, exactly."""

    @abstractmethod
    def run_source(self, call: Call, *, mode: str, cotangent: Array | None, gradient: bool) -> list[str]:
        """Return the lines that run `loss(...)` in a mode, leaving `value` and, if asked, `gradient`."""

    def function(self, call: Call) -> Callable[..., Any]:
        """Return the callable of a call that takes its tensors by keyword."""
        target = call.target()
        if call.init is not None:
            target = target(**{n: self.tensor(v) if isinstance(v, np.ndarray) else v for n, v in call.init.items()})
        literals = call.literals

        def loss(**tensors: Any) -> Any:
            return target(**tensors, **literals)

        return loss


@dataclass(frozen=True)
class Framework:
    """An engine with the loss functions of one target.

    Attributes:
        target: the name it is asked for by: 'torch', 'keras-jax'.
        engine: how its calls are executed.
        functions: its loss functions.
        environment: variables that must be set before it is imported.
        packages: further distributions whose versions are recorded.
    """

    target: str
    engine: Engine
    functions: tuple[LossFunction, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    packages: tuple[str, ...] = ()

    def function(self, identifier: str) -> LossFunction:
        """Return a loss function by its id; KeyError if there is none."""
        return next(f for f in self.functions if f.id == identifier)

    def ask(self, function: LossFunction, case: Case, *, mode: str, gradient: bool) -> Answer | Refusal:
        """Put a case to a loss function. Raises `Unsupported` where it cannot be put."""
        call = function.invocation(case)
        try:
            with warnings.catch_warnings():
                # A warning is no answer; where warnings are errors, it would be taken for a refusal.
                warnings.simplefilter("ignore")
                return self.engine.run(call, mode=mode, cotangent=case.cotangent, gradient=gradient)
        except Exception as error:
            lines = str(error).strip().splitlines()
            return Refusal(type(error).__name__, lines[0][:300] if lines else "")

    def snippet(self, function: LossFunction, case: Case, *, mode: str, gradient: bool) -> str:
        """Return a program that asks the same in this framework with nothing else installed."""
        call = function.invocation(case)
        source = self.engine.tensor_source
        lines = [f"import os\nos.environ[{name!r}] = {value!r}" for name, value in self.environment.items()]
        lines += [*self.engine.imports(), *self.engine.import_of(call), ""]
        lines += [f"{name} = {source(array)}" for name, array in call.tensors.items()]
        target = self.engine.name(call.function)
        if call.init is not None:
            lines.append(f"loss_object = {target}({_keywords(call.init, source)})")
            target = "loss_object"
        shown = {n: _Name(n) if isinstance(v, np.ndarray) else v for n, v in call.arguments.items()}
        lines += [
            "",
            f"def loss({', '.join(call.tensors)}):",
            f"    return {target}({_keywords(shown, source)})",
            "",
            *self.engine.run_source(call, mode=mode, cotangent=case.cotangent, gradient=gradient),
        ]
        return "\n".join(lines) + "\n"


class _Name(str):
    """A variable's name, shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _keywords(arguments: Mapping[str, Any], source: Callable[[Array], str]) -> str:
    return ", ".join(
        f"{name}={source(value) if isinstance(value, np.ndarray) else repr(value)}" for name, value in arguments.items()
    )


def in_dtype(array: Array, dtype: DTypeLike, name: str) -> Array:
    """Return an array in a dtype; raises `Unsupported` if that would change one of its numbers."""
    cast = array.astype(dtype)
    if not np.array_equal(cast.astype(np.float64), array.astype(np.float64), equal_nan=True):
        raise Unsupported(f"The {name} of dtype {array.dtype} has numbers that {cast.dtype} has not.")
    return cast


def along_classes(case: Case, weight: Array) -> Array:
    """Return one weight a class in a shape that broadcasts along the class axis of the prediction."""
    return weight.reshape((-1,) + (1,) * (case.prediction.ndim - 1 - case.class_axis))


def list_source(array: Array) -> str:
    """Return nested lists of decimal literals that give the array's numbers exactly; NaN and inf as float('nan').

    A large array that is a few rows over and over is written as the list of those, times a number.
    """
    rows = period(array)
    repeats = len(array) // rows if array.size and array.ndim else 1
    few = array[:rows] if repeats > 1 else array
    times = f" * {repeats}" if repeats > 1 else ""
    if array.dtype.kind in "biu":
        return repr(few.tolist()) + times
    text = repr(few.astype(np.float64).tolist())
    for name in ("nan", "inf"):
        text = text.replace(name, f"float('{name}')")
    return text + times


SHOWN = 8
"""The rows of a gradient of very many that a snippet prints."""


def shown(name: str, size: int) -> str:
    """Return what a snippet prints of an array of such a size: all of it, or its first rows."""
    return f"{name}[:{SHOWN}]" if size > MANY else name
