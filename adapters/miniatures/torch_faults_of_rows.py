"""Faults that show in very many rows, in PyTorch: how their losses are added up, counted and divided."""

from __future__ import annotations

from typing import Any

import torch

from lossconform.adapters.miniatures.fault import BCE, CE, KL, after, correct, instead
from lossconform.adapters.miniatures.torch_autograd import Tensor, bend, through
from lossconform.adapters.miniatures.torch_fault import LABELS, TorchFault
from lossconform.adapters.miniatures.torch_loss import Rows

ROWS = ("many-rows",)
BLOCK = 64


def _total_in(dtype: Any) -> Any:
    """Add up blocks of rows in another dtype, one after the other, with the right gradient."""

    def total(self: Any, b: Rows, values: Tensor) -> Tensor:
        blocks = values.detach().reshape(-1).split(BLOCK)
        added = torch.zeros((), dtype=dtype)
        for block in blocks:
            added = added + block.sum().to(dtype)
        return through(added.to(values.dtype), correct(self, "total", b, values))

    return instead("total", total)


FAULTS = (
    TorchFault("rows_in_bfloat16", "rows added up in bfloat16", CE, ROWS, _total_in(torch.bfloat16), features=LABELS),
    TorchFault("rows_in_float16", "rows added up in float16", KL, ROWS, _total_in(torch.float16)),
    TorchFault(
        "float64_rows_in_float32",
        "rows of float64 added up in float32",
        CE,
        ROWS,
        instead("total", lambda self, b, v: v.float().sum().to(v.dtype)),
        features=LABELS,
        dtype="float64",
    ),
    TorchFault(
        "sum_beyond_float16",
        "the sum rounded to float16 before it is divided",
        BCE,
        ROWS,
        after("total", lambda total, b, _: total.to(b.dtype).to(total.dtype)),
        dtype="float16",
    ),
    TorchFault(
        "count_in_float16",
        "rows counted in float16",
        CE,
        ROWS,
        after("denominator", lambda n, *_: n.half().to(n.dtype)),
    ),
    TorchFault(
        "rows_beyond_65536_lost",
        "rows from 65536 on not added up",
        CE,
        ROWS,
        instead("total", lambda self, b, v: correct(self, "total", b, v[:65536])),
    ),
    TorchFault(
        "last_rows_without_gradient",
        "rows from 65536 on added up without a gradient",
        CE,
        ROWS,
        instead("total", lambda self, b, v: v[:65536].sum() + v[65536:].detach().sum()),
        "gradient",
    ),
    TorchFault(
        "share_in_float16",
        "the share of each row handed back in float16",
        CE,
        ROWS,
        after("total", lambda total, b, _: bend(total, lambda g: g.half())),
        "gradient",
    ),
)
"""Every fault that shows in very many rows."""
