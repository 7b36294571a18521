"""Faults of the value where every element has its own term, and of losses from probabilities."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from lossconform.adapters.miniatures.fault import (
    ALL,
    BCE,
    CE,
    KL,
    PROBABILITIES,
    Fault,
    after,
    given,
    instead,
)
from lossconform.adapters.miniatures.loss import Batch, Floats
from lossconform.reference.case import Form, Loss, TargetForm

VALUE = ("value",)
BFLOAT16 = ml_dtypes.bfloat16


def _through(dtype: Any) -> Any:
    """Return a rounding through another dtype."""
    return lambda array, *_: array.astype(dtype).astype(array.dtype)


def _naive_divergence(self: Any, batch: Batch) -> Floats:
    t = self.mass(batch)
    return np.where(t > 0, -t * batch.x, 0).astype(t.dtype) * batch.weight


FAULTS = (
    Fault("softplus_overflows", "log(1 + exp z)", BCE, VALUE, instead("softplus", lambda self, z: np.log1p(np.exp(z)))),
    Fault(
        "softplus_by_sigmoid",
        "-log of the sigmoid",
        BCE,
        VALUE,
        instead("softplus", lambda self, z: -np.log(self.sigmoid(-z))),
    ),
    Fault(
        "softplus_epsilon",
        "-log(sigmoid + 1e-7)",
        BCE,
        VALUE,
        instead("softplus", lambda self, z: -np.log(self.sigmoid(-z) + z.dtype.type(1e-7))),
    ),
    Fault(
        "softplus_linear",
        "softplus z taken as z above 5",
        BCE,
        VALUE,
        after("softplus", lambda v, z: np.where(z > 5, z, v)),
    ),
    Fault(
        "softplus_at_zero",
        "the wrong branch at exactly 0",
        BCE,
        VALUE,
        after("softplus", lambda v, z: np.where(z == 0, 0, v).astype(v.dtype)),
    ),
    Fault("softplus_in_float16", "softplus in float16", BCE, VALUE, after("softplus", _through(np.float16))),
    Fault("binary_logits_clipped", "logits clipped to 20", BCE, VALUE, given(lambda x: x.clip(-20, 20))),
    Fault(
        "hard_targets",
        "targets rounded to 0 and 1",
        BCE,
        VALUE,
        after("weights", lambda w, b: (np.rint(w[0]), np.rint(w[1]))),
    ),
    Fault(
        "positive_term_only", "the negative term missing", BCE, VALUE, after("weights", lambda w, b: (w[0], 0 * w[1]))
    ),
    Fault("terms_swapped", "positive and negative exchanged", BCE, VALUE, after("weights", lambda w, b: (w[1], w[0]))),
    Fault(
        "log_epsilon",
        "log(p + 1e-6)",
        BCE,
        VALUE,
        instead("log", lambda self, q: np.log(q + q.dtype.type(1e-6))),
        features=PROBABILITIES,
    ),
    Fault(
        "log1m_epsilon",
        "log(1 - p + 1e-6)",
        BCE,
        VALUE,
        instead("log1m", lambda self, q: np.log(1 - q + q.dtype.type(1e-6))),
        features=PROBABILITIES,
    ),
    Fault(
        "log1m_in_float16",
        "1 - p in float16",
        BCE,
        VALUE,
        instead("log1m", lambda self, q: np.log((1 - q).astype(np.float16).astype(q.dtype))),
        features=PROBABILITIES,
    ),
    Fault(
        "log_sigmoid_of_sigmoid",
        "log of the sigmoid",
        Loss.LOG_SIGMOID,
        VALUE,
        instead("terms", lambda self, b: np.log(self.sigmoid(b.x))),
    ),
    Fault("log_sigmoid_negated", "the sign of the logit", Loss.LOG_SIGMOID, VALUE, given(np.negative)),
    Fault(
        "probability_epsilon",
        "log(q + 1e-6)",
        CE,
        VALUE,
        instead("log", lambda self, q: np.log(q + q.dtype.type(1e-6))),
        features=PROBABILITIES,
    ),
    Fault(
        "divergence_without_entropy",
        "the target's entropy missing",
        KL,
        VALUE,
        instead("terms", _naive_divergence),
        features={"forms": (Form.LOG_PROBABILITIES,)},
    ),
    Fault(
        "divergence_reversed", "the sign of the divergence", KL, VALUE, after("terms", lambda v, b: -v), features=ALL
    ),
    Fault(
        "divergence_epsilon",
        "log(t + 1e-6)",
        KL,
        VALUE,
        instead("log_mass", lambda self, b: np.log(self.mass(b) + b.t.dtype.type(1e-6))),
        features={"forms": (Form.LOG_PROBABILITIES,), "targets": (TargetForm.DISTRIBUTION,)},
    ),
    Fault(
        "log_target_as_given",
        "a target's logarithm taken for the target",
        KL,
        VALUE,
        instead("mass", lambda self, b: b.t),
        features={"forms": (Form.LOG_PROBABILITIES,), "targets": (TargetForm.LOG_DISTRIBUTION,)},
    ),
    Fault(
        "log_prediction_lost",
        "log-probabilities taken for probabilities",
        KL,
        VALUE,
        given(np.exp),
        features={"forms": (Form.LOG_PROBABILITIES,)},
    ),
)
"""Every fault of these."""
