"""The run file on disk: read with one clear line for what is wrong, written whole or not at all.

What is in it is `lossconform.reports.model`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lossconform.reports.atomic import reason, replace_file
from lossconform.reports.model import SCHEMA_VERSION, Run

KIND = "lossconform run"
JOURNAL = "lossconform journal"
TIMING: dict[str, Any] = {
    "timing": True,
    "targets": {"__all__": {"timing": True, "records": {"__all__": {"timing": True}}}},
}
"""Where the times are. By place and not by name: a dict of versions may well have an entry of that name."""


class RunFileError(Exception):
    """A run file cannot be read or written; the message is one line that names the file and the reason."""


def read(path: str | Path) -> Run:
    """Read a run file.

    Raises:
        RunFileError: there is none, it cannot be read, or it is not a run file that this version understands.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RunFileError(f"{path}: there is no such file") from None
    except OSError as error:
        raise RunFileError(f"{path}: cannot be read: {reason(error)}") from error
    return parse(data, str(path))


def parse(data: bytes, name: str) -> Run:
    """Return the run that the bytes of a run file hold; `name` is what messages call it.

    Raises:
        RunFileError: they are not a run file that this version understands.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RunFileError(f"{name}: not a run file: {_not_json(data, error)}") from error
    _check_kind(content, name)
    try:
        return Run.model_validate(content)
    except ValidationError as error:
        raise RunFileError(f"{name}: {field_error(error)}") from error


def write(run: Run, path: str | Path) -> None:
    """Write a run file: the old one stays until the new one is complete. The same run gives the same bytes.

    Raises:
        RunFileError: the place cannot be written to.
    """
    path = Path(path)
    try:
        replace_file(path, to_json(run))
    except OSError as error:
        raise RunFileError(f"{path}: cannot be written: {reason(error)}") from error


def to_json(run: Run) -> str:
    """Return the text of the run file: fields in the order of the model, one space of indent, a final newline."""
    return run.model_dump_json(indent=1) + "\n"


def canonical(run: Run) -> str:
    """Return the run's JSON without times and without the command, which may name an output folder.

    Two runs with the same seed, profile, versions and environment have equal texts.
    """
    content = run.model_dump(mode="json", exclude={"command": True, **TIMING})
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def field_error(error: ValidationError) -> str:
    """Return one line for what a model found wrong: the field, what is wrong with it, and how much more there is."""
    problems = error.errors(include_url=False)
    first = problems[0]
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    line = f"invalid field {field}: {message}" if field else f"invalid: {message}"
    found = first["input"]
    if isinstance(found, str | int | float | bool):
        line += f", found {str(found)[:60]!r}" if isinstance(found, str) else f", found {found}"
    if len(problems) > 1:
        line += f" (and {len(problems) - 1} more)"
    return " ".join(line.split())


def _not_json(data: bytes, error: Exception) -> str:
    if not data.strip():
        return "it is empty"
    first_line = data.split(b"\n", 1)[0]
    try:
        header = json.loads(first_line)
    except (ValueError, RecursionError):
        header = None
    if isinstance(header, dict) and header.get("kind") == JOURNAL:
        return "it is the journal of one target, from which a run file is made"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "not JSON: it is not UTF-8 text"
    return f"not JSON: {type(error).__name__}"


def _check_kind(content: Any, name: str) -> None:
    """Tell a foreign file and a newer one from a run file with a fault."""
    if not isinstance(content, dict):
        names = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
        found = names.get(type(content), "a number")
        raise RunFileError(f"{name}: not a run file: its JSON is {found}, not an object of kind {KIND!r}")
    kind = content.get("kind")
    if kind != KIND:
        found = "it names no kind" if kind is None else f"its kind is {str(kind)[:60]!r}"
        raise RunFileError(f"{name}: not a run file: {found}, not {KIND!r}")
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        by = content.get("lossconform", "a newer release")
        raise RunFileError(
            f"{name}: written by lossconform {by} with schema version {version}; this lossconform reads "
            f"version {SCHEMA_VERSION}: upgrade lossconform"
        )
