"""A loss in another language: a command that reads cases and writes answers."""

import sys
from pathlib import Path

from lossconform import conformance_tests
from lossconform.adapters.command import loss_function

loss = loss_function(
    [sys.executable, str(Path(__file__).with_name("binary_loss.py"))],
    name="binary_loss",
    loss="binary_cross_entropy",
    targets=["binary"],
    arguments={"prediction": "logits", "target": "labels"},
    dtypes=["float64"],
)
test_command = conformance_tests(loss)
