"""Losses of third parties as targets: `lossconform run --loss third_party:segmentation_models` and so on.

Each is asked what its documentation says of it. Which library is needed stands in each function's name.
"""

from collections.abc import Callable
from typing import Any

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


def _focal(name: str, loss: Callable[..., Any], reductions: list[str], like_documented: dict[str, str]) -> Framework:
    """Return a focal loss of logits, targets, gamma, alpha and reduction."""
    return loss_function(
        loss,
        name=name,
        loss="focal",
        targets=["binary"],
        reductions=reductions,
        options=["gamma", "alpha"],
        policies=like_documented,
    )


def _kornia_focal() -> Framework:
    from kornia.losses import binary_focal_loss_with_logits

    def focal(prediction, target, gamma, reduction, alpha=None):
        return binary_focal_loss_with_logits(prediction, target, alpha, gamma, reduction)

    # 'A fractional target t weights the two terms by t and 1 - t'.
    documented = {"focal_target": "terms", "mean_denominator": "elements"}
    return _focal("kornia.losses.binary_focal_loss_with_logits", focal, ["none", "mean", "sum"], documented)


def _monai_focal() -> Framework:
    from monai.losses import FocalLoss

    def focal(prediction, target, gamma, reduction, alpha=None):
        return FocalLoss(gamma=gamma, alpha=alpha, reduction=reduction)(prediction, target)

    # Its sum is asked by `_monai_focal_sum`, so that it does not stand before everything else.
    return _focal("monai.losses.FocalLoss", focal, ["none", "mean"], {"mean_denominator": "elements"})


def _monai_focal_sum() -> Framework:
    from monai.losses import FocalLoss

    def focal(prediction, target, gamma, alpha=None):
        return FocalLoss(gamma=gamma, alpha=alpha, reduction="sum")(prediction, target)

    return _focal("monai.losses.FocalLoss, sum", focal, ["sum"], {})


def _fvcore_focal() -> Framework:
    from fvcore.nn import sigmoid_focal_loss

    def focal(prediction, target, gamma, reduction, alpha=-1):
        return sigmoid_focal_loss(prediction, target, alpha, gamma, reduction)

    return _focal("fvcore.nn.sigmoid_focal_loss", focal, ["none", "mean", "sum"], {"mean_denominator": "elements"})


def _segmentation_models_focal() -> Framework:
    from segmentation_models_pytorch.losses import FocalLoss

    def focal(prediction, target, gamma, reduction, alpha=None):
        return FocalLoss("binary", alpha=alpha, gamma=gamma, reduction=reduction)(prediction, target)

    # Without a reduction it is flat, of the wrong shape.
    documented = {"mean_denominator": "elements"}
    return _focal("segmentation_models_pytorch.losses.FocalLoss", focal, ["mean", "sum"], documented)


def _liger() -> Framework:
    from liger_kernel.transformers.functional import liger_cross_entropy

    def cross_entropy(input, target, reduction, ignore_index=-100, label_smoothing=0.0):
        # It writes the gradient over its input, so it is given a copy.
        options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
        return liger_cross_entropy(input.clone(), target, **options)

    return loss_function(
        cross_entropy,
        name="liger_kernel.transformers.functional.liger_cross_entropy",
        loss="softmax_cross_entropy",
        targets=["index"],
        reductions=["none", "mean", "sum"],
        options=["ignore_index", "label_smoothing"],
        arguments={"prediction": "input"},
        policies={"mean_denominator": "kept"},
        class_axis="rows",
    )


LOSSES = {
    "segmentation_models": _segmentation_models,
    "segmentation_models_binary": _segmentation_models_binary,
    "timm_smoothing": _timm_smoothing,
    "timm_soft": _timm_soft,
    "transformers": _transformers,
    "kornia_focal": _kornia_focal,
    "monai_focal": _monai_focal,
    "monai_focal_sum": _monai_focal_sum,
    "fvcore_focal": _fvcore_focal,
    "segmentation_models_focal": _segmentation_models_focal,
    "liger": _liger,
}


def __getattr__(name: str) -> Framework:
    if name not in LOSSES:
        raise AttributeError(name)
    return LOSSES[name]()
