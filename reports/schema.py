"""The published JSON Schema of the run file, made from the model.

`python -m lossconform.reports.schema` writes it beside this file after a change to the model; a test holds the two
together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lossconform.reports.atomic import replace_file
from lossconform.reports.model import Run

PATH = Path(__file__).with_name("run.schema.json")


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what is written: every field is there, and no other."""
    content = Run.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **content,
        "title": "lossconform run file",
    }


def text() -> str:
    """Return the published file's text."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    replace_file(PATH, text())
