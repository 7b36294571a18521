"""What asking costs beside Hypothesis and the framework: processor time of the harness a case, for each check.

Run: python benchmarks/harness.py [--target torch] [--profile quick] [--function ID ...] [--dtype float32]. Every
question of the functions in the usual mode is asked once to warm up and then a few times; the time with the least
harness counts, because processor time too grows on a busy machine. The framework's part is what
`Engine.run` takes, Hypothesis's what its engine and its draws take; what is left is the harness: cases packed with
NumPy, calls made from cases, the reference's enclosures, judgements, and everything around them. Of it the reference
(enclosures, conditions, judgements) is shown too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lossconform import examine as examining
from lossconform.adapters import start
from lossconform.adapters.base import Framework
from lossconform.checks.check import Question
from lossconform.judge import Oracle
from lossconform.plan import questions
from lossconform.profiles import PROFILES

FUNCTIONS = {
    "torch": ["torch.nn.functional.cross_entropy", "torch.nn.functional.binary_cross_entropy_with_logits"],
    "tensorflow": ["tf.nn.softmax_cross_entropy_with_logits", "tf.nn.sparse_softmax_cross_entropy_with_logits"],
    "jax": ["optax.softmax_cross_entropy", "optax.softmax_cross_entropy_with_integer_labels"],
}
"""What is asked of each target if nothing is said."""


class Clock:
    """Processor time by part; a part within another stops the outer one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._inside = ["harness"]
        self._since = time.process_time()

    def _switch(self) -> None:
        now = time.process_time()
        part = self._inside[-1]
        self.spent[part] = self.spent.get(part, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Spend what follows on a part."""
        self._switch()
        self._inside.append(name)
        try:
            yield
        finally:
            self._switch()
            self._inside.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that spends its time on a part."""

        def call(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*arguments, **options)

        return call

    def taken(self) -> dict[str, float]:
        """Return the seconds since the last call, by part."""
        self._switch()
        spent, self.spent = self.spent, {}
        return spent


def watch(clock: Clock, engine: Any) -> None:
    """Have every part timed, for the rest of the process."""
    engine.run = clock.timed("framework", engine.run)
    Oracle.of = clock.timed("reference", Oracle.of)  # type: ignore[method-assign]
    Oracle.judge = clock.timed("reference", Oracle.judge)  # type: ignore[method-assign]
    examining.packed = clock.timed("harness", examining.packed)
    each = examining._each

    def timed(strategy: Any, examples: int, body: Callable[..., None], *, shrink: bool) -> None:
        with clock.part("hypothesis"):
            each(strategy, examples, clock.timed("harness", body), shrink=shrink)

    examining._each = timed


def cheapest(clock: Clock, framework: Framework, question: Question, times: int) -> tuple[int, dict[str, float]]:
    """Return how many cases a question has, and the milliseconds a case by part, the least of several times."""
    cases = max(1, examining.examine(framework, question, []).cases)
    clock.taken()
    seen = []
    for _ in range(times):
        examining.examine(framework, question, [])
        seen.append({name: 1000 * seconds / cases for name, seconds in clock.taken().items()})
    return cases, min(seen, key=lambda spent: spent["harness"] + spent.get("reference", 0.0))


def main() -> None:
    """Print a line for each question, and the medians and the worst of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="torch")
    parser.add_argument("--profile", default="quick", choices=PROFILES)
    parser.add_argument("--function", nargs="+", help="ids; by default two of the target's")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--times", type=int, default=3, help="that each question is measured")
    given: Any = parser.parse_args()
    framework = start(given.target)
    wanted = given.function or FUNCTIONS.get(given.target) or [f.id for f in framework.functions]
    clock = Clock()
    watch(clock, framework.engine)
    usual = next(iter(framework.engine.modes))
    asked: list[Question] = [
        question
        for question in questions(framework, PROFILES[given.profile])
        if question.function.id in wanted and question.dtype == given.dtype and question.mode == usual
    ]
    print(f"{'milliseconds of processor time a case':<44}{'cases':>6}{'framework':>11}{'hypothesis':>12}", end="")
    print(f"{'harness':>9}{'of it the reference':>21}")
    costs = []
    for question in asked:
        cases, spent = cheapest(clock, framework, question, given.times)
        reference = spent.get("reference", 0.0)
        costs.append(spent["harness"] + reference)
        name = f"{question.check.id} {question.function.id.rpartition('.')[2]}"
        print(f"{name:<44.44}{cases:>6}{spent.get('framework', 0):>11.2f}", end="")
        print(f"{spent.get('hypothesis', 0):>12.2f}{costs[-1]:>9.2f}{reference:>21.2f}")
    print(
        f"harness a case: median {statistics.median(costs):.2f} ms, worst {max(costs):.2f} ms of {len(costs)} questions"
    )


if __name__ == "__main__":
    main()
