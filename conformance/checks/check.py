"""What a check is: one property that must hold, with the cases that can show whether it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis.strategies import SearchStrategy

from lossconform.adapters.base import UNCOMPILED, LossFunction
from lossconform.adapters.contract import Contract
from lossconform.profiles import Profile
from lossconform.reference.case import Case
from lossconform.strategies.strata import EACH

Cases = Callable[[Contract, str], tuple[SearchStrategy[Case], ...] | SearchStrategy[Case]]
"""The strategy of a check for a contract and a dtype; several where each must have its turn, however few the cases."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One property that must hold of a loss function.

    Attributes:
        id: its name, in reports and test ids.
        group: the test module that it stands in.
        question: what it asks, for a reader.
        applies: whether a contract makes the question sensible.
        cases: the strategy; None for the checks of accuracy, which go through the regimes.
        policy: the policy that it identifies, if it does.
        gradient: whether the gradient is asked for and judged.
        plain: the case without the thing that the check is about, or whether the case tells. A case that the
            reference cannot tell from its plain form is no evidence.
        each: the lists of a contract that it goes through value by value; of the others it draws.
        large: whether its cases are made from a seed and so large that each form, target and reduction gets one, and a
            failing one is cut to equal rows instead of being shrunk.
        once: whether what it asks hangs on form, target and reduction and on no number, so that each gets one case.
        every_dtype: whether even the quick profile asks it in every dtype.
        hazards: values of the policy that accept nonsense in silence.
        may_refuse: whether an exception is as good as the exact answer.
        strict_dtype: whether it is about the answer's dtype, which must be the prediction's, and not about its numbers.
    """

    id: str
    group: str
    question: str
    applies: Callable[[Contract], bool]
    cases: Cases | None = None
    policy: str | None = None
    gradient: bool = False
    plain: Callable[[Case], Case | bool] | None = None
    each: tuple[str, ...] = EACH
    large: bool = False
    once: bool = False
    every_dtype: bool = False
    hazards: frozenset[str] = frozenset()
    may_refuse: bool = False
    strict_dtype: bool = False


@dataclass(frozen=True)
class Question:
    """A check put to a loss function in a dtype and a mode: one test, one record."""

    function: LossFunction
    check: Check
    dtype: str
    mode: str
    profile: Profile

    @property
    def id(self) -> str:
        """The name people see."""
        return f"{self.check.id}-{self.function.id}-{self.dtype}-{self.mode}"

    @property
    def gradient(self) -> bool:
        """Whether the gradient is asked for: judged, or computed by the program whose value is judged."""
        together = self.check.cases is None and self.mode not in UNCOMPILED and not self.profile.every_mode
        return self.check.gradient or together
