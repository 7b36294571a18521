"""What a person sees in the terminal: progress while targets run, and a table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from lossconform.job import Job
from lossconform.reports.model import Run, Verdict
from lossconform.reports.score import conclusion, of_target, total

SHOWN = (
    Verdict.PASS,
    Verdict.KNOWN,
    Verdict.FAIL,
    Verdict.HAZARD,
    Verdict.UNSUPPORTED,
    Verdict.NOT_RUN,
    Verdict.CRASHED,
)

NUMBERS = 92
"""What the table at the end needs beside the targets' names; a narrower terminal wraps it, which is better than numbers
cut short."""

SCREEN = 10
"""How many crashed records are named."""

HEADINGS = ("pass", "known", "fail", "hazard", "unsup.", "not run", "crashed")


@contextmanager
def progress(console: Console) -> Iterator[Callable[[Iterable[Job]], None]]:
    """Show a bar for each target; gives the function to call with the jobs."""
    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[str, TaskID] = {}
    # Nobody reads faster than twice a second, which is how often the targets are looked at.
    with Progress(*columns, console=console, disable=not console.is_terminal, refresh_per_second=2) as shown:

        def watch(jobs: Iterable[Job]) -> None:
            for job in jobs:
                if job.target not in bars:
                    bars[job.target] = shown.add_task(job.target, total=None)
                shown.update(bars[job.target], completed=job.done, total=job.expected or None)

        yield watch


def wide_enough(targets: Sequence[str]) -> Console:
    """Return the terminal, as wide as the table at the end needs it."""
    screen, needed = Console(), NUMBERS + max(map(len, targets))
    return screen if screen.width >= needed else Console(width=needed)


def summary(run: Run, console: Console) -> None:
    """Print counts with their denominators, a line a target, and the conclusion."""
    table = Table(title=f"lossconform {run.lossconform}, profile {run.profile}, seed {run.seed}", box=None)
    table.add_column("target", no_wrap=True)
    for name in ("records", "cases", *HEADINGS, "s", "MiB"):
        table.add_column(name, justify="right", no_wrap=True)
    for target in run.targets:
        tally = of_target(target)
        table.add_row(
            target.target,
            f"{tally.recorded}/{tally.expected}",
            f"{sum(record.cases for record in target.records):,}",
            *(str(tally[verdict]) for verdict in SHOWN),
            f"{target.timing.seconds:.0f}",
            "" if target.timing.peak_mib is None else f"{target.timing.peak_mib:.0f}",
        )
    console.print(table)
    for line in _crashes(run):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    tally = total(run)
    console.print(f"{tally.recorded}/{tally.expected} records in {run.timing.seconds:.0f} s. {conclusion(run)}")


def _crashes(run: Run) -> Iterator[str]:
    """Return a line for each record without an answer; the report has them all, so a screen has the first ones."""
    lines = [
        f"{target.target}: {record.id}: {record.message}"
        for target in run.targets
        for record in target.records
        if record.verdict is Verdict.CRASHED
    ]
    yield from lines[:SCREEN]
    if len(lines) > SCREEN:
        yield f"and {len(lines) - SCREEN} more"
