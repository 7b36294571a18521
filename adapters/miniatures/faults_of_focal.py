"""Faults of focal losses: of the factor (1 - p_t)^gamma, of alpha, and of the logarithm beside them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from lossconform.adapters.miniatures.fault import NOTHING as NONE
from lossconform.adapters.miniatures.fault import PROBABILITIES, Fault, after, following, instead, observed
from lossconform.adapters.miniatures.focal import Pair
from lossconform.adapters.miniatures.loss import Batch, Floats
from lossconform.reference.case import Form, Loss

FOCAL = Loss.FOCAL
GAMMA = MappingProxyType({"forms": (Form.LOGITS,), "options": ("gamma",)})
ALPHA = MappingProxyType({"forms": (Form.LOGITS,), "options": ("gamma", "alpha")})
BOTH_FORMS: Mapping[str, Any] = MappingProxyType({"options": ("gamma",)})
CLIPPED = MappingProxyType({"probability_range": "clipped_in_dtype"})


def _log_of_sigmoid(self: Any, batch: Batch) -> tuple[Pair, Pair]:
    x = batch.x.astype(np.float32)
    p = self.sigmoid(x)
    return (-np.log(p), -np.log(1 - p)), (-self.sigmoid(-x), self.sigmoid(x))


def _clipped_sigmoid(self: Any, batch: Batch) -> tuple[Pair, Pair]:
    x = batch.x.astype(np.float64)
    p = np.clip(self.sigmoid(x), 1e-7, 1 - 1e-7)
    return (-np.log(p), -np.log1p(-p)), (-self.sigmoid(-x), self.sigmoid(x))


def _naive_power(self: Any, batch: Batch, m: Floats, dm: Floats) -> Pair:
    # 0 to a negative power is infinite, and 0 times infinity is NaN.
    m = 1 - (1 - m).astype(np.float32)
    return m**batch.gamma, batch.gamma * m ** (batch.gamma - 1) * dm


FAULTS = (
    Fault(
        "focal_of_p",
        "p_t instead of 1 - p_t to the power gamma",
        FOCAL,
        ("value", "gamma"),
        instead("probabilities", lambda self, b: (self.sigmoid(-b.x), self.sigmoid(b.x))),
        features=GAMMA,
    ),
    Fault(
        "focal_not_mirrored",
        "1 - p to the power gamma, for target 0 too",
        FOCAL,
        ("value",),
        instead("probabilities", lambda self, b: (self.sigmoid(-b.x), self.sigmoid(-b.x))),
        features=GAMMA,
    ),
    Fault(
        "focal_gamma_fixed",
        "gamma is always 2",
        FOCAL,
        ("gamma",),
        instead("factor", lambda self, b, m, dm: (m**2, 2 * m * dm)),
        features=GAMMA,
    ),
    Fault(
        "focal_gamma_less_one",
        "a power of gamma - 1",
        FOCAL,
        ("value",),
        after("factor", lambda f, b, m, dm: (f[0] / m, f[1])),
        features=GAMMA,
    ),
    Fault(
        "focal_detached",
        "no gradient through the factor",
        FOCAL,
        ("gradient",),
        after("factor", lambda f, b, m, dm: (f[0], np.zeros_like(f[1]))),
        says="^gradient",
        features=GAMMA,
    ),
    Fault(
        "focal_logarithm_detached",
        "no gradient through the logarithm",
        FOCAL,
        ("gradient",),
        after("logarithms", lambda v, b: (v[0], (np.zeros_like(v[1][0]), np.zeros_like(v[1][1])))),
        says="^gradient",
        features=GAMMA,
    ),
    Fault(
        "focal_slope_sign",
        "the sign of the factor's derivative",
        FOCAL,
        ("gradient",),
        after("factor", lambda f, b, m, dm: (f[0], -f[1])),
        says="^gradient",
        features=GAMMA,
    ),
    Fault(
        "focal_log_of_sigmoid",
        "log of the sigmoid",
        FOCAL,
        ("value",),
        instead("logarithms", _log_of_sigmoid),
        features=GAMMA,
    ),
    Fault(
        "focal_sigmoid_clipped",
        "the sigmoid of logits clipped to 1e-7",
        FOCAL,
        ("value", "negative-infinity"),
        instead("logarithms", _clipped_sigmoid),
        features=GAMMA,
    ),
    Fault(
        "focal_power_of_zero",
        "the derivative of 0 to a power below 1",
        FOCAL,
        ("gradient",),
        {
            "factor": _naive_power,
            "product": lambda self, b, f, term: (f[0] * term[0], f[1] * term[0] + f[0] * term[1]),
        },
        says="^gradient",
        features=GAMMA,
    ),
    Fault(
        "alpha_not_mirrored",
        "alpha for target 0 too",
        FOCAL,
        ("alpha",),
        after("balance", lambda a, b: (a[0], a[0])),
        features=ALPHA,
    ),
    Fault(
        "alpha_swapped",
        "alpha for target 0, 1 - alpha for target 1",
        FOCAL,
        ("alpha",),
        after("balance", lambda a, b: (a[1], a[0])),
        features=ALPHA,
    ),
    Fault(
        "alpha_ignored",
        "alpha ignored",
        FOCAL,
        ("alpha",),
        instead("balance", lambda self, b: (1.0, 1.0)),
        features=ALPHA,
    ),
    Fault(
        "focal_other_target",
        "p_t of a fractional target by its terms",
        FOCAL,
        ("focal-target",),
        following("both", focal_target="terms"),
        says=observed("focal_target", "terms"),
        features=GAMMA,
    ),
    Fault(
        "focal_hard_factor",
        "the factor of the target rounded to 0 and 1",
        FOCAL,
        ("focal-target",),
        instead(
            "mixed_factor",
            lambda self, b, t, sides, speed, whole: self.factor(
                b, np.where(t > 0.5, sides[1], sides[0]), np.where(t > 0.5, -speed, speed)
            ),
        ),
        says=NONE,
        features=GAMMA,
    ),
    Fault(
        "focal_range_clipped",
        "the factor of clipped probabilities",
        FOCAL,
        ("focal-range",),
        following("both", focal_range="clipped"),
        says=observed("focal_range", "clipped"),
        features={**PROBABILITIES, "options": ("gamma",)},
        policies=CLIPPED,
    ),
    Fault(
        "focal_from_logits_lost",
        "the factor of a logit taken for a probability",
        FOCAL,
        ("from-logits",),
        instead("probabilities", lambda self, b: (b.x, 1 - b.x)),
        features=BOTH_FORMS,
    ),
)
"""Every fault of these."""
