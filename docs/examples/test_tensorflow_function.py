"""A binary cross-entropy in TensorFlow, like the one of tf.nn."""

import tensorflow as tf

from lossconform import conformance_tests
from lossconform.adapters.tensorflow_nn import loss_function


def binary_cross_entropy(labels, logits):
    """Return one loss an element."""
    return tf.nn.softplus(-tf.abs(logits)) + tf.nn.relu(logits) - logits * labels


test_binary = conformance_tests(loss_function(binary_cross_entropy, like="tf.nn.sigmoid_cross_entropy_with_logits"))
