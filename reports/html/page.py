"""The report page: one HTML file that opens offline and shows a run, and nothing that is not in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from lossconform.reports import score
from lossconform.reports.atomic import reason, replace_file
from lossconform.reports.html import marks
from lossconform.reports.html.accuracy import accuracy
from lossconform.reports.html.deviations import known, unexpected
from lossconform.reports.html.figures import decimal, distance, figure
from lossconform.reports.html.matrix import matrix
from lossconform.reports.html.policies import policies
from lossconform.reports.html.rows import rows
from lossconform.reports.model import Grade, Numbers, Run
from lossconform.reports.runfile import RunFileError

FOLDER = Path(__file__).parent


def render(run: Run) -> str:
    """Return the page as HTML text. The same run gives the same text."""
    listed = rows(run)
    tables = policies(run, listed)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            rows=listed,
            conclusion=score.conclusion(run),
            exit_code=score.exit_code(run),
            tallies=score.by_target(run),
            total=score.total(run),
            complete={target.target: score.complete(target) for target in run.targets},
            matrix=matrix(run, listed),
            policies=tables,
            places=list(dict.fromkeys(place for table in tables for place in table.entries)),
            accuracy=accuracy(run, listed),
            unexpected=unexpected(run, listed),
            known=known(run, listed),
            style=_inline("style.css"),
            script=_inline("script.js"),
        )
    )


def write(run: Run, path: str | Path) -> None:
    """Write the page to `path`, whole or not at all. Raises `RunFileError` with one line if it cannot be written."""
    try:
        replace_file(Path(path), render(run))
    except OSError as error:
        raise RunFileError(f"{path}: cannot be written: {reason(error)}") from error


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "VERDICTS": marks.VERDICTS,
        "MISSING": marks.MISSING,
        "SEVERITY": score.SEVERITY,
        "STATES": marks.STATES,
        "GRADES": list(Grade),
        "GRADE_STYLES": marks.GRADES,
    }
    environment.filters |= {
        "breakable": _breakable,
        "count": "{:,}".format,
        "decimal": decimal,
        "distance": distance,
        "link": _link,
        "figure": figure,
    }
    environment.tests["numbers"] = _is_numbers
    return environment


def _inline(name: str) -> Markup:
    """Return one of our own files for a style or script element, which its text cannot close."""
    return Markup((FOLDER / name).read_text(encoding="utf-8").replace("</", "<\\/"))  # noqa: S704 - ours


def _breakable(name: str, signs: str = "._-") -> Markup:
    """Let a name break across lines after some signs."""
    text = str(escape(name))
    for sign in signs:
        text = text.replace(sign, f"{sign}<wbr>")
    return Markup(text)  # noqa: S704 - escaped above


def _link(url: str | None) -> str | None:
    """Return an address that a page may link to; None for one that a browser would run."""
    return url if url is not None and url.startswith(("https://", "http://")) else None


def _is_numbers(value: Any) -> bool:
    return isinstance(value, Numbers)
