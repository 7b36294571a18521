"""The self-test: whether the oracle stands on firm ground here, and whether the checks tell wrong from right.

The first samples what the reference assumes of NumPy. The second puts every miniature to the checks: each fault to
those that are named for it, each correct loss to all that apply. It asks no framework's own losses.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any

from lossconform.adapters.base import Framework
from lossconform.checks import CHECKS
from lossconform.checks.check import Question
from lossconform.drawing import seeded
from lossconform.examine import examine
from lossconform.plan import questions
from lossconform.profiles import PROFILES
from lossconform.reference.selftest import ALLOWED, FUNCTIONS, selftest
from lossconform.reports.model import Assumption, Record, Verdict

PACKAGE = "lossconform.adapters.miniatures"
FAULTY = {"numpy": "faulty", "torch": "torch_faulty"}
CORRECT = {"numpy": "unusual", "torch": "torch_unusual"}
"""The modules of miniatures, by the package that they are written in."""

OF_FAULTS = dataclasses.replace(PROFILES["quick"], shrink=False)
OF_CORRECT = dataclasses.replace(PROFILES["smoke"], many=200)
"""The profiles: a fault is asked as in every change; a correct loss is asked everything, so less of each."""

Say = Callable[[str], object]


def assumptions(samples: int = 1000, seed: int = 0) -> list[Assumption]:
    """Return what sampling shows of the reference's assumptions on this machine.

    Args:
        samples: how many arguments of each kind a function is sampled at; there are two or three kinds.
        seed: of the arguments; the same seed gives the same numbers on one machine.
    """
    return [
        Assumption(
            function=check.name,
            worst=check.worst,
            allowed=ALLOWED if check.name in FUNCTIONS else 0.0,
            argument=check.argument,
            samples=check.samples,
            ok=check.ok,
        )
        for check in selftest(samples, seed)
    ]


def table(found: Iterable[Assumption]) -> list[str]:
    """Return the lines of a table of assumptions, its head first."""
    lines = [f"{'function':<12}{'worst ULP':>10}{'allowed':>9}{'samples':>9}  {'worst at':<26}"]
    lines += [
        f"{a.function:<12}{a.worst:>10.3f}{a.allowed:>9g}{a.samples:>9}  {a.argument:<26}{'ok' if a.ok else 'TOO FAR'}"
        for a in found
    ]
    return [line.rstrip() for line in lines]


@dataclass(frozen=True)
class Subject:
    """One miniature to be asked.

    Attributes:
        written: the package that it is written in: a key of `FAULTY`.
        group: the kind of its fault; 'correct' for one without.
        id: its name in its module.
    """

    written: str
    group: str
    id: str

    @property
    def correct(self) -> bool:
        """Whether it has no fault."""
        return self.group == "correct"


@dataclass(frozen=True)
class Outcome:
    """What the checks said of one miniature.

    Attributes:
        subject: which.
        says: what is wrong with it, or unusual about it.
        asked: the ids of the checks that were asked.
        against: the ids of those that had something against it; for a fault, those that caught it.
        messages: what they said, for a correct loss.
        seconds: of processor time that it took.
        excuse: why it is known to survive; empty for most.
    """

    subject: Subject
    says: str
    asked: tuple[str, ...]
    against: tuple[str, ...]
    messages: tuple[str, ...]
    seconds: float
    excuse: str = ""

    @property
    def good(self) -> bool:
        """Whether a fault was caught by a check named for it, or a correct loss left alone by all."""
        return bool(self.against) != self.subject.correct


def written() -> list[str]:
    """Return the packages whose miniatures can be asked here."""
    return [package for package in FAULTY if importlib.util.find_spec(package) is not None]


def subjects(packages: Iterable[str]) -> list[Subject]:
    """Return every miniature of some packages: the faulty ones by kind, then the correct ones."""
    found = []
    for package in packages:
        for module in _module(FAULTY[package]).MODULES:
            group = module.__name__.rpartition("faults_of_")[2]
            found += [Subject(package, group, fault.id) for fault in module.FAULTS]
        found += [Subject(package, "correct", name) for name in _module(CORRECT[package]).VARIATIONS]
    return found


def ask(subject: Subject, seed: int) -> Outcome:
    """Put one miniature to its checks. The seed is that of every case that Hypothesis draws."""
    started = time.process_time()
    with seeded(seed):
        says, records, against = (_ask_correct if subject.correct else _ask_fault)(subject)
    return Outcome(
        subject=subject,
        says=says,
        asked=tuple(dict.fromkeys(record.check for record in records)),
        against=tuple(dict.fromkeys(record.check for record in against)),
        messages=tuple(f"{record.check} ({record.dtype}): {record.verdict}, {record.message}" for record in against),
        seconds=time.process_time() - started,
        excuse=_survivors(subject).get(subject.id, ""),
    )


def outcomes(asked: list[Subject], seed: int, jobs: int) -> Iterator[Outcome]:
    """Ask miniatures in so many processes; return the outcomes in the order of the miniatures, as they come."""
    if jobs == 1:
        yield from map(partial(ask, seed=seed), asked)
        return
    # Spawned: a forked process would inherit a framework's threads, or rather the lack of them.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(partial(ask, seed=seed), asked, chunksize=4)


def kill(seed: int, jobs: int, say: Say) -> bool:
    """Ask every miniature and say how each fared, line by line; return whether all did as is known of them."""
    packages = written()
    for package in FAULTY.keys() - packages:
        say(f"{package} is not installed: its miniatures are not asked")
    seen: list[Outcome] = []
    for outcome in outcomes(subjects(packages), seed, jobs):
        if not seen or _heading(seen[-1]) != _heading(outcome):
            say(f"\n{_heading(outcome)}")
        seen.append(outcome)
        for line in line_of(outcome):
            say(line)
    say("")
    for line in totals(seen):
        say(line)
    return all(outcome.good or outcome.excuse for outcome in seen)


def line_of(outcome: Outcome) -> list[str]:
    """Return what is said of one miniature: a line, and a line for each thing said against a correct loss."""
    head = f"  {outcome.subject.id:<32} {outcome.says:<56} "
    if outcome.subject.correct:
        passed = f"left alone by {len(outcome.asked)} checks"
        return [head + (passed if outcome.good else "FALSE ALARM"), *(f"      {m}" for m in outcome.messages)]
    missed = [check for check in outcome.asked if check not in outcome.against]
    caught = (
        f"caught by: {', '.join(outcome.against)}"
        if outcome.good
        else "SURVIVED" + (f", as known: {outcome.excuse}" if outcome.excuse else "")
    )
    return [head + caught + (f" (not by {', '.join(missed)})" if missed else "")]


def totals(seen: list[Outcome]) -> list[str]:
    """Return the score, and the names of those that did not do as they should."""
    faults = [outcome for outcome in seen if not outcome.subject.correct]
    right = [outcome for outcome in seen if outcome.subject.correct]
    survivors = [outcome.subject.id for outcome in faults if not outcome.good]
    alarms = [outcome.subject.id for outcome in right if not outcome.good]
    caught = f"{len(faults) - len(survivors)}/{len(faults)} faults caught by a check named for them"
    lines = [
        f"{caught}; {len(alarms)}/{len(right)} correct losses failed",
        f"{sum(outcome.seconds for outcome in seen):.0f} seconds of processor time",
    ]
    lines += [f"survived: {', '.join(survivors)}"] if survivors else []
    return lines + ([f"failed although correct: {', '.join(alarms)}"] if alarms else [])


def _heading(outcome: Outcome) -> str:
    kind = "correct losses" if outcome.subject.correct else f"faults of {outcome.subject.group}"
    return f"{kind}, in {outcome.subject.written}"


def _survivors(subject: Subject) -> dict[str, str]:
    """Return the faults that are known to survive in the module of one, and why."""
    known: dict[str, str] = {} if subject.correct else getattr(_module(FAULTY[subject.written]), "SURVIVORS", {})
    return known


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


@cache
def _framework(name: str) -> Framework:
    asked: Framework = _module(name).framework()
    return asked


def _ask_fault(subject: Subject) -> tuple[str, list[Record], list[Record]]:
    """Ask the checks that are named for a fault; against it are those that fail."""
    name = FAULTY[subject.written]
    framework, fault = _framework(name), _module(name).FAULTS[subject.id]
    function, mode = framework.function(f"{name}.{fault.id}"), next(iter(framework.engine.modes))
    records = [
        examine(framework, Question(function, CHECKS[check], fault.dtype, mode, OF_FAULTS), [])
        for check in fault.checks
    ]
    return fault.wrong, records, [record for record in records if record.verdict is Verdict.FAIL]


def _ask_correct(subject: Subject) -> tuple[str, list[Record], list[Record]]:
    """Ask every check that applies to a correct loss; against it are those that do not pass."""
    name = CORRECT[subject.written]
    variation: Any = _module(name).VARIATIONS[subject.id]
    one = Framework("miniatures", _framework(name).engine, (variation.function(),))
    asked = [question for question in questions(one, OF_CORRECT) if question.mode == next(iter(one.engine.modes))]
    records = [examine(one, question, []) for question in asked]
    # A contract with fewer dtypes is asked nothing in the others, and one may state that it accepts nonsense.
    expected = dict.fromkeys(variation.hazards, Verdict.HAZARD)
    return (
        variation.meaning,
        [record for record in records if record.verdict is not Verdict.UNSUPPORTED],
        [r for r in records if r.verdict not in (expected.get(r.check, Verdict.PASS), Verdict.UNSUPPORTED)],
    )
