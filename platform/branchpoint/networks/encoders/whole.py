"""Segmentation networks of other libraries, whole, as the single-task comparators of Bui et al. 2024's tables."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from branchpoint.config import NetworkConfig
from branchpoint.networks.blocks import crop
from branchpoint.networks.heads import DenseHead
from branchpoint.networks.optional import require

MULTIPLE = 32
EXTRA = "comparators"


class WholeNetwork:
    """A network that cannot be cut: one encoder stage that gives ``width`` maps of the image's size.

    Sizes that 32 does not divide are padded and cropped back.

    Args:
        make: (config, dimensions, input channels) to the network with ``config.width`` output channels.
    """

    def __init__(
        self, config: NetworkConfig, dimensions: int, *, make: Callable[[NetworkConfig, int, int], nn.Module]
    ) -> None:
        if config.depth != 1:
            raise ValueError(f"network.depth is {config.depth}: {config.encoder!r} is one stage; set it to 1")
        self.config, self.dimensions, self.make = config, dimensions, make
        self.channels: tuple[int, ...] = (config.width,)
        self.decoder_channels: tuple[int, ...] = (config.width,)
        self.skips: tuple[int, ...] = (0,)

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        return _Padded(self.make(self.config, self.dimensions, self.config.in_channels + extra))

    def decoder_stage(self, step: int, extra: int) -> nn.Module:
        return _Passing(self.config.width)

    def dense_head(self, outputs: int, extra: int) -> nn.Module:
        return DenseHead(self.dimensions, self.config.width + extra, outputs, self.config.head_kernel)


class _Padded(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        missing = [(-length) % MULTIPLE for length in size]
        if any(missing):
            x = F.pad(x, [amount for pad in reversed(missing) for amount in (0, pad)])
        return crop(self.network(x), size)


class _Passing(nn.Module):
    """Hands on what the network gave; there is nothing left to decode."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, below: Tensor, skip: Tensor, path: list[Tensor]) -> Tensor:
        return below[:, : self.channels]


def segresnet(config: NetworkConfig, dimensions: int, inputs: int) -> nn.Module:
    """MONAI's SegResNet (Myronenko 2018) with ``width`` first filters."""
    nets = require("monai.networks.nets", "MONAI", EXTRA, config.encoder)
    return nets.SegResNet(
        spatial_dims=dimensions, in_channels=inputs, out_channels=config.width, init_filters=config.width
    )


def swin_unetr(config: NetworkConfig, dimensions: int, inputs: int) -> nn.Module:
    """MONAI's Swin UNETR (Hatamizadeh et al. 2022); ``width`` is its feature size, a multiple of 12."""
    require("einops", "einops", EXTRA, config.encoder)
    nets = require("monai.networks.nets", "MONAI", EXTRA, config.encoder)
    return nets.SwinUNETR(
        spatial_dims=dimensions, in_channels=inputs, out_channels=config.width, feature_size=config.width
    )


def unet_plus_plus(config: NetworkConfig, dimensions: int, inputs: int) -> nn.Module:
    """UNet++ (Zhou et al. 2018) on ResNet34, from segmentation-models-pytorch."""
    return _from_smp("UnetPlusPlus", config, dimensions, inputs)


def deeplab_v3_plus(config: NetworkConfig, dimensions: int, inputs: int) -> nn.Module:
    """DeepLabV3+ (Chen et al. 2018) on ResNet34, from segmentation-models-pytorch."""
    return _from_smp("DeepLabV3Plus", config, dimensions, inputs)


def _from_smp(name: str, config: NetworkConfig, dimensions: int, inputs: int) -> nn.Module:
    if dimensions != 2:
        raise ValueError(f"network.encoder is {config.encoder!r}: it takes 2D images, not {dimensions}D")
    smp = require("segmentation_models_pytorch", "segmentation-models-pytorch", EXTRA, config.encoder)
    make = getattr(smp, name)
    return make(encoder_name="resnet34", encoder_weights=None, in_channels=inputs, classes=config.width)


WHOLE_NETWORKS: dict[str, Callable[[NetworkConfig, int, int], nn.Module]] = {
    "monai_segresnet": segresnet,
    "monai_swin_unetr": swin_unetr,
    "smp_unet_plus_plus": unet_plus_plus,
    "smp_deeplab_v3_plus": deeplab_v3_plus,
}
