"""Global generators of random numbers: whether a loss function seeded one, which drawing numbers is not.

The state that a call leaves behind depends on the one before it, unless the generator was seeded. So a call is made
from two states, and seeded is what ends in the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Generator:
    """One global generator.

    Attributes:
        read: returns its state, which can be compared.
        write: puts a state back.
        seed: seeds it.
    """

    read: Callable[[], Any]
    write: Callable[[Any], object]
    seed: Callable[[int], object]


def of_process() -> dict[str, Generator]:
    """Return the generators of any Python process, by the name that a message calls them."""
    return {
        "random": Generator(random.getstate, random.setstate, random.seed),
        "numpy.random": Generator(_numpy_state, np.random.set_state, np.random.seed),
    }


def seeded(generators: Mapping[str, Generator], call: Callable[[], object]) -> list[str]:
    """Return the names of the generators that a call seeds; all are put back. It is made once, or twice if it draws."""
    before = {name: generator.read() for name, generator in generators.items()}
    try:
        first = _ends(generators, call, 1)
        if not first:
            return []
        second = _ends(generators, call, 2)
        return [name for name, end in first.items() if name in second and second[name] == end]
    finally:
        for name, generator in generators.items():
            generator.write(before[name])


def _ends(generators: Mapping[str, Generator], call: Callable[[], object], seed: int) -> dict[str, Any]:
    """Return the states that a call leaves behind, of the generators that it moved."""
    for generator in generators.values():
        generator.seed(seed)
    starts = {name: generator.read() for name, generator in generators.items()}
    call()
    ends = {name: generator.read() for name, generator in generators.items()}
    return {name: end for name, end in ends.items() if end != starts[name]}


def _numpy_state() -> tuple[Any, ...]:
    """Return the state with its key as a tuple: arrays cannot be compared as one."""
    state: Any = np.random.get_state()  # noqa: NPY002 - the global one
    name, key, *rest = state
    return (name, tuple(key.tolist()), *rest)
