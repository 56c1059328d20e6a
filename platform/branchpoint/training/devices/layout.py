"""Memory layout of images and weights: the faster of two on each kind of device."""

from __future__ import annotations

import torch

from branchpoint.config import NetworkConfig

BLOCK = 16
"""Channels that oneDNN's convolutions on AVX-512 take at a time."""

U_NETS = ("radiomics_unet", "senorm_unet", "unet", "transformer_unet")
BATCH_NORM_2D = ("u2net", "u2net_small", "resformer_sequential", "resformer_parallel")


def memory_format(config: NetworkConfig, dimensions: int, device: torch.device) -> torch.memory_format:
    """Channels last on the CPU for the networks that gain by it, else contiguous.

    Measured for forward and backward of our networks (one AVX-512 core, widths 4 to 64, 16 to 48 voxels or 128 pixels
    a side): channels last takes 0.66 to 1.00 of the contiguous time in 3D below 16 channels, where oneDNN has no
    blocked layout of its own, and 0.76 to 0.99 with batch norm; elsewhere up to 1.3, for the other norms copy.
    """
    few = dimensions == 3 and config.width < BLOCK
    gains = config.encoder in U_NETS and (few or config.unit == "batchnorm")
    gains = gains or (config.encoder in BATCH_NORM_2D and dimensions == 2)
    if device.type != "cpu" or not gains:
        return torch.contiguous_format
    return torch.channels_last_3d if dimensions == 3 else torch.channels_last
