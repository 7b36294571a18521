"""The same seed draws the same examples, whatever else there is; another turn draws others."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers

from lossconform.drawing import CORE, each, given_seed, seeded

NUMBERS = st.lists(st.integers(0, 10**6), min_size=4, max_size=4)


@pytest.fixture(autouse=True)
def no_seed_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CORE, "global_force_seed", None)


def drawn(number: int, turn: int = 0, examples: int = 30) -> list[list[int]]:
    """Return what is drawn with a seed in a turn."""
    found: list[list[int]] = []
    with seeded(number):
        each(NUMBERS, examples, found.append, turn=turn, shrink=False)
    return found


def test_the_same_seed_draws_the_same() -> None:
    assert drawn(3) == drawn(3)
    assert len(drawn(3)) == 30


def test_other_seeds_and_turns_draw_others() -> None:
    ways = [drawn(number, turn) for number in range(3) for turn in range(3)]
    # The first is always the simplest one.
    assert all(way[0] == [0, 0, 0, 0] for way in ways)
    assert len({str(way[1:]) for way in ways}) == len(ways)


def test_turns_do_not_agree_on_a_coin() -> None:
    """What few examples of one turn miss, those of another find."""
    pairs: list[tuple[bool, int]] = []
    for turn in range(8):
        each(st.tuples(st.booleans(), st.integers(0, 99)), 3, pairs.append, turn=turn, shrink=False)
    assert {coin for coin, _ in pairs[2::3]} == {False, True}


def test_without_a_seed_it_is_nought() -> None:
    assert given_seed() is None
    found: list[list[int]] = []
    each(NUMBERS, 30, found.append, turn=0, shrink=False)
    assert found == drawn(0)


def test_a_seed_is_put_back() -> None:
    with pytest.raises(ZeroDivisionError), seeded(5), seeded(6):
        raise ZeroDivisionError
    assert given_seed() is None


def test_what_is_drawn_does_not_hang_on_what_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis draws constants from modules that belong to no library; a seed here draws the same without them."""
    before = drawn(0, examples=100)
    file = tmp_path / "a_loss_of_my_own.py"
    file.write_text("NUMBERS = (123_457, 234_561, 345_671)\n")
    module = ModuleType(file.stem)
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, file.stem, module)
    assert 123_457 in providers._get_local_constants().set_for_type("integer"), "Hypothesis does so no longer"
    assert drawn(0, examples=100) == before
    assert not {123_457, 234_561, 345_671} & {number for numbers in drawn(0, examples=100) for number in numbers}
