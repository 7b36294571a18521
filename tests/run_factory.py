"""A run that looks like a real one, made without any framework, for the tests of `lossconform.reports`."""

from __future__ import annotations

import random
from typing import Any

from lossconform.reports.model import (
    Cell,
    CheckInfo,
    ClauseText,
    ExpectationInfo,
    FunctionInfo,
    Grade,
    Numbers,
    Observed,
    Question,
    Record,
    Run,
    Status,
    TargetRun,
    Timing,
    Verdict,
    Witness,
)

FUNCTIONS = {
    "torch": ("torch.nn.functional.cross_entropy", "torch.nn.functional.binary_cross_entropy_with_logits"),
    "keras-jax": ("keras.losses.CategoricalCrossentropy", "keras.losses.SparseCategoricalCrossentropy"),
    "jax": ("optax.losses.softmax_cross_entropy", "optax.losses.sigmoid_binary_cross_entropy"),
}
CHECKS = {
    "value-accuracy": "Is the value close to the exact answer?",
    "gradient-accuracy": "Is the gradient close to the exact derivative?",
    "finite-value": "Is a finite exact value never answered with infinity or NaN?",
    "policy-mean": "What does a mean divide by?",
    "policy-ignored": "Does an ignored row leave value and gradient untouched?",
    "policy-labels": "What does a label outside the range do?",
    "policy-probability-range": "How is a probability clipped?",
    "row-permutation": "Does the order of rows leave their losses as they are?",
    "refuses-bad-shapes": "Is a target of the wrong shape refused?",
    "smoothing": "Does label smoothing give the smoothed target's loss?",
}
POLICIES = {
    "policy-mean": ("mean_denominator", "kept", "elements"),
    "policy-ignored": ("ignored_nonfinite", "excluded", "propagated"),
    "policy-labels": ("label_too_large", "refused", "nan"),
    "policy-probability-range": ("probability_range", "as_given", "clipped_in_dtype"),
}
REGIMES = ("moderate", "large offset", "confident-correct", "confident-wrong", "near-ties", "many classes", "subnormal")
DTYPES = ("float64", "float32", "bfloat16", "float16")
MODES = {"eager": "called as it is", "compiled": "compiled ahead, with the default backend"}
NASTY = "</script><script>alert(1)</script> <b>&amp; \"quoted\" 'text'</b>"
"""A message that a careless page would execute."""


def witness(function: str, dtype: str = "float32", **changes: Any) -> Witness:
    """Return a witness whose fields can be changed."""
    fields: dict[str, Any] = {
        "case": {
            "loss": "softmax_cross_entropy",
            "prediction": Numbers(dtype=dtype, shape=[2, 2], data=["0x1.8p+1", "-inf", "-0x0p+0", "0x1.98p-4"]),
            "target": Numbers(dtype="int64", shape=[2], data=["0", "-100"]),
            "target_form": "index",
            "ignore_index": -100,
            "reduction": "mean",
        },
        "answer": Numbers(dtype=dtype, shape=[], data=["nan"]),
        "expected": Numbers(dtype=dtype, shape=[], data=["0x1.62p-1"]),
        "where": "value[0]",
        "got": "nan",
        "wanted": "0x1.62p-1",
        "ulp": float("inf"),
        "allowed": "4 ULP (shift-stable)",
        "snippet": f"import lib\n\nprediction = lib.tensor([[3.0, 0.1]])\nassert 3 < 4\n{function}(prediction)\n",
    }
    return Witness(**(fields | changes))


def record(**changes: Any) -> Record:
    """Return a record that passes, whose fields can be changed."""
    fields: dict[str, Any] = {
        "loss_function": FUNCTIONS["torch"][0],
        "check": "value-accuracy",
        "dtype": "float32",
        "mode": "eager",
        "verdict": Verdict.PASS,
        "cases": 64,
        "telling": 60,
    }
    return Record(**(fields | changes))


def target(name: str = "torch", **changes: Any) -> TargetRun:
    """Return a target with one passing record, whose fields can be changed."""
    fields: dict[str, Any] = {
        "target": name,
        "status": Status.COMPLETE,
        "versions": {name: "1.2.3", "numpy": "2.4.6"},
        "modes": MODES,
        "expected": len(changes.get("records", [0])),
        "functions": [_function(name, function) for function in FUNCTIONS.get(name, ())],
        "records": [record()],
    }
    return TargetRun(**(fields | changes))


def run(*targets: TargetRun, **changes: Any) -> Run:
    """Return a run of some targets, whose fields can be changed."""
    fields: dict[str, Any] = {
        "lossconform": "0.1.0",
        "profile": "default",
        "seed": 20240501,
        "command": "lossconform run torch keras-jax jax --profile default",
        "environment": {"python": "3.11.9", "platform": "Linux x86_64", "lossconform": "0.1.0"},
        "checks": [CheckInfo(id=name, question=question) for name, question in CHECKS.items()],
        "targets": list(targets or (target(),)),
        "timing": Timing(started="2024-05-01T12:00:00Z", seconds=61.5),
    }
    return Run(**(fields | changes))


def realistic(seed: int = 0, *, repeat: int = 1) -> Run:
    """Return a run with every verdict, three targets (the last one crashed) and `repeat` times its loss functions."""
    rng = random.Random(seed)  # noqa: S311 - nothing is kept secret
    return run(*(_target(rng, name, repeat) for name in FUNCTIONS))


def _function(name: str, function: str) -> FunctionInfo:
    url = f"https://docs.example.org/{name}/{function}"
    clauses = [
        ClauseText(clause=f"policy {policy}", value=documented, source=f"{function}, section Notes", url=url + "#notes")
        for policy, documented, _ in POLICIES.values()
        if policy != "probability_range"
    ]
    return FunctionInfo(id=function, loss="softmax_cross_entropy", source=f"{name} manual", url=url, clauses=clauses)


def _target(rng: random.Random, name: str, repeat: int) -> TargetRun:
    names = [f if i == 0 else f"{f}_{i}" for i in range(repeat) for f in FUNCTIONS[name]]
    plan = [
        Question(loss_function=function, check=check, dtype=dtype, mode=mode)
        for function in names
        for check in CHECKS
        for dtype in DTYPES
        for mode in MODES
    ]
    crashed = name == "jax"
    answered = plan[: len(plan) * 7 // 8] if crashed else plan
    records = [_answer(rng, name, question) for question in answered]
    if crashed:
        records[-1] = Record(
            **answered[-1].model_dump(),
            verdict=Verdict.CRASHED,
            message="the process ended during this check: signal 11 (SIGSEGV)",
        )
    return target(
        name,
        status=Status.CRASHED if crashed else Status.COMPLETE,
        detail=f"crashed during {answered[-1].id}: signal 11 (SIGSEGV)" if crashed else "",
        functions=[_function(name, function) for function in names],
        expected=len(plan),
        records=records,
        missing=plan[len(answered) :],
        expectations=[
            ExpectationInfo(
                id=f"{name}-ignored-nan",
                loss_functions=names,
                check="policy-ignored",
                versions=">=1.0",
                reason="The ignored row is multiplied by 0, and 0 · NaN is NaN.",
                link="https://tracker.example.org/1234",
            )
        ],
    )


def _answer(rng: random.Random, name: str, question: Question) -> Record:
    fields: dict[str, Any] = {"verdict": Verdict.PASS, "cases": 64, "telling": 61, "timing": Timing(seconds=0.25)}
    function, check, dtype, mode = question.loss_function, question.check, question.dtype, question.mode
    if check.endswith("-accuracy"):
        fields |= _accuracy(rng, dtype)
    if check in POLICIES:
        policy, value, other = POLICIES[check]
        undocumented = policy == "probability_range"
        seen = [] if undocumented and "binary" in function else [other if name == "jax" else value]
        fields["policies"] = [
            Observed(
                policy=policy,
                documented=None if undocumented else value,
                assumed=value,
                observed=seen,
                telling=0 if mode == "compiled" and check == "policy-labels" else 17,
                source=None if undocumented else f"{function}, section Notes",
            )
        ]
    if check == "policy-ignored" and name == "keras-jax":
        message = "NaN in an ignored row reaches the mean: got nan"
        fields |= {"verdict": Verdict.KNOWN, "message": message, "expectation": f"{name}-ignored-nan"}
    elif check == "finite-value" and dtype == "float16" and mode == "eager" and name == "torch":
        fields |= {"verdict": Verdict.FAIL, "message": f"value[0] is nan, allowed 4 ULP from 0.693147 {NASTY}"}
    elif check == "refuses-bad-shapes" and dtype == "float32" and name == "keras-jax":
        fields |= {"verdict": Verdict.HAZARD, "message": "a target of shape (3,) for 2 rows gave 0.25 in silence"}
    elif check == "smoothing" and dtype == "float16":
        fields |= {
            "verdict": Verdict.UNSUPPORTED,
            "message": "label smoothing takes no float16",
            "cases": 0,
            "telling": 0,
        }
    elif check == "row-permutation" and mode == "compiled" and dtype == "bfloat16":
        fields |= {"verdict": Verdict.NOT_RUN, "message": "no telling case", "telling": 0}
    if fields["verdict"] in (Verdict.KNOWN, Verdict.FAIL, Verdict.HAZARD):
        fields["witness"] = witness(function, dtype)
    return Record(**question.model_dump(), **fields)


def _accuracy(rng: random.Random, dtype: str) -> dict[str, Any]:
    cells = []
    for regime in REGIMES:
        ulp = rng.choice([0.5, 0.61, 1.7, 3.2, 4.1, 48.0, 130_000.0])
        grade = Grade.FAITHFUL if ulp < 1 else Grade.SHIFT_STABLE if ulp < 5 else Grade.INACCURATE
        cells.append(Cell(regime=regime, cases=64, entries=6400, grade=grade, max_ulp=ulp))
    if dtype == "float16":
        cells[-1] = Cell(regime=REGIMES[-1], cases=64, entries=6400, grade=Grade.BROKEN, max_ulp=float("inf"))
    grades = [cell.grade for cell in cells if cell.grade is not None]
    return {
        "regimes": cells,
        "grade": max(grades, key=list(Grade).index),
        "max_ulp": max(cell.max_ulp for cell in cells if cell.max_ulp is not None),
    }
