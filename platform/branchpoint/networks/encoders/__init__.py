"""Encoder families by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from branchpoint.config import NetworkConfig
from branchpoint.networks.architecture import Architecture
from branchpoint.networks.encoders.backbones import BACKBONES, Backbone, level_count
from branchpoint.networks.encoders.radiomics_unet import RadiomicsUNet
from branchpoint.networks.encoders.resformer import ResFormer
from branchpoint.networks.encoders.senorm_unet import SENormUNet
from branchpoint.networks.encoders.timm_levels import is_timm
from branchpoint.networks.encoders.u2net import HEIGHTS, U2Net
from branchpoint.networks.encoders.unet import TransformerUNet, UNet
from branchpoint.networks.encoders.whole import WHOLE_NETWORKS, WholeNetwork
from branchpoint.values import look_up

__all__ = ["ENCODERS", "architecture", "given_depth"]

ENCODERS: dict[str, Callable[[NetworkConfig, int], Architecture]] = {
    "radiomics_unet": RadiomicsUNet,
    "senorm_unet": SENormUNet,
    "unet": UNet,
    "transformer_unet": TransformerUNet,
    "resformer_sequential": partial(ResFormer, parallel=False),
    "resformer_parallel": partial(ResFormer, parallel=True),
    "u2net": partial(U2Net, small=False),
    "u2net_small": partial(U2Net, small=True),
    **dict.fromkeys(BACKBONES, Backbone),
    **{name: partial(WholeNetwork, make=make) for name, make in WHOLE_NETWORKS.items()},
}
"""Name of an encoder to what makes it; the entry points ``branchpoint.encoders`` of other packages add theirs."""


def given_depth(encoder: str) -> int:
    """Levels of an encoder that can have no other number of them; 0 where ``network.depth`` is free."""
    if encoder in BACKBONES or is_timm(encoder):
        return level_count(encoder)
    if encoder in WHOLE_NETWORKS:
        return 1
    return len(HEIGHTS) if encoder.startswith("u2net") else 0


def architecture(config: NetworkConfig, dimensions: int) -> Architecture:
    """The encoder family of ``config`` for images of ``dimensions`` dimensions.

    Raises:
        ValueError: there is no encoder of that name.
    """
    if is_timm(config.encoder):
        return Backbone(config, dimensions)
    also = ", or timm/NAME for a convolutional network of timm"
    make = look_up(ENCODERS, config.encoder, "network.encoder", "branchpoint.encoders", also=also)
    return make(config, dimensions)
