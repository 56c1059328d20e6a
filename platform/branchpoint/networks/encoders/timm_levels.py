"""timm's convolutional networks cut into levels, through timm's own feature interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

PREFIX = "timm/"
"""Encoder names that start with it name a model of timm, such as ``timm/convnext_atto``."""
HUB = "hub"
"""Value of ``network.weights`` for the weights that timm fetches itself, into its usual cache."""
EXAMPLES = "resnet10t, resnet18, convnext_atto, efficientnet_b0, regnety_002, mobilenetv3_small_100"


def timm_levels(name: str, weights: str) -> list[nn.Module]:
    """The levels of the timm model that ``name`` (with :data:`PREFIX`) means, each (B, C, H, W) to (B, C', H', W').

    Args:
        name: such as ``timm/resnet18``.
        weights: a local file with the model's state dict (torch or safetensors), :data:`HUB`, or empty for random
            weights.

    Raises:
        ValueError: timm has no such model, it does not come in levels of (B, C, H, W), or the weights are missing or
            belong to another model.
    """
    import timm

    model_name = name.removeprefix(PREFIX)
    if not timm.is_model(model_name):
        raise ValueError(
            f"network.encoder is {name!r}: timm has no model {model_name!r}; it has, among others, {EXAMPLES}"
        )
    options: dict[str, Any] = {"pretrained": False}
    if weights == HUB:
        options = {"pretrained": True}
    elif weights:
        _check_weights(timm.create_model(model_name, num_classes=0), weights)
        options = {"pretrained": True, "pretrained_cfg_overlay": {"file": weights}}
    try:
        model = timm.create_model(model_name, features_only=True, **options)
    except (RuntimeError, AttributeError, AssertionError, TypeError) as problem:
        raise ValueError(f"network.encoder is {name!r}: timm cannot give its features: {problem}") from problem
    except Exception as problem:
        if weights != HUB:
            raise
        raise ValueError(
            f"network.weights is {HUB!r}: timm could not fetch the weights of {model_name!r} "
            f"({type(problem).__name__}); give a local file, or an empty text for random weights"
        ) from problem
    return _cut(model, name)


def _check_weights(model: nn.Module, weights: str) -> None:
    """Raise ValueError unless the file ``weights`` holds every tensor of ``model``, in its shape."""
    from timm.models import load_state_dict

    if not Path(weights).is_file():
        raise ValueError(
            f"network.weights is {weights!r}: there is no such file; give a file, {HUB!r} or an empty text"
        )
    state = load_state_dict(weights, weights_only=True)
    wrong = [key for key, tensor in model.state_dict().items() if key not in state or state[key].shape != tensor.shape]
    if wrong:
        raise ValueError(
            f"network.weights is {weights!r}: {len(wrong)} tensors of the network are missing there or have another "
            f"shape, the first {wrong[0]!r}; give the weights of the same model"
        )


def _cut(model: nn.Module, name: str) -> list[nn.Module]:
    """Groups of the model's consecutive parts, each group ending where timm takes features."""
    parts: list[tuple[str, nn.Module]] = []
    for child_name, child in model.named_children():
        if child_name == "blocks" and isinstance(child, nn.Sequential):
            parts += [(f"blocks.{index}", block) for index, block in child.named_children()]
        else:
            parts.append((child_name, child))
    feature_info: Any = model.feature_info
    ends = list(getattr(model, "return_layers", None) or feature_info.module_name())
    names = [part for part, _ in parts]
    channels_first = str(getattr(model, "output_fmt", "NCHW")).endswith("NCHW")
    if not channels_first or any(end not in names for end in ends):
        raise ValueError(
            f"network.encoder is {name!r}: this model does not come in levels of (B, C, H, W); choose a convolutional "
            f"one, such as {EXAMPLES}"
        )
    # Features at bn1 are taken after the activation that follows it.
    places = [names.index(end) + (end == "bn1" and "act1" in names) for end in ends]
    starts = [0, *(place + 1 for place in places[:-1])]
    return [
        nn.Sequential(*(module for _, module in parts[start : place + 1]))
        for start, place in zip(starts, places, strict=True)
    ]


def is_timm(name: str) -> bool:
    """Whether the encoder name means a model of timm."""
    return name.startswith(PREFIX)
