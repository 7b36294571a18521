"""Contracts: what the documentation of one loss function promises, as data.

A contract is not what the function does; that is what the suite finds out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lossconform.reference.case import Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.grades import ACCUMULATORS, USUAL, Grade
from lossconform.reference.policy import CHOICES, Policy

OPTIONS = frozenset(
    {
        "class_weight",
        "pos_weight",
        "sample_weight",
        "ignore_index",
        "where",
        "label_smoothing",
        "gamma",
        "alpha",
        "class_axis",
    }
)
"""The options of a case that a loss function may take; see `lossconform.reference.case.Case`."""

DTYPES = ("float64", "float32", "bfloat16", "float16")
"""The dtypes of predictions, widest first."""

LABEL_DTYPES = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
"""The dtypes of index labels; those of cases that ask something else are of the first."""

AXES = ("last", "second", "any", "rows")
"""Where the class axis may be; see `Contract`."""


@dataclass(frozen=True)
class Source:
    """Where something is promised: a documentation page, its version, the section or parameter."""

    title: str
    version: str
    section: str
    url: str


@dataclass(frozen=True)
class Clause:
    """One policy, or the accumulator, of one loss function. Without a source it is observed, not promised.

    Attributes:
        value: of the policy.
        source: the documentation that promises it, in every mode; None where it was observed.
        modes: what was observed instead in some modes of execution, by mode.
    """

    value: str
    source: Source | None = None
    modes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.modes and self.source is not None:
            raise ValueError(f"modes: {dict(self.modes)!r} with a source; expected none: a promise holds in every mode")

    def in_mode(self, mode: str) -> Clause:
        """Return the clause as it was observed in one mode."""
        return Clause(self.modes.get(mode, self.value), self.source)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What one loss function promises.

    Attributes:
        loss: what it computes.
        forms: the predictions it takes.
        targets: the targets it takes.
        reductions: the reductions it takes.
        options: each option it takes, with the place that documents it.
        policies: a clause for each policy that matters to it; the others are as `Policy` has them.
        dtypes: the dtypes of predictions it takes.
        label_dtypes: the dtypes of index labels it takes.
        class_axis: where the class axis of an array of three or more axes must be: 'last', 'second' or 'any'; 'rows'
            where predictions have two axes only, (N, C).
        accumulator: with what precision it adds up classes and rows, a value of `ACCUMULATORS`; what an answer may lose
            is judged by it.
        source: its documentation page.
        bar: the worst grade of its values and gradients, where it promises a better one than its loss is asked for.
    """

    loss: Loss
    source: Source
    forms: tuple[Form, ...] = (Form.LOGITS,)
    targets: tuple[TargetForm, ...] = (TargetForm.NONE,)
    reductions: tuple[Reduction, ...] = (Reduction.NONE,)
    options: Mapping[str, Source] = field(default_factory=lambda: MappingProxyType({}))
    policies: Mapping[str, Clause] = field(default_factory=lambda: MappingProxyType({}))
    dtypes: tuple[str, ...] = DTYPES
    label_dtypes: tuple[str, ...] = LABEL_DTYPES[:1]
    class_axis: str = "last"
    bar: Grade | None = None
    accumulator: Clause = Clause(USUAL)

    def __post_init__(self) -> None:
        for option in self.options:
            if option not in OPTIONS:
                raise ValueError(f"option {option!r}: expected one of {', '.join(sorted(OPTIONS))}")
        for name in self.policies:
            if name not in CHOICES:
                raise ValueError(f"policy {name!r}: expected one of {', '.join(CHOICES)}")
        if self.class_axis not in AXES:
            raise ValueError(f"class_axis: {self.class_axis!r}; expected one of {', '.join(AXES)}")
        if self.accumulator.value not in ACCUMULATORS:
            raise ValueError(f"accumulator: {self.accumulator.value!r}; expected one of {', '.join(ACCUMULATORS)}")
        self.policy()
        for mode in {mode for clause in (*self.policies.values(), self.accumulator) for mode in clause.modes}:
            self.in_mode(mode)

    def in_mode(self, mode: str) -> Contract:
        """Return the contract with what was observed in one mode of execution."""
        if not any(mode in clause.modes for clause in (*self.policies.values(), self.accumulator)):
            return self
        policies = {name: clause.in_mode(mode) for name, clause in self.policies.items()}
        return dataclasses.replace(self, policies=policies, accumulator=self.accumulator.in_mode(mode))

    def policy(self) -> Policy:
        """Return the policy that the clauses state, documented or not."""
        return Policy(**{name: clause.value for name, clause in self.policies.items()})


def used_options(case: Case) -> list[str]:
    """Return the options a case makes use of, other than where its class axis is."""
    optional = ("class_weight", "pos_weight", "sample_weight", "ignore_index", "where", "alpha")
    used = [name for name in optional if getattr(case, name) is not None]
    return [*used, *(name for name in ("label_smoothing", "gamma") if getattr(case, name))]


def unsupported(contract: Contract, case: Case) -> str | None:
    """Say in a sentence why a contract does not cover a case; None if it does.

    Each feature is looked at alone; combinations that do not go together are for `LossFunction.call` to name.
    """
    axes = case.prediction.ndim
    placed = {"last": (axes - 1,), "second": (min(1, axes - 1),), "any": tuple(range(axes))}
    placed["rows"] = (1,) if axes == 2 else ()
    features: list[tuple[str, object, Collection[object]]] = [
        ("the loss", str(case.loss), (str(contract.loss),)),
        ("predictions as", str(case.form), [str(form) for form in contract.forms]),
        ("a target as", str(case.target_form), [str(form) for form in contract.targets]),
        ("the reduction", str(case.reduction), [str(reduction) for reduction in contract.reductions]),
        ("the dtype", case.dtype, contract.dtypes),
        (f"among {axes} axes, the class axis", case.class_axis, placed[contract.class_axis]),
    ]
    if case.target is not None and case.target_form is TargetForm.INDEX:
        features.append(("labels of dtype", case.target.dtype.name, contract.label_dtypes))
    features += [("the option", name, sorted(contract.options)) for name in used_options(case)]
    for what, asked, taken in features:
        if asked not in taken:
            return f"It does not take {what} {asked}, only {', '.join(map(str, taken)) or 'none'}."
    return None
