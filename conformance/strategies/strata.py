"""Strata: a contract narrowed to one form, target and reduction at a time, so that few cases miss none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import combinations, product
from typing import Any

from lossconform.adapters.contract import Contract

EACH = ("forms", "targets", "reductions")
"""The lists of a contract that checks of meaning go through, unless they say less."""

LEAST = 3
"""The least number of cases a stratum has: the first that Hypothesis draws is always the simplest one."""


def strata(
    contract: Contract, examples: int, applies: Callable[[Contract], bool], each: tuple[str, ...] = EACH
) -> list[Contract]:
    """Return the contract narrowed to one form, target and reduction at a time, as many times as examples allow.

    Hypothesis varies what it drew before, so that a few dozen cases may well miss one of five reductions. The first
    strata have every value of each list, the next ones the pairs of values that are still missing.

    Args:
        contract: of the loss function.
        examples: how many cases there will be.
        applies: whether the check applies to a contract.
        each: the lists that are narrowed.
    """
    choices: list[list[tuple[str, Any]]] = [[(name, (value,)) for value in getattr(contract, name)] for name in each]
    every = [dataclasses.replace(contract, **dict(chosen)) for chosen in product(*choices)]
    # A check that compares forms, targets or reductions applies to none of them alone: it has all.
    left = [one for one in every if applies(one)] or every
    chosen: list[Contract] = []
    seen: set[frozenset[tuple[str, str]]] = set()
    while left and len(chosen) < max(1, examples // LEAST):
        new = [sum(len(EACH) ** (2 - len(part)) for part in _parts(one, each) - seen) for one in left]
        chosen.append(left.pop(new.index(max(new))))
        seen |= _parts(chosen[-1], each)
    return chosen


def _parts(one: Contract, each: tuple[str, ...]) -> set[frozenset[tuple[str, str]]]:
    """Return the values of a narrowed contract, and the pairs of them."""
    values = [(name, str(getattr(one, name)[0])) for name in each]
    return {frozenset(part) for size in (1, 2) for part in combinations(values, size)}
