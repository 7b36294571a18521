"""The plan: which questions a run asks of a target, and what the run file says of the things asked."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator

import numpy as np

from lossconform.adapters.base import EAGER, Engine, Framework, LossFunction
from lossconform.adapters.contract import DTYPES, Contract, Source
from lossconform.checks import CHECKS
from lossconform.checks.check import Check, Question
from lossconform.expectations import Expectation
from lossconform.profiles import Profile
from lossconform.reference.case import TargetForm
from lossconform.reports.model import CheckInfo, ClauseText, ExpectationInfo, FunctionInfo


def questions(framework: Framework, profile: Profile, group: str | None = None) -> list[Question]:
    """Return the questions of a run, in order; those of one group of checks if asked."""
    checks = [check for check in CHECKS.values() if group in (None, check.group)]
    return [
        Question(function.in_mode(mode), check, dtype, mode, profile)
        for function in framework.functions
        for check in checks
        if check.applies(function.contract)
        for dtype, mode in _places(framework, function, check, profile)
    ]


def _places(framework: Framework, function: LossFunction, check: Check, profile: Profile) -> Iterator[tuple[str, str]]:
    """Return the dtypes and modes in which a profile asks a check of a loss function."""
    first = first_mode(framework.engine, check)
    others = [mode for mode in framework.engine.modes if mode != first]
    accuracy = check.cases is None
    everywhere = accuracy or check.every_dtype
    # What computes another form of a loss function is the same; what is around it is a question of meaning.
    another = accuracy and bool(function.form_of)
    for dtype in DTYPES:
        if (everywhere and not another) or dtype in profile.meaning_dtypes:
            yield dtype, first
    # The second mode is the cheapest of the compiled ones, or, where that is usual, the uncompiled one.
    sample = others if profile.every_mode else () if function.form_of else others[:1]
    for mode in sample if accuracy or profile.every_mode else ():
        for dtype in DTYPES:
            if dtype in profile.compiled_dtypes and (everywhere or dtype in profile.meaning_dtypes):
                yield dtype, mode


def first_mode(engine: Engine, check: Check) -> str:
    """Return the mode in which every profile asks a check: the engine's usual one for accuracy.

    Meaning is asked uncompiled where that can be: a compiler changes how an answer is computed, seldom which answer is
    meant, and it starts anew for each combination of options. Profile full asks it in every mode.
    """
    usual = next(iter(engine.modes))
    return EAGER if check.cases is not None and EAGER in engine.modes else usual


def environment() -> dict[str, str]:
    """Return what else an answer may depend on: Python, the processor and the reference's libraries."""
    libraries = ("numpy", "python-flint", "ml-dtypes", "hypothesis", "pytest")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{name: importlib.metadata.version(name) for name in libraries},
        "simd": ", ".join(np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])) or "baseline",
    }


def check_infos() -> list[CheckInfo]:
    """Return every check for the run file."""
    return [CheckInfo(id=check.id, question=check.question) for check in CHECKS.values()]


def function_infos(framework: Framework) -> list[FunctionInfo]:
    """Return a target's loss functions and contracts for the run file."""
    return [_function_info(function) for function in framework.functions]


def _function_info(function: LossFunction) -> FunctionInfo:
    contract = function.contract
    return FunctionInfo(
        id=function.id,
        loss=str(contract.loss),
        source=_cite(contract.source),
        url=contract.source.url,
        clauses=list(_clauses(contract)),
    )


def _cite(source: Source) -> str:
    return f"{source.title} {source.version}, {source.section}"


def _clauses(contract: Contract) -> Iterator[ClauseText]:
    page = {"source": _cite(contract.source), "url": contract.source.url}
    for name, values in (
        ("predictions", contract.forms),
        ("targets", contract.targets),
        ("reductions", contract.reductions),
        ("dtypes", contract.dtypes),
        ("label dtypes", contract.label_dtypes if TargetForm.INDEX in contract.targets else ()),
        ("class axis", (contract.class_axis,)),
    ):
        if values:
            yield ClauseText(clause=name, value=", ".join(map(str, values)), **page)
    for option, source in contract.options.items():
        yield ClauseText(clause=f"option {option}", value="taken", source=_cite(source), url=source.url)
    chosen = {f"policy {policy}": clause for policy, clause in contract.policies.items()}
    for name, clause in {"accumulator": contract.accumulator, **chosen}.items():
        cited = {} if clause.source is None else {"source": _cite(clause.source), "url": clause.source.url}
        yield ClauseText(clause=name, value=clause.value, **cited)
        for mode, value in clause.modes.items():
            yield ClauseText(clause=f"{name}, {mode}", value=value)


def expectation_infos(expectations: list[Expectation]) -> list[ExpectationInfo]:
    """Return the known deviations for the run file."""
    return [
        ExpectationInfo(
            id=e.id,
            loss_functions=list(e.loss_functions),
            check=e.check,
            versions=", ".join(f"{name} {spec}" for name, spec in e.versions.items()),
            reason=e.reason,
            link=e.link,
        )
        for e in expectations
    ]
