"""Losses of one's own in plain NumPy, which return their value and their gradient themselves.

There are no known loss functions here: NumPy has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from lossconform.adapters.base import Framework
from lossconform.adapters.engine_numpy import NumpyEngine
from lossconform.adapters.own import Statement, bring


def loss_function(target: Callable[..., Any], **said: Unpack[Statement]) -> Framework:
    """Return a loss of one's own as a target: a callable of arrays that returns (value, gradient).

    The gradient is that of the sum of all values with respect to the prediction, or of their sum weighted by the
    argument `cotangent` where the callable has one; see `lossconform.adapters.engine_numpy.NumpyEngine`.

    Args:
        target: a function, a class, or an instance of one.
        said: what is said of it: `like`, the id of a known loss function, or its loss and arguments; see
            `lossconform.adapters.own.Statement`.

    Raises:
        StatementError: something is missing, unknown, or does not go together.
    """
    return bring(target, NumpyEngine(), said)
