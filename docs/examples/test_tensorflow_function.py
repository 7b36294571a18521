"""A binary cross-entropy in TensorFlow, like the one of tf.nn."""

import tensorflow as tf

from lossconform import conformance_tests
from lossconform.adapters.tensorflow_nn import loss_function


def binary_cross_entropy(labels, logits):
    """Return one loss an element. A term of target 0 is 0, even where the other factor is infinite."""
    positive = tf.math.multiply_no_nan(tf.nn.softplus(-logits), labels)
    return positive + tf.math.multiply_no_nan(tf.nn.softplus(logits), 1 - labels)


test_binary = conformance_tests(
    loss_function(binary_cross_entropy, like="tf.nn.sigmoid_cross_entropy_with_logits", dtypes=["float64", "float32"])
)
