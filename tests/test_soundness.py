"""The sampler of results: it passes what is sound, and notices an enclosure that is not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundness
from containment import OTHERS, QUESTIONS, REGIMES, question

from lossconform.reference import fast
from lossconform.reference.bounds import Bounds
from lossconform.reference.canonical import Canonical
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS

PAIRS = {"fast with double-double", "fast with exact", "double-double with exact"}


def examined(name: str, exact_entries: int = 100, dtype: str = "float32") -> soundness.Tally:
    """Return what a case of 40 rows comes to."""
    tally = soundness.Tally()
    case = question(name, REGIMES["moderate"], dtype, 10, rows=40)
    soundness.examine(case, exact_entries, (name, "moderate"), tally)
    return tally


def test_what_is_sound_passes_and_is_counted() -> None:
    tally = examined("index")
    assert dict(tally.pairs()) == {
        "fast with double-double": 440,
        "fast with exact": 110,
        "double-double with exact": 110,
    }
    assert not tally.rows
    assert soundness.report(tally)[-2:] == ["broken enclosures: 0", "wrong roundings: 0"]


@pytest.mark.parametrize("name", [*QUESTIONS, *OTHERS])
def test_every_loss_has_both_tiers(name: str) -> None:
    tally = examined(name)
    assert set(tally.pairs()) >= PAIRS
    assert not tally.rows


@pytest.mark.parametrize("part", ["value", "gradient"])
@pytest.mark.parametrize("factor", [1 + 2.0**-40, 1 + 2.0**-20])
def test_an_enclosure_that_is_off_is_noticed(part: str, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    right = fast.evaluate

    def wrong(problem: Canonical, *, gradient: bool = True, careful: bool = False) -> Bounds | None:
        bounds = right(problem, gradient=gradient, careful=careful)
        assert bounds is not None
        found = getattr(bounds, part)
        h = found.h.copy()
        h[3] *= factor
        return dataclasses.replace(bounds, **{part: Enclosure(h, found.lo, found.hi)})

    monkeypatch.setattr(fast, "evaluate", wrong)
    tally = examined("index")
    assert tally.found[soundness.BROKEN] == 2
    assert tally.found[soundness.WRONG] == (2 if factor > 1 + 2.0**-30 else 0)
    first = tally.rows[0]
    assert first.startswith(
        "broken enclosures: fast with double-double, index, moderate, float32, C = 10, row 3: x = ['"
    )
    assert "0x1." in first


def test_bounds_that_decide_nothing_contradict_nothing() -> None:
    h = np.ones((2, 1))
    narrow = Bounds(Enclosure(h, h * 0, h * 0), None, np.ones(2, bool))
    wide = Bounds(Enclosure(h, h * -1e-3, h * 1e-3), None, np.array([True, False]))
    entries, broken, wrong = soundness.compare(wide, narrow, FORMATS["float32"])
    assert (entries, broken.any(), wrong.any()) == (1, False, False)
    entries, broken, wrong = soundness.compare(narrow, wide, FORMATS["float32"])
    assert not wrong.any()


@pytest.mark.sweep
def test_every_question_and_regime() -> None:
    tally = soundness.Tally()
    for _ in soundness.sample(1, 20, tally, classes=(1, 2, 10)):
        pass
    assert set(tally.pairs()) >= PAIRS
    assert not tally.rows
