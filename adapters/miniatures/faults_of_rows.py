"""Faults that show in very many rows: how their losses are added up, counted and divided."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from lossconform.adapters.miniatures.evaluations import sequential
from lossconform.adapters.miniatures.fault import BCE, CE, KL, LABELS, PROBABILITIES, Fault, after, correct, instead
from lossconform.adapters.miniatures.loss import Batch, Floats

ROWS = ("many-rows",)
BFLOAT16 = ml_dtypes.bfloat16


def _total_in(dtype: Any) -> Any:
    """Add up the rows in another dtype, one after the other."""
    return instead("total", lambda self, b, v: sequential(v.reshape(1, -1).astype(dtype))[0, 0].astype(v.dtype))


def _rounded(dtype: Any) -> Any:
    """Return a rounding through another dtype."""
    return lambda number, *_: np.asarray(number).astype(dtype).astype(np.asarray(number).dtype)[()]


def _first(rows: int) -> Any:
    """Add up the first rows only."""
    return instead("total", lambda self, b, v: correct(self, "total", b, v[:rows]))


def _whole_blocks(size: int) -> Any:
    """Add up all rows but what is left over after blocks of a size."""
    return instead("total", lambda self, b, v: correct(self, "total", b, v[: len(v) // size * size or len(v)]))


def _scale(change: Any) -> Any:
    """Change what slopes are multiplied by because of the reduction."""

    def reduce(self: Any, batch: Batch, values: Floats) -> Any:
        value, scale = correct(self, "reduce", batch, values)
        return value, change(scale)

    return {"reduce": reduce}


def _divided_last(self: Any, batch: Batch, factors: Floats) -> Floats:
    """Slopes in the dtype of the answer before they are divided by the number of entries."""
    count = factors.dtype.type(factors.size if batch.reduction.endswith("mean") else 1)
    return correct(self, "slopes", batch, factors * count).astype(batch.dtype).astype(factors.dtype) / count


FAULTS = (
    Fault("rows_in_float16", "rows added up in float16", CE, ROWS, _total_in(np.float16), features=LABELS),
    Fault("rows_in_bfloat16", "rows added up in bfloat16", CE, ROWS, _total_in(BFLOAT16), features=LABELS),
    Fault(
        "bfloat16_rows_in_bfloat16",
        "rows of bfloat16 added up in bfloat16",
        CE,
        ROWS,
        _total_in(BFLOAT16),
        features=LABELS,
        dtype="bfloat16",
    ),
    Fault(
        "float64_rows_in_float32",
        "rows of float64 added up in float32",
        KL,
        ROWS,
        _total_in(np.float32),
        features=PROBABILITIES,
        dtype="float64",
    ),
    Fault(
        "float32_rows_in_float32",
        "rows added up in float32, where float64 is promised",
        CE,
        ROWS,
        _total_in(np.float32),
        features={**LABELS, "accumulator": "float64"},
    ),
    Fault(
        "sum_beyond_float16",
        "the sum rounded to float16 before it is divided",
        BCE,
        ROWS,
        after("total", _rounded(np.float16)),
        dtype="float16",
    ),
    Fault("count_in_float16", "rows counted in float16", CE, ROWS, after("denominator", _rounded(np.float16))),
    Fault(
        "count_in_16_bits",
        "rows counted in 16 bits",
        CE,
        ROWS,
        after("denominator", lambda n, *_: float(int(n) % 2**16)),
    ),
    Fault(
        "count_saturates",
        "no count above 65535",
        KL,
        ROWS,
        after("denominator", lambda n, *_: min(n, 65535.0)),
        features=PROBABILITIES,
    ),
    Fault("rows_beyond_65536_lost", "rows from 65536 on not added up", CE, ROWS, _first(65536), features=LABELS),
    Fault("last_block_of_rows_lost", "rows after the last 1000 not added up", CE, ROWS, _whole_blocks(1000)),
    Fault(
        "share_in_float16",
        "slopes multiplied by 1/N in float16",
        CE,
        ROWS,
        _scale(lambda scale: float(np.float16(scale))),
        "gradient",
    ),
    Fault(
        "divided_last",
        "slopes rounded to float16 before they are divided",
        BCE,
        ROWS,
        instead("slopes", _divided_last),
        "gradient",
        PROBABILITIES,
        dtype="float16",
    ),
)
"""Every fault that shows in very many rows."""
