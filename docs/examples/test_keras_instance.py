"""An instance of a Keras loss, as it stands in a model."""

import keras

from lossconform import conformance_tests
from lossconform.adapters.keras_losses import loss_function

instance = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
loss = loss_function(
    instance, like="keras.losses.SparseCategoricalCrossentropy", forms=["logits"], options=["sample_weight"]
)
test_instance = conformance_tests(loss)
