"""The families of losses: one file each, and the table of which serves which case."""

from __future__ import annotations

from lossconform.reference.case import Form, Loss
from lossconform.reference.losses import binary, divergence, focal, likelihood, softmax
from lossconform.reference.losses.row import Family

FAMILIES: dict[tuple[Loss, Form], Family] = {
    (Loss.LOG_SUM_EXP, Form.LOGITS): softmax.LOG_SUM_EXP,
    (Loss.SOFTMAX, Form.LOGITS): softmax.SOFTMAX,
    (Loss.LOG_SOFTMAX, Form.LOGITS): softmax.LOG_SOFTMAX,
    (Loss.ENTROPY, Form.LOGITS): softmax.ENTROPY,
    (Loss.LOG_SIGMOID, Form.LOGITS): binary.LOG_SIGMOID,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOGITS): softmax.CROSS_ENTROPY,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOG_PROBABILITIES): likelihood.LOG_PROBABILITIES,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.PROBABILITIES): likelihood.PROBABILITIES,
    (Loss.BINARY_CROSS_ENTROPY, Form.LOGITS): binary.LOGITS,
    (Loss.BINARY_CROSS_ENTROPY, Form.PROBABILITIES): binary.PROBABILITIES,
    (Loss.FOCAL, Form.LOGITS): focal.LOGITS,
    (Loss.FOCAL, Form.PROBABILITIES): focal.PROBABILITIES,
    (Loss.KL_DIVERGENCE, Form.LOG_PROBABILITIES): divergence.LOG_PROBABILITIES,
    (Loss.KL_DIVERGENCE, Form.PROBABILITIES): divergence.PROBABILITIES,
}
"""Which formulas serve which loss of which form of prediction."""
