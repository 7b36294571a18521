"""How many small changes to the comparator its tests notice.

Run: python benchmarks/mutation.py [MODULE ...] [--session FOLDER]. Needs cosmic-ray; which modules, which tests and
which changes, says [tool.mutation] in pyproject.toml. Each module is changed in a copy of the sources, one change at a
time, and the tests that concern it are run until one fails. Printed are the survivors with their lines, and the score.
A session that is kept can be gone on with, and asked again costs nothing. What is said of the survivors:
docs/mutation.md.

Left out are annotations, which are not evaluated, and the operators that pyproject.toml names: a shift or a bitwise
operator between floats is a TypeError, which any test notices, and would flatter the score.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import os
import re
import shutil
import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flint  # noqa: F401 - so that no child has to import these
import hypothesis.extra.numpy  # noqa: F401
import ml_dtypes  # noqa: F401
import numpy as np  # noqa: F401
import pydantic  # noqa: F401
import pytest
from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

ROOT = Path(__file__).parent.parent
IGNORED = shutil.ignore_patterns("__pycache__")
CONFTEST = """
from hypothesis import Phase, settings
settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate])
settings.load_profile("mutation")
"""
"""A failure is enough; the smallest one is not looked for."""


OPTIONS = ["-x", "--ff", "--assert=plain", "--tb=no", "-p", "no:lossconform", "-p", "no:xdist"]
"""Of pytest: stop at the first failure, ask first what failed last, and say nothing of why, which takes most time."""


def copied(folder: Path, packages: dict[str, str]) -> dict[str, str]:
    """Copy sources and tests so that the copy is what is imported there; return where each source folder went."""
    places = {}
    for package, source in sorted(packages.items()):
        place = package.replace(".", "/")
        shutil.copytree(ROOT / source, folder / place, ignore=IGNORED)
        places[source] = place
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=IGNORED)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    return places


def annotations(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield where each annotation starts and ends: (line, column) pairs as cosmic-ray counts them."""
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if part is not None:
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)


def left_out(change: MutationSpec, source: str, operators: list[str]) -> bool:
    """Return whether a change is none that tests are asked about; see the module."""
    if any(re.fullmatch(pattern, change.operator_name) for pattern in operators):
        return True
    return any(start <= change.start_pos <= end for start, end in annotations(source))


def survives(tests: list[str], timeout: int) -> bool:
    """Return whether tests pass, in a child that has all but lossconform imported; one that is not in time does not."""
    child = os.fork()
    if child == 0:
        signal.alarm(timeout)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os._exit(pytest.main([*OPTIONS, *tests]))
    return os.waitpid(child, 0)[1] == 0


Results = Iterator[tuple[MutationSpec, bool]]
"""Changes, and whether each survives."""


def mutate(module: Path, session: Path, tests: list[str], config: dict[str, Any]) -> Results:
    """Ask the tests about every change of a module that has no result in the session yet; yield which survive."""
    source = module.read_text(encoding="utf-8")
    with use_db(session, WorkDB.Mode.create) as work:
        if not work.num_work_items:
            init([module], work, {})
            for item in work.work_items:
                if left_out(item.mutations[0], source, config["left-out"]):
                    work.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
        # In the order of the source, because what notices a change often notices the next one.
        for item in sorted(work.pending_work_items, key=lambda item: item.mutations[0].start_pos):
            change = item.mutations[0]
            operator = get_operator(change.operator_name)(**change.operator_args)
            with use_mutation(change.module_path, operator, change.occurrence):
                alive = survives(tests, config["timeout"])
            outcome = TestOutcome.SURVIVED if alive else TestOutcome.KILLED
            work.set_result(item.job_id, WorkResult(WorkerOutcome.NORMAL, test_outcome=outcome))
        for item, result in work.completed_work_items:
            if result.worker_outcome is not WorkerOutcome.SKIPPED:
                yield item.mutations[0], not result.is_killed


def shown(change: MutationSpec) -> str:
    """Return a survivor in two lines: where and what, and the changed line."""
    operator = get_operator(change.operator_name)(**change.operator_args)
    with use_mutation(change.module_path, operator, change.occurrence) as (_, changed):
        line = (changed or "").splitlines()[change.start_pos[0] - 1]
    place = f"{change.module_path}:{change.start_pos[0]}:{change.start_pos[1]}"
    return f"{place} {change.operator_name.removeprefix('core/')}\n    {line.strip()}"


def main() -> int:
    """Run, print, and return 0; 2 where the tests fail without a change, or do not notice that the module is broken."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    config = project["mutation"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("module", nargs="*", choices=[[], *config["tests"]], help="of those in pyproject.toml; all")
    parser.add_argument("--session", type=Path, help="a folder for results; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        session = (options.session or folder / "session").resolve()
        session.mkdir(parents=True, exist_ok=True)
        places = copied(folder, project["setuptools"]["package-dir"])
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        sys.dont_write_bytecode = True
        print(f"cosmic-ray {importlib.metadata.version('cosmic-ray')}")
        for path in options.module or config["tests"]:
            source, _, rest = path.partition("/")
            module = Path(places[source]) / rest
            tests = config["tests"][path]
            text = module.read_text(encoding="utf-8")
            for content, expected in ((text, True), ("broken", False)):
                module.write_text(content, encoding="utf-8")
                if survives(tests, 10 * config["timeout"]) is not expected:
                    print(
                        f"{path}: {' '.join(tests)} {'fail' if expected else 'pass when it is broken'}", file=sys.stderr
                    )
                    return 2
            module.write_text(text, encoding="utf-8")
            results = list(mutate(module, session / f"{module.stem}.sqlite", tests, config))
            alive = sorted((change for change, alive in results if alive), key=lambda change: change.start_pos)
            for change in alive:
                print(shown(change))
            print(f"{path}: {len(results) - len(alive)} of {len(results)} changes noticed, {len(alive)} survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
