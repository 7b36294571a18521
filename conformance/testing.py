"""Conformance tests of losses of one's own, in one's own test files: `conformance_tests`.

It needs no option of pytest and no plugin: what it returns is an ordinary parametrised test function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from lossconform.adapters import TargetError, ready
from lossconform.adapters.base import Framework
from lossconform.checks import CHECKS
from lossconform.checks.check import Question
from lossconform.drawing import given_seed, seeded
from lossconform.examiner import Examiner
from lossconform.expectations import Expectation, read
from lossconform.isolation import LastCase, Watched
from lossconform.plan import questions
from lossconform.profiles import PROFILES
from lossconform.stop import Stop


def conformance_tests(
    *losses: Framework,
    profile: str = "quick",
    checks: Sequence[str] | None = None,
    expectations: str | Path | None = None,
    seed: int = 0,
) -> Callable[..., None]:
    """Return a test function with one test for each check, dtype and mode of the losses.

    Assign it to a name that begins with `test_`: then `-k`, `-x`, `-n` and test explorers see each check as a test of
    its own, such as `test_my_loss[gradient-float32-eager]`.

    Args:
        losses: what `loss_function` of an adapter returned.
        profile: how much to ask: 'smoke', 'quick' or 'full'.
        checks: the ids of those to ask; all if None.
        expectations: a TOML file of known deviations, in the format of those that come with lossconform; the targets
            in it are the names of the losses.
        seed: of the generated cases; pytest's --hypothesis-seed goes before it.

    Raises:
        TypeError: something else than a loss was given.
        ValueError: no loss, an unknown profile or check, or expectations that cannot be read.
    """
    for loss in losses:
        if not isinstance(loss, Framework):
            raise TypeError(
                f"expected what loss_function of an adapter returns, such as "
                f"lossconform.adapters.pytorch.loss_function(my_loss, like=...); got {type(loss).__name__}"
            )
    if not losses:
        raise ValueError("no loss was given")
    _known("profile", [profile], PROFILES)
    _known("checks", checks or [], CHECKS)
    known = [] if expectations is None else read(Path(expectations))
    several = len(losses) > 1
    asked = [
        pytest.param(loss, question, id=_id(question, several))
        for loss in losses
        for question in questions(loss, PROFILES[profile])
        if question.dtype in question.function.contract.dtypes and (checks is None or question.check.id in checks)
    ]

    examiners: dict[str, Examiner] = {}

    @pytest.mark.parametrize(("loss", "question"), asked)
    def test_conformance(loss: Framework, question: Question) -> None:
        __tracebackhide__ = True
        if loss.target not in examiners:
            try:
                examiners[loss.target] = _examiner(loss, known)
            except TargetError as error:
                pytest.fail(str(error), pytrace=False)
        # A test of a loss should not come and go; but pytest may have been told otherwise.
        with seeded(seed) if given_seed() is None else nullcontext():
            examiners[loss.target].examine(question)

    return test_conformance


def _examiner(loss: Framework, known: list[Expectation]) -> Examiner:
    watched = Watched.of(ready(loss), LastCase(), Stop(interrupt=True))
    return Examiner(watched, [e for e in known if loss.target in e.targets and e.installed()], lambda record: None)  # noqa: ARG005


def _id(question: Question, several: bool) -> str:
    place = f"{question.check.id}-{question.dtype}-{question.mode}"
    return f"{question.function.id}-{place}" if several else place


def _known(what: str, given: Sequence[str], known: Mapping[str, object]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"{what}: {name!r}; expected one of {', '.join(known)}")
