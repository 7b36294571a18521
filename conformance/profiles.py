"""Profiles: how much of everything a run does."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lossconform.adapters.contract import DTYPES


@dataclass(frozen=True)
class Profile:
    """How much of everything a run does.

    Attributes:
        name: what it is asked for by.
        per_regime: accuracy cases for each regime, or one for each form of the target if those are more.
        again: the same for a loss function that is another form of one.
        examples: cases for each check of meaning.
        meaning_dtypes: the dtypes in which meaning is checked, and how accurate another form of a loss function is.
        elsewhere: cases for each check of meaning in the other dtypes, where it is asked in them too, and of another
            form of a loss function.
        compiled_dtypes: the dtypes in which accuracy is checked in modes other than the usual one.
        every_mode: whether checks of meaning run in compiled modes too, the dearest modes run at all, another form of a
            loss function is asked in more than the usual one, and modes other than that see the regimes with many
            classes, whose shape is compiled anew; and whether the value is compiled alone, else with the gradient, so
            that one program answers both.
        rows: of an accuracy case.
        classes: of an accuracy case.
        few: rows and classes of an accuracy case in an uncompiled mode beside a usual one that compiles; None for as
            many as elsewhere. Such a framework compiles each operator for each shape, those of the checks of meaning
            anyway.
        many: classes of the regimes with many; 0 leaves them out.
        large: cases for each check whose cases are large.
        shrink: whether a failing case is made smaller before it is shown.
    """

    name: str
    per_regime: int
    again: int
    examples: int
    meaning_dtypes: tuple[str, ...]
    elsewhere: int
    compiled_dtypes: tuple[str, ...]
    every_mode: bool
    rows: int = 8
    classes: int = 10
    few: tuple[int, int] | None = (2, 3)
    many: int = 1000
    large: int = 4
    shrink: bool = True

    def beside(self) -> Profile:
        """Return the profile with the shape of an uncompiled mode beside a usual one that compiles."""
        rows, classes = self.few or (self.rows, self.classes)
        return replace(self, rows=rows, classes=classes)


PROFILES = {
    "smoke": Profile("smoke", 1, 1, 6, ("float32",), 6, (), every_mode=False, rows=4, many=0, large=2),
    "quick": Profile("quick", 2, 1, 24, ("float32",), 9, ("float32",), every_mode=False),
    "full": Profile(
        "full", 10, 10, 150, DTYPES, 150, DTYPES, every_mode=True, rows=16, few=None, many=50_000, large=24
    ),
}
"""smoke: for tests of the toolkit; quick: every change; full: every release."""
