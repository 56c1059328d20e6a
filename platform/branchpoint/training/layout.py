"""Memory layout of images and weights: the faster of the two on each kind of device."""

from __future__ import annotations

import torch


def memory_format(device: torch.device, dimensions: int) -> torch.memory_format:
    """Channels last on the CPU, where oneDNN's convolutions of few channels run faster on it; else contiguous."""
    if device.type != "cpu":
        return torch.contiguous_format
    return torch.channels_last_3d if dimensions == 3 else torch.channels_last
