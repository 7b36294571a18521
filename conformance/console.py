"""What a person sees in the terminal: progress while targets run, and a table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from lossconform.reports.model import Run, Verdict
from lossconform.reports.score import conclusion, of_target, total
from lossconform.runner import Job

SHOWN = (
    Verdict.PASS,
    Verdict.KNOWN,
    Verdict.FAIL,
    Verdict.HAZARD,
    Verdict.UNSUPPORTED,
    Verdict.NOT_RUN,
    Verdict.CRASHED,
)

WIDTH = 108
"""What the table at the end needs; a narrower terminal wraps it, which is better than numbers cut short."""

HEADINGS = ("pass", "known", "fail", "hazard", "unsup.", "not run", "crashed")


@contextmanager
def progress(console: Console) -> Iterator[Callable[[Sequence[Job]], None]]:
    """Show a bar for each target; gives the function to call with the jobs."""
    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:

        def watch(jobs: Sequence[Job]) -> None:
            for job in jobs:
                if job.process is None:
                    continue
                if job.target not in bars:
                    bars[job.target] = shown.add_task(job.target, total=None)
                shown.update(bars[job.target], completed=job.done, total=job.expected or None)

        yield watch


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
    tally = total(run)
    console.print(f"{tally.recorded}/{tally.expected} records in {run.timing.seconds:.0f} s. {conclusion(run)}")
