"""Numbers at which formats are tested: near ties and thresholds of every format."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lossconform.reference.formats import FORMATS, QUANTISED

EVERY = {**FORMATS, **QUANTISED}
INF = math.inf


def equal(got: Any, wanted: Any) -> None:
    """Assert that two arrays hold the same numbers; NaN is NaN, the sign of 0 counts for nothing."""
    np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))


@st.composite
def floats64(draw: st.DrawFn) -> float:
    """Few significant bits, anywhere in the range of float64: near ties and thresholds of every format."""
    fmt = EVERY[draw(st.sampled_from(sorted(EVERY)))]
    bits = draw(st.integers(1, min(fmt.precision + 1, 53)))
    anywhere = st.one_of(
        st.integers(-1074, 1023), st.integers(fmt.min_exponent - 60, fmt.min_exponent + 3), st.just(fmt.max_exponent)
    )
    n = draw(st.integers(2 ** (bits - 1), 2**bits - 1))
    x = math.ldexp(n, max(-1074, min(1023 - bits, draw(anywhere) - bits + 1)))
    for _ in range(draw(st.integers(0, 1))):
        x = math.nextafter(x, draw(st.sampled_from([0.0, INF])))
    return min(x, FORMATS["float64"].finite_max) * draw(st.sampled_from([1, -1]))
