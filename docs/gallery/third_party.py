"""Losses of third parties as targets: `lossconform run --loss third_party:segmentation_models` and so on.

Each is asked what its documentation says of it. Which library is needed stands in each function's name.
"""

from lossconform.adapters.base import Framework
from lossconform.adapters.pytorch import loss_function


def _segmentation_models() -> Framework:
    from segmentation_models_pytorch.losses import SoftCrossEntropyLoss

    def soft(y_pred, y_true, reduction, smooth_factor=0.0, ignore_index=-100):
        # Its own default, None, is an exception: see the gallery.
        return SoftCrossEntropyLoss(reduction, smooth_factor, ignore_index)(y_pred, y_true)

    return loss_function(
        soft,
        name="segmentation_models_pytorch.losses.SoftCrossEntropyLoss",
        loss="softmax_cross_entropy",
        targets=["index"],
        reductions=["mean", "sum"],
        options=["ignore_index", "label_smoothing"],
        arguments={"prediction": "y_pred", "target": "y_true", "label_smoothing": "smooth_factor"},
        # 'Drop-in replacement for torch.nn.CrossEntropyLoss', '[1, 0, 0] -> [0.9, 0.05, 0.05]'.
        policies={"mean_denominator": "kept", "smoothing": "other_classes"},
        class_axis="second",
    )


def _segmentation_models_binary() -> Framework:
    from segmentation_models_pytorch.losses import SoftBCEWithLogitsLoss

    return loss_function(
        SoftBCEWithLogitsLoss,
        loss="binary_cross_entropy",
        targets=["binary"],
        reductions=["none", "mean", "sum"],
        arguments={"prediction": "y_pred", "target": "y_true"},
    )


def _timm_smoothing() -> Framework:
    from timm.loss import LabelSmoothingCrossEntropy

    def smoothed(x, target, smoothing=0.0):
        return LabelSmoothingCrossEntropy(smoothing)(x, target)

    return loss_function(
        smoothed,
        name="timm.loss.LabelSmoothingCrossEntropy",
        loss="softmax_cross_entropy",
        targets=["index"],
        reductions=["mean"],
        options=["label_smoothing"],
        arguments={"prediction": "x", "label_smoothing": "smoothing"},
        class_axis="rows",
    )


def _timm_soft() -> Framework:
    from timm.loss import SoftTargetCrossEntropy

    return loss_function(
        SoftTargetCrossEntropy(),
        name="timm.loss.SoftTargetCrossEntropy",
        loss="softmax_cross_entropy",
        targets=["one_hot", "distribution"],
        reductions=["mean"],
        arguments={"prediction": "x"},
    )


def _transformers() -> Framework:
    from transformers.loss.loss_utils import fixed_cross_entropy

    return loss_function(
        fixed_cross_entropy,
        loss="softmax_cross_entropy",
        targets=["index"],
        reductions=["mean"],
        options=["ignore_index"],
        arguments={"prediction": "source"},
        policies={"mean_denominator": "kept"},
        class_axis="rows",
    )


LOSSES = {
    "segmentation_models": _segmentation_models,
    "segmentation_models_binary": _segmentation_models_binary,
    "timm_smoothing": _timm_smoothing,
    "timm_soft": _timm_soft,
    "transformers": _transformers,
}


def __getattr__(name: str) -> Framework:
    if name not in LOSSES:
        raise AttributeError(name)
    return LOSSES[name]()
