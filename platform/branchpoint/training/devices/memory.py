"""Peak memory of a run: of the device where there is one, else of the process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


def reset_peak_memory(device: torch.device) -> None:
    """Begin to measure; on Linux a process that trains one trial after another measures each of its own."""
    if device.type == "cuda":
        torch.cuda.init()  # a process that has not used the GPU yet has no statistics, and torch refuses the device
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    except OSError:
        return  # not Linux, or not allowed: the peak is then that of the process's whole life


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory in use since :func:`reset_peak_memory`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
