"""Losses that a user brings along: a callable with a contract, as a target of its own.

The contract is taken over from a known loss function (`like`) or stated in a few lines. Which engine runs the callable
is for each adapter's `loss_function` to say. No framework is imported here.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np

from lossconform.adapters.base import Call, Engine, Framework, LossFunction, in_dtype
from lossconform.adapters.contract import AXES, DTYPES, LABEL_DTYPES, OPTIONS, Clause, Contract, Source
from lossconform.reference.case import FUNCTIONS, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.grades import ACCUMULATORS, LABELS, USUAL, Grade
from lossconform.reference.policy import CHOICES

OPTION_NAMES = tuple(sorted(OPTIONS))
PASSED_TO_CALLS = ("prediction", "target", "sample_weight", "where")
"""What a class is called with; everything else it is made with."""


class StatementError(ValueError):
    """What is said of a loss does not go together; the message says what, and how to mend it."""


class Statement(TypedDict, total=False):
    """What is said of a loss that is brought along; `loss_function` of every adapter takes it by keyword.

    Keys:
        name: what it is called in reports; by default its dotted name.
        like: the id of a known loss function whose signature and contract it takes over. What else is said narrows or
            replaces parts of that contract.
        loss: what it computes, a value of `Loss`; not with `like`.
        forms: what its predictions are: 'logits', 'log_probabilities', 'probabilities'. A mapping says which value the
            argument `form` has for each: {"logits": True, "probabilities": False}.
        targets: 'index', 'one_hot', 'distribution', 'binary', 'log_distribution'; a mapping as for `forms`.
        reductions: 'none', 'sum', 'mean', 'batch_mean', 'weighted_mean'; a mapping as for `forms`.
        options: those of class_weight, pos_weight, sample_weight, ignore_index, where, label_smoothing, gamma, alpha
            and class_axis that it takes; with `like`, those of its options that this loss has too, by default all.
        arguments: without `like`: the names of the arguments for prediction, target, options, form, target_form and
            reduction, where they are called otherwise. `form` and `reduction` are passed where there are several to
            choose from, `target_form` where a mapping says what to pass.
        dtypes: the dtypes of its predictions; by default float64, float32, bfloat16 and float16.
        label_dtypes: the dtypes of index labels; by default int64, or with `like` what that function takes.
        policies: what is promised where the mathematics leaves a choice, such as {"mean_denominator": "weights"}.
            What is not stated is identified and reported.
        class_axis: where the class axis of three or more axes is: 'last', 'second' or 'any'; 'rows' for (N, C) only.
        bar: the worst grade that is promised of its values and gradients, such as 'shift-stable', where that is better
            than what its loss is asked for.
        accumulator: with what precision it adds up classes and rows: 'float32 or wider', 'float64' or 'own dtype'; see
            `Contract`.
    """

    name: str
    like: str
    loss: str
    forms: Sequence[str] | Mapping[str, Any]
    targets: Sequence[str] | Mapping[str, Any]
    reductions: Sequence[str] | Mapping[str, Any]
    options: Sequence[str]
    arguments: Mapping[str, str]
    dtypes: Sequence[str]
    label_dtypes: Sequence[str]
    policies: Mapping[str, str]
    class_axis: str
    bar: str
    accumulator: str


def bring(target: Callable[..., Any], engine: Engine, said: Statement, **settings: Any) -> Framework:
    """Return a callable as a target of its own, with one loss function.

    Args:
        target: a function, a class whose instances are called, or such an instance.
        engine: what runs it.
        said: what is said of it.
        settings: further fields of the `Framework`.

    Raises:
        StatementError: something is missing, unknown, or does not go together.
    """
    if not callable(target):
        raise StatementError(f"{target!r} cannot be called: expected a function, a class or an instance of one")
    unknown = set(said) - set(Statement.__annotations__)
    if unknown:
        raise StatementError(f"{', '.join(sorted(unknown))}: expected {', '.join(Statement.__annotations__)}")
    name = said.get("name") or dotted(target)
    function = _like(target, name, said) if "like" in said else _stated(target, name, said)
    return Framework(name, engine, (function,), **settings)


def dotted(target: Any) -> str:
    """Return the name that a callable is imported by, as far as it has one; that of its class for an instance."""
    if isinstance(target, functools.partial):
        return dotted(target.func)
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{named.__module__}.{named.__qualname__}"


def find(like: str) -> tuple[str, LossFunction]:
    """Return the target and the loss function of an id; the first target that has it. Raises `StatementError`."""
    from lossconform import adapters  # above this module: it lists the adapters, which bring losses along

    known = [(t, f) for t in adapters.TARGETS for f in adapters.describe(t).functions]
    for target, function in known:
        if function.id == like:
            return target, function
    names = ", ".join(dict.fromkeys(f.id for _, f in known))
    raise StatementError(f"like={like!r} is no known loss function: expected one of {names}")


def _like(target: Callable[..., Any], name: str, said: Statement) -> LossFunction:
    for key in ("loss", "arguments"):
        if key in said:
            raise StatementError(
                f"{key} is said by like={said['like']!r} already: leave it out, or leave out `like` and state all of it"
            )
    _, known = find(said["like"])
    contract = known.contract
    a_class = _is_class(known)
    if isinstance(target, type) and not a_class:
        raise StatementError(f"{name} is a class and {known.id} a function: give an instance, or like= a class")
    instance = a_class and not isinstance(target, type)
    changes: dict[str, Any] = {
        key: tuple(_members(key, said[key]))  # type: ignore[literal-required]
        for key in LISTS
        if key in said
    }
    if instance:
        # It is made already: whatever its class takes when it is made has one value.
        if len(changes.get("forms", contract.forms)) > 1:
            raise StatementError(f"{name}: it was made for one form of predictions: say forms=['logits'] or another")
        mean = (Reduction.MEAN,) if Reduction.MEAN in contract.reductions else contract.reductions[:1]
        changes.setdefault("reductions", mean)
    if "options" in said or instance:
        taken = said.get("options", ())
        _known("options", taken, tuple(contract.options))
        changes["options"] = {option: contract.options[option] for option in taken}
    own = Source(f"{name}, like {contract.source.title}", contract.source.version, contract.source.section, "")
    changes |= {"source": dataclasses.replace(own, url=contract.source.url)}
    documented = {p: clause for p, clause in contract.policies.items() if clause.source is not None}
    # What a known function was seen to do is a good first guess, and no promise of this one.
    guesses = {p: clause for p, clause in contract.policies.items() if clause.source is None}
    stated = _clauses(name, said)
    changes |= {"policies": {**guesses, **documented, **stated}}
    if "class_axis" in said:
        changes["class_axis"] = _axis(said["class_axis"])
    if "bar" in said:
        changes["bar"] = _grade(said["bar"])
    if "accumulator" in said:
        changes["accumulator"] = _accumulator(name, said)

    def call(case: Case) -> Call:
        asked = known.call(case)
        return dataclasses.replace(asked, function=name, own=target, init=None if instance else asked.init)

    return LossFunction(
        name, dataclasses.replace(contract, **changes), call, open=frozenset(CHOICES) - {*documented, *stated}
    )


def _stated(target: Callable[..., Any], name: str, said: Statement) -> LossFunction:
    if "loss" not in said:
        raise StatementError(f"{name}: say like= (a known loss function) or loss= (one of {', '.join(Loss)})")
    (loss,) = _members("loss", [said["loss"]])
    lists: dict[str, Any] = {key: tuple(_members(key, said[key])) for key in LISTS if key in said}  # type: ignore[literal-required]
    if loss in FUNCTIONS:
        lists["targets"] = (TargetForm.NONE,)
    elif "targets" not in lists:
        raise StatementError(f"{name}: targets= is missing: some of {', '.join(TargetForm)}")
    _known("options", said.get("options", ()), OPTION_NAMES)
    roles = ["prediction"] if loss in FUNCTIONS else ["prediction", "target"]
    roles += [role for key, role in CHOSEN.items() if _is_told(key, said.get(key, ()))]  # type: ignore[arg-type]
    given = dict(said.get("arguments", {}))
    _known("arguments", given, ("prediction", "target", *CHOSEN.values(), *OPTION_NAMES))
    arguments = {**{role: role for role in (*roles, *said.get("options", ()))}, **given}
    page = Source(name, "", "as stated by its author", "")
    signature = Signature(
        name=name,
        own=target,
        arguments=arguments,
        **{key: _passed(said.get(key, ())) for key in CHOSEN},  # type: ignore[arg-type]
    )
    axis = "any" if "class_axis" in arguments else "last"
    contract = Contract(
        loss=loss,
        source=page,
        options={option: page for option in OPTION_NAMES if option in arguments},
        policies=_clauses(name, said),
        class_axis=_axis(said.get("class_axis", axis)),
        bar=_grade(said["bar"]) if "bar" in said else None,
        accumulator=_accumulator(name, said) if "accumulator" in said else Clause(USUAL),
        **lists,
    )
    return LossFunction(name, contract, signature.call, open=frozenset(CHOICES) - set(contract.policies))


@dataclass(frozen=True, kw_only=True)
class Signature:
    """How a loss whose arguments were stated is called.

    Attributes:
        name: what it is called.
        own: the callable.
        arguments: the name of each argument.
        forms: the value of the argument `form` for each form; its name where nothing was said. So for the others.
        targets: see forms.
        reductions: see forms.
    """

    name: str
    own: Callable[..., Any]
    arguments: Mapping[str, str]
    forms: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, Any] = field(default_factory=dict)
    reductions: Mapping[str, Any] = field(default_factory=dict)

    def call(self, case: Case) -> Call:
        """Return a case as an invocation."""
        values: dict[str, Any] = {"prediction": case.prediction}
        if case.target is not None:
            dtype = case.target.dtype if case.target_form is TargetForm.INDEX else case.prediction.dtype
            values["target"] = in_dtype(case.target, dtype, "target")
        for role, names, value in (
            ("form", self.forms, case.form),
            ("target_form", self.targets, case.target_form),
            ("reduction", self.reductions, case.reduction),
        ):
            if role in self.arguments:
                values[role] = names.get(str(value), str(value))
        for option in OPTION_NAMES:
            value = getattr(case, option)
            if value is None or option not in self.arguments or (option == "label_smoothing" and not value):
                continue
            weight = isinstance(value, np.ndarray) and option != "where"
            values[option] = in_dtype(value, case.prediction.dtype, option) if weight else value
        if not isinstance(self.own, type):
            return Call(self.name, self._named(values), self.arguments["prediction"], own=self.own)
        called = {role: value for role, value in values.items() if role in PASSED_TO_CALLS}
        made = {role: value for role, value in values.items() if role not in PASSED_TO_CALLS}
        return Call(self.name, self._named(called), self.arguments["prediction"], init=self._named(made), own=self.own)

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {self.arguments[role]: value for role, value in values.items()}


LISTS = ("forms", "targets", "reductions", "dtypes", "label_dtypes")
CHOSEN = {"forms": "form", "targets": "target_form", "reductions": "reduction"}
"""What may be told by an argument, and its role."""

KINDS: dict[str, Any] = {"loss": Loss, "forms": Form, "targets": TargetForm, "reductions": Reduction}
NAMED = {"dtypes": DTYPES, "label_dtypes": LABEL_DTYPES}


def _members(key: str, given: Iterable[str]) -> list[Any]:
    """Return what names stand for."""
    if isinstance(given, str):
        raise StatementError(f"{key}: {given!r}; expected a list, such as [{given!r}]")
    given = list(given)
    if key in NAMED:
        _known(key, given, NAMED[key])
        return given
    kind = KINDS[key]
    _known(key, given, tuple(kind))
    return [kind(name) for name in given]


def _known(key: str, given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise StatementError(f"{key}: {name!r}; expected some of {', '.join(known) or 'none'}")


def _passed(given: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in given.items()} if isinstance(given, Mapping) else {}


def _axis(given: str) -> str:
    _known("class_axis", [given], AXES)
    return given


def _grade(label: str) -> Grade:
    _known("bar", [label], tuple(LABELS.values()))
    return next(grade for grade, name in LABELS.items() if name == label)


def _accumulator(name: str, said: Statement) -> Clause:
    _known("accumulator", [said["accumulator"]], tuple(ACCUMULATORS))
    return Clause(said["accumulator"], Source(name, "", "accumulator", ""))


def _is_told(key: str, given: Sequence[str] | Mapping[str, Any]) -> bool:
    """Whether an argument says which of several it is. What a target is shows in its dtype and shape."""
    return isinstance(given, Mapping) or (len(given) > 1 and key != "targets")


def _clauses(name: str, said: Statement) -> dict[str, Clause]:
    stated = said.get("policies", {})
    _known("policies", stated, tuple(CHOICES))
    for policy, value in stated.items():
        _known(f"policies: {policy}", [value], tuple(CHOICES[policy]))
    return {p: Clause(value, Source(name, "", f"policies, {p}", "")) for p, value in stated.items()}


def _is_class(known: LossFunction) -> bool:
    """Whether a known loss function is a class that is made before it is called."""
    contract = known.contract
    shape = {TargetForm.NONE: None, TargetForm.INDEX: np.zeros(1, np.int64)}
    probe = Case(
        loss=contract.loss,
        prediction=np.zeros((1, 2), np.float32),
        form=contract.forms[0],
        target_form=contract.targets[0],
        target=shape.get(contract.targets[0], np.zeros((1, 2), np.float32)),
        reduction=contract.reductions[0],
    )
    return known.call(probe).init is not None
