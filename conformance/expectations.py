"""Known deviations, as data: what deviates, where, since when and why, with the witness that shows it.

An expectation covers a deviation only as far as it says: check, loss functions, dtypes, modes, facts about the case,
versions, and for accuracy the worst grade. Its witness is asked in every run; one that shows nothing any more makes the
expectation stale, which is a failure.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from lossconform.adapters import version
from lossconform.checks import CHECKS
from lossconform.checks.check import Question
from lossconform.judge import Judgement
from lossconform.reference.case import Array, Case, Form, Loss, Reduction, TargetForm
from lossconform.reference.formats import FORMATS
from lossconform.reference.grades import LABELS, Grade
from lossconform.reference.serial import case_from_json


def _range(case: Case) -> float:
    x = case.prediction.astype(np.float64)
    x = x[np.isfinite(x)]
    return float(np.abs(x).max()) if x.size else 0.0


def _soft(case: Case) -> bool:
    return case.target_form in (TargetForm.DISTRIBUTION, TargetForm.ONE_HOT)


def _below(case: Case, bound: float, *, target: bool = False) -> bool:
    """Whether a probability of the prediction, or of the target if asked, is below a bound."""
    arrays = [case.prediction] if case.form is Form.PROBABILITIES else []
    if target and _soft(case) and case.target is not None:
        arrays.append(case.target)
    return any(bool((array.astype(np.float64) < bound).any()) for array in arrays)


def _at_a_bound(case: Case) -> bool:
    """Whether a probability is one of the bounds that Keras clips to, rounded to the dtype."""
    high = 1.0 if case.loss is Loss.KL_DIVERGENCE else 1 - 1e-7
    bounds = np.array([1e-7, high]).astype(case.prediction.dtype)
    return case.form is Form.PROBABILITIES and bool(np.isin(case.prediction, bounds).any())


def _rounds_to_one(case: Case) -> bool:
    """Whether a probability divided by the sum of its row is 1 to within rounding."""
    if case.form is not Form.PROBABILITIES:
        return False
    x = case.prediction.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient = x / x.sum(axis=case.class_axis, keepdims=True)
    return bool((quotient >= 1 - 4 * case.format.unit_roundoff).any())


def _labels_in_dtype(case: Case) -> tuple[Array, Array]:
    """Return index labels, and the same after a round trip through the prediction's dtype."""
    if case.target_form is not TargetForm.INDEX or case.target is None:
        return np.zeros(0), np.zeros(0)
    return case.target, case.target.astype(case.prediction.dtype).astype(np.float64)


def _label_changed(case: Case) -> bool:
    labels, cast = _labels_in_dtype(case)
    return bool((labels != cast).any())


def _label_lost(case: Case) -> bool:
    labels, cast = _labels_in_dtype(case)
    return bool(((labels < case.classes) & (cast >= case.classes)).any())


def _logit_flushed(case: Case) -> bool:
    """Whether a logit is 0 or below the smallest normal number of the float32 or float64 it is computed in."""
    tiny = min(case.format.tiny, FORMATS["float32"].tiny)
    return case.form is Form.LOGITS and bool((np.abs(case.prediction.astype(np.float64)) < tiny).any())


def _negative(case: Case, bound: float) -> bool:
    """Whether a binary target of 0 has a logit below 0, of at most a bound."""
    if case.form is not Form.LOGITS or case.target_form is not TargetForm.BINARY or case.target is None:
        return False
    x = case.prediction.astype(np.float64)
    return bool(((x < 0) & (x <= bound) & (case.target.astype(np.float64) == 0)).any())


def _perfect(case: Case) -> bool:
    """Whether a probability of 0 or 1 equals its binary target."""
    if case.target_form is not TargetForm.BINARY or case.target is None:
        return False
    p = case.prediction.astype(np.float64)
    return bool((np.isin(p, (0.0, 1.0)) & (p == case.target.astype(np.float64))).any())


def _factor_of_zero(case: Case) -> bool:
    """Whether the factor 1 - p_t of a focal loss is 0 to within rounding."""
    if case.loss is not Loss.FOCAL or case.target is None:
        return False
    x, t = case.prediction.astype(np.float64), case.target.astype(np.float64)
    t = t * (1 - case.label_smoothing) + case.label_smoothing / 2
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-x)) if case.form is Form.LOGITS else x
    return bool((t * (1 - p) + (1 - t) * p <= 2 * case.format.unit_roundoff).any())


def _ignored_nonfinite(case: Case) -> bool:
    """Whether a row that is ignored holds NaN or an infinity."""
    if case.target_form is not TargetForm.INDEX or case.target is None or case.ignore_index is None:
        return False
    bad = ~np.isfinite(case.prediction.astype(np.float64)).all(axis=case.class_axis)
    return bool((bad & (case.target == case.ignore_index)).any())


def _wrapped(case: Case) -> bool:
    """Whether an index label is negative, but not below -C."""
    labels, _ = _labels_in_dtype(case)
    return bool(((labels < 0) & (labels >= -case.classes)).any())


FACTS: dict[str, Callable[[Case], bool]] = {
    "from logits": lambda case: case.form is Form.LOGITS,
    "from probabilities": lambda case: case.form is Form.PROBABILITIES,
    "index target": lambda case: case.target_form is TargetForm.INDEX,
    "soft target": _soft,
    "masked logits": lambda case: bool(np.isneginf(case.prediction.astype(np.float64)).any()),
    "large logits": lambda case: _range(case) >= 8,
    "logits beyond 2": lambda case: _range(case) >= 2,
    "subnormal logits": lambda case: 0 < _range(case) < 2 * case.format.tiny,
    "huge logits": lambda case: _range(case) >= case.format.finite_max / 2**10,
    "logit flushed to 0": _logit_flushed,
    "logit of NaN or +inf": lambda case: bool((~(case.prediction.astype(np.float64) < np.inf)).any()),
    "negative logit for target 0": lambda case: _negative(case, 0.0),
    "logit -inf for target 0": lambda case: _negative(case, -np.inf),
    "non-finite ignored row": _ignored_nonfinite,
    "label from -C to -1": _wrapped,
    "perfect probability": _perfect,
    "gamma below 1": lambda case: case.loss is Loss.FOCAL and case.gamma < 1,
    "focal factor rounds to 0": _factor_of_zero,
    "many classes": lambda case: case.classes >= 100,
    "sample weight and ignore index": lambda case: case.sample_weight is not None and case.ignore_index is not None,
    "reduced": lambda case: case.reduction is not Reduction.NONE,
    "not reduced": lambda case: case.reduction is Reduction.NONE,
    "where": lambda case: case.where is not None,
    "label smoothing": lambda case: case.label_smoothing > 0,
    "mean": lambda case: case.reduction in (Reduction.MEAN, Reduction.WEIGHTED_MEAN),
    "batch mean": lambda case: case.reduction is Reduction.BATCH_MEAN,
    "class axis not last": lambda case: case.class_axis != case.prediction.ndim - 1,
    "label not in dtype": _label_changed,
    "label beyond the classes in dtype": _label_lost,
    "probability of 1": lambda case: case.form is Form.PROBABILITIES and bool((case.prediction == 1).any()),
    "probability at a bound": _at_a_bound,
    "quotient rounds to 1": _rounds_to_one,
    "probability below 2^-15": lambda case: _below(case, 2.0**-15),
    "probability below 2^-7": lambda case: _below(case, 2.0**-7),
    "probability or target below 2^-7": lambda case: _below(case, 2.0**-7, target=True),
    "probability or target below 1e-7": lambda case: _below(case, 1e-7, target=True),
    "probability at an end": lambda case: bool(np.isin(case.prediction.astype(np.float64), (0.0, 1.0)).any()),
}
"""The closed list of facts about a case that an expectation may ask for."""


class ExpectationError(ValueError):
    """An expectation file is wrong; the message names the file, the expectation and the field."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Expectation:
    """One known deviation.

    Attributes:
        id: unique.
        targets: the targets it is seen on.
        loss_functions: the ids it is seen in.
        check: the check it deviates from.
        versions: a version specifier for each distribution it holds for.
        reason: what deviates and why.
        link: where it is discussed or documented.
        dtypes: the dtypes it is seen in; empty for all.
        modes: the modes it is seen in; empty for all.
        facts: what all deviating cases have in common, from `FACTS`.
        grade: the worst grade it explains; None where it is not one of accuracy.
        witness: a case that shows it.
        varies: what else it depends on, such as the processor; its witness need not show it everywhere.
    """

    id: str
    targets: tuple[str, ...]
    loss_functions: tuple[str, ...]
    check: str
    versions: dict[str, str]
    reason: str
    link: str
    witness: Case
    dtypes: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    grade: Grade | None = None
    varies: str = ""

    def concerns(self, question: Question) -> bool:
        """Whether it is about a loss function, check, dtype and mode."""
        return (
            question.function.id in self.loss_functions
            and question.check.id == self.check
            and (not self.dtypes or question.dtype in self.dtypes)
            and (not self.modes or question.mode in self.modes)
        )

    def covers(self, case: Case, judgement: Judgement) -> bool:
        """Whether it explains what the judge found of a case."""
        if not all(FACTS[fact](case) for fact in self.facts):
            return False
        return self.grade is None or (judgement.grade is not None and judgement.grade <= self.grade)

    def installed(self) -> bool:
        """Whether the versions that are installed are among its versions."""
        return all(
            SpecifierSet(spec, prereleases=True).contains(version(name) or "0") for name, spec in self.versions.items()
        )


REQUIRED = ("id", "targets", "loss_functions", "check", "versions", "reason", "link", "witness")
OPTIONAL = ("dtypes", "modes", "facts", "grade", "varies")
LISTS = ("targets", "loss_functions", "dtypes", "modes", "facts")


def parse(text: str, name: str) -> list[Expectation]:
    """Return the expectations of a file. Raises `ExpectationError`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExpectationError(f"{name}: not TOML: {error}") from error
    for key in data:
        if key != "expectation":
            raise ExpectationError(f"{name}: unknown table {key!r}; expected [[expectation]]")
    result = [_one(entry, f"{name}: expectation {i + 1}") for i, entry in enumerate(data.get("expectation", []))]
    ids = [e.id for e in result]
    for identifier in ids:
        if ids.count(identifier) > 1:
            raise ExpectationError(f"{name}: two expectations have the id {identifier!r}")
    return result


def _one(entry: dict[str, Any], where: str) -> Expectation:
    for field in REQUIRED:
        if not entry.get(field):
            raise ExpectationError(f"{where}: {field} is missing")
    for field in entry:
        if field not in REQUIRED + OPTIONAL:
            raise ExpectationError(f"{where}: unknown field {field!r}; expected {', '.join(REQUIRED + OPTIONAL)}")
    where = f"{where} ({entry['id']})"
    for field in LISTS:
        if not isinstance(entry.get(field, []), list):
            raise ExpectationError(f"{where}: {field} {entry[field]!r}; expected a list")
    _known(where, "check", [entry["check"]], CHECKS)
    _known(where, "facts", entry.get("facts", []), FACTS)
    grades = {label: grade for grade, label in LABELS.items()}
    if "grade" in entry:
        _known(where, "grade", [entry["grade"]], grades)
    try:
        for spec in entry["versions"].values():
            SpecifierSet(spec)
    except (InvalidSpecifier, AttributeError) as error:
        raise ExpectationError(f"{where}: versions: {error}; expected {{ distribution = specifier }}") from error
    try:
        witness = case_from_json(json.loads(entry["witness"]))
    except (ValueError, TypeError, AttributeError) as error:
        raise ExpectationError(f"{where}: witness: {error}") from error
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in entry.items()
        if name not in ("witness", "grade")
    }
    return Expectation(
        **fields,
        witness=witness,
        grade=grades.get(entry.get("grade", "")),
    )


def _known(where: str, field: str, found: list[str], known: dict[str, Any]) -> None:
    for value in found:
        if value not in known:
            raise ExpectationError(f"{where}: {field} {value!r}; expected one of {', '.join(known)}")


def read(path: Path) -> list[Expectation]:
    """Return the expectations of a file of one's own. Raises `ExpectationError`, also where it cannot be read."""
    try:
        return parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ExpectationError(f"{path}: cannot be read: {error}") from error


def load(target: str, own: Sequence[Path] = ()) -> list[Expectation]:
    """Return the expectations for a target whose versions are installed, in the order of the files.

    Args:
        target: the target.
        own: files of one's own, after those that come with lossconform.

    Raises:
        ExpectationError: a file is wrong or cannot be read.
    """
    result: list[Expectation] = []
    folder = files("lossconform.adapters.expectations")
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            result += parse(file.read_text("utf-8"), file.name)
    result += [expectation for path in own for expectation in read(path)]
    return [e for e in result if target in e.targets and e.installed()]
