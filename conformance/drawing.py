"""Drawing: how Hypothesis is asked for cases, so that a seed gives the same ones wherever and after whatever it runs.

What is used of Hypothesis beyond its documentation is used here alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import hypothesis.core
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

CORE: Any = hypothesis.core
PROVIDERS: Any = providers


def each(strategy: SearchStrategy[T], examples: int, body: Callable[[T], None], *, turn: int, shrink: bool) -> None:
    """Call a function with each of so many examples of a strategy. Without a seed from pytest it is 0.

    Args:
        strategy: what is drawn from.
        examples: how many.
        body: what is called; what it raises is shrunk, and raised.
        turn: which of the turns of one question this is. From one seed alone Hypothesis makes the same decisions in
            each of them, and what one turn misses all would miss.
        shrink: whether an example that raises is made smaller.
    """

    @seed(f"{given_seed() or 0}, turn {turn}")
    @_quiet(examples, shrink=shrink)
    @given(strategy)
    def drawn(one: T) -> None:
        body(one)

    with _no_constants():
        drawn()


def _quiet(examples: int, *, shrink: bool) -> settings:
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    return settings(
        max_examples=examples,
        phases=phases,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """Fix the seed of what is drawn, as pytest's --hypothesis-seed does; one that it gave is put back afterwards."""
    before, CORE.global_force_seed = CORE.global_force_seed, number
    try:
        yield
    finally:
        CORE.global_force_seed = before


def given_seed() -> int | None:
    """Return the seed that pytest was given, None without one."""
    given_one: int | None = CORE.global_force_seed
    return given_one


@contextmanager
def _no_constants() -> Iterator[None]:
    """Keep Hypothesis from drawing constants that it finds in modules that happen to be imported, and are no library.

    With them a seed would give other cases for a person who changes their loss, or after other tests. Hypothesis has no
    setting for that (6.170.17). Where it has these names no longer they are drawn.
    """
    if not all(hasattr(PROVIDERS, name) for name in ("_get_local_constants", "Constants", "CONSTANTS_CACHE")):
        yield
        return
    before = PROVIDERS._get_local_constants, PROVIDERS.CONSTANTS_CACHE
    PROVIDERS._get_local_constants, PROVIDERS.CONSTANTS_CACHE = PROVIDERS.Constants, _permitted()
    try:
        yield
    finally:
        PROVIDERS._get_local_constants, PROVIDERS.CONSTANTS_CACHE = before


@cache
def _permitted() -> Any:
    """Hypothesis's cache of which constants a range permits, not to be mixed up with its owner's."""
    return type(PROVIDERS.CONSTANTS_CACHE)(1024)
