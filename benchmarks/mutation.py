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
import shlex
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosmic_ray.commands import execute, init
from cosmic_ray.config import ConfigDict
from cosmic_ray.testing import run_tests
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


def copied(folder: Path, packages: dict[str, str]) -> dict[str, str]:
    """Copy sources and tests so that the copy is what is imported there; return where each source folder went."""
    places = {}
    for package, source in sorted(packages.items()):
        place = package.replace(".", "/")
        shutil.copytree(ROOT / source, folder / place, ignore=IGNORED)
        places[source] = place
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=IGNORED)
    shutil.copy(ROOT / "pyproject.toml", folder)
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


Results = Iterator[tuple[MutationSpec, WorkResult]]


def mutate(module: Path, session: Path, command: str, config: dict[str, Any]) -> Results:
    """Ask the tests about every change of a module that has no result in the session yet; yield all results."""
    source = module.read_text(encoding="utf-8")
    with use_db(session, WorkDB.Mode.create) as work:
        if not work.num_work_items:
            init([module], work, {})
            for item in work.work_items:
                if left_out(item.mutations[0], source, config["left-out"]):
                    work.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
        settings = {"test-command": command, "timeout": config["timeout"], "distributor": {"name": "local"}}
        execute(work, ConfigDict(settings))
        for item, result in work.completed_work_items:
            if result.worker_outcome is not WorkerOutcome.SKIPPED:
                yield item.mutations[0], result


def shown(change: MutationSpec, result: WorkResult) -> str:
    """Return a survivor in two lines: where and what, and the changed line."""
    added = [line[1:].strip() for line in (result.diff or "").splitlines() if re.match(r"\+(?!\+\+ )", line)]
    place = f"{change.module_path}:{change.start_pos[0]}:{change.start_pos[1]}"
    return f"{place} {change.operator_name.removeprefix('core/')}\n    {' '.join(added)}"


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
        os.environ["PYTHONPATH"] = str(folder)
        print(f"cosmic-ray {importlib.metadata.version('cosmic-ray')}")
        for path in options.module or config["tests"]:
            source, _, rest = path.partition("/")
            module = Path(places[source]) / rest
            command = shlex.join([sys.executable, "-m", "pytest", "-q", "-x", *config["tests"][path]])
            text = module.read_text(encoding="utf-8")
            for content, expected in ((text, TestOutcome.SURVIVED), ("broken", TestOutcome.KILLED)):
                module.write_text(content, encoding="utf-8")
                outcome, output = run_tests(command, config["timeout"])
                if outcome is not expected:
                    print(f"{path}: unchanged or broken, the tests say {outcome.value}\n{output}", file=sys.stderr)
                    return 2
            module.write_text(text, encoding="utf-8")
            results = list(mutate(module, session / f"{module.stem}.sqlite", command, config))
            alive = [(c, r) for c, r in results if r.test_outcome is not TestOutcome.KILLED]
            for change, result in sorted(alive, key=lambda pair: pair[0].start_pos):
                print(shown(change, result))
            print(f"{path}: {len(results) - len(alive)} of {len(results)} changes noticed, {len(alive)} survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
