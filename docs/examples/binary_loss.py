"""A command that answers cases in JSON, one line each: a binary cross-entropy with logits, in plain Python.

Any language will do. Floats come as hex floats in strings, which C's strtod reads exactly.
"""

import json
import math
import sys


def loss_and_slope(z, t):
    """Return t softplus(-z) + (1 - t) softplus(z), and sigmoid(z) - t."""
    if math.isnan(z) or math.isnan(t):
        return math.nan, math.nan
    tail = math.exp(-abs(z))
    loss = math.log1p(tail)
    if z > 0 and t < 1:
        loss += (1 - t) * z
    if z < 0 and t > 0:
        loss -= t * z
    sigmoid, complement = (1 / (1 + tail), tail / (1 + tail)) if z > 0 else (tail / (1 + tail), 1 / (1 + tail))
    return loss, (1 - t) * sigmoid - t * complement


for line in sys.stdin:
    request = json.loads(line)
    logits, labels = request["arguments"]["logits"], request["arguments"]["labels"]
    pairs = [
        loss_and_slope(float.fromhex(z), float.fromhex(t)) for z, t in zip(logits["data"], labels["data"], strict=True)
    ]
    upstream = request["cotangent"]
    scale = [1.0] * len(pairs) if upstream is None else [float.fromhex(g) for g in upstream["data"]]
    place = {"dtype": "float64", "shape": logits["shape"]}
    answer = {
        "value": {**place, "data": [loss.hex() for loss, _ in pairs]},
        "gradient": {**place, "data": [(slope * g).hex() for (_, slope), g in zip(pairs, scale, strict=True)]},
    }
    print(json.dumps(answer), flush=True)
