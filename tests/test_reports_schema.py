"""The published JSON Schema: it is the model's, and it tells a run file from anything else."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from lossconform.reports import runfile, schema
from tests import run_factory as make


def _run() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(runfile.to_json(make.realistic()))
    return content


def test_the_published_file_is_up_to_date() -> None:
    assert schema.text() == schema.PATH.read_text(), "run: python -m lossconform.reports.schema"


def test_a_run_is_valid() -> None:
    published = json.loads(schema.PATH.read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.Draft202012Validator(published).validate(_run())


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "coverage"},
        {"schema_version": 2},
        {"colour": "red"},
        {"seed": "one"},
        {"targets": [{}]},
        {"timing": {"started": None, "seconds": "NaN?"}},
    ],
)
def test_anything_else_is_not(change: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema.schema())
    assert not validator.is_valid(_run() | change)
    assert not validator.is_valid({})


def test_an_infinite_distance_is_valid() -> None:
    content = _run()
    content["targets"][0]["records"][0]["max_ulp"] = "Infinity"
    validator = jsonschema.Draft202012Validator(schema.schema())
    assert validator.is_valid(content)
    content["targets"][0]["records"][0]["max_ulp"] = "a lot"
    assert not validator.is_valid(content)
