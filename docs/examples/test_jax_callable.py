"""A callable of JAX arrays whose contract is stated in a few lines: what is not stated is identified."""

import jax
import jax.numpy as jnp

from lossconform import conformance_tests
from lossconform.adapters.jax_optax import loss_function


def smooth_cross_entropy(logits, labels, smoothing=0.0):
    """One loss a row, of soft labels, some of whose mass label smoothing moves to every class."""
    labels = labels * (1 - smoothing) + smoothing / logits.shape[-1]
    return -jnp.sum(labels * jax.nn.log_softmax(logits), axis=-1)


loss = loss_function(
    smooth_cross_entropy,
    loss="softmax_cross_entropy",
    targets=["one_hot", "distribution"],
    arguments={"prediction": "logits", "target": "labels", "label_smoothing": "smoothing"},
)
test_smooth = conformance_tests(loss)
