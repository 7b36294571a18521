"""The families of losses: one file each, and the table of which serves which case."""

from __future__ import annotations

from lossconform.reference.case import Form, Loss
from lossconform.reference.losses import binary, divergence, focal, focal_hessian, likelihood, softmax, softmax_hessian
from lossconform.reference.losses.row import Family, HessianProduct

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

HESSIANS: dict[tuple[Loss, Form], HessianProduct] = {
    (Loss.LOG_SUM_EXP, Form.LOGITS): softmax_hessian.log_sum_exp,
    (Loss.SOFTMAX, Form.LOGITS): softmax_hessian.softmax,
    (Loss.LOG_SOFTMAX, Form.LOGITS): softmax_hessian.log_softmax,
    (Loss.ENTROPY, Form.LOGITS): softmax_hessian.entropy,
    (Loss.LOG_SIGMOID, Form.LOGITS): binary.log_sigmoid_hessian_product,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOGITS): softmax_hessian.cross_entropy,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOG_PROBABILITIES): divergence.linear_hessian_product,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.PROBABILITIES): likelihood.from_probabilities_hessian_product,
    (Loss.BINARY_CROSS_ENTROPY, Form.LOGITS): binary.from_logits_hessian_product,
    (Loss.BINARY_CROSS_ENTROPY, Form.PROBABILITIES): binary.from_probabilities_hessian_product,
    (Loss.FOCAL, Form.LOGITS): focal_hessian.from_logits,
    (Loss.FOCAL, Form.PROBABILITIES): focal_hessian.from_probabilities,
    (Loss.KL_DIVERGENCE, Form.LOG_PROBABILITIES): divergence.linear_hessian_product,
    (Loss.KL_DIVERGENCE, Form.PROBABILITIES): divergence.from_probabilities_hessian_product,
}
"""Which formulas give the Hessian-vector product."""
