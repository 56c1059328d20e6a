"""Sliding windows: time and memory of ours beside MONAI's, in processes of their own, on the same scan and network.

    python benchmarks/predict.py [--size 224 224 300] [--classes 5]

The network is trivial (one 1x1x1 convolution), so that what is measured is the window's own work. Memory is what the
process needed at most beyond what it held when the scan was ready. The network by itself, on as many tiles, is the
time that no window can go below.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time

import torch

TILE = 64


def main() -> None:
    """Run both and print a table with the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=3, default=(224, 224, 300))
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--only", choices=("ours", "monai"))
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measure(given.only, tuple(given.size), given.classes)))
        return
    found = {}
    for name in ("ours", "monai"):
        command = [sys.executable, __file__, "--only", name, "--classes", str(given.classes), "--size"]
        done = subprocess.run([*command, *map(str, given.size)], capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:6} {found[name]['seconds']:7.1f} s  {found[name]['gib']:6.2f} GiB beyond the scan")
    ratios = [found["ours"][key] / found["monai"][key] for key in ("seconds", "gib")]
    print(f"ours / MONAI: time {ratios[0]:.2f}, memory {ratios[1]:.2f}")
    print(f"the network alone: {found['ours']['network']:.1f} s")


def measure(name: str, size: tuple[int, int, int], classes: int) -> dict[str, float]:
    """Seconds of one core (whatever else the machine does), and GiB at most beyond what the scan itself needs."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, classes, 1).eval()
    image = torch.randn(1, *size)
    run = {"ours": _ours, "monai": _monai}[name]
    run(network, torch.randn(1, TILE, TILE, TILE), classes)  # imports and first-time work are not the window's
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    with torch.inference_mode():
        run(network, image, classes)
    seconds = time.process_time() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": seconds, "network": _network_alone(network, size), "gib": memory / 2**20}


def _network_alone(network: torch.nn.Module, size: tuple[int, int, int]) -> float:
    """Seconds of the network on as many tiles as the window has."""
    from branchpoint.deploy.prediction.tiles import tile_starts

    tile = torch.randn(1, 1, TILE, TILE, TILE)
    begun = time.process_time()
    with torch.inference_mode():
        for _ in range(math.prod(len(tile_starts(length, TILE)) for length in size)):
            network(tile)
    return time.process_time() - begun


def _ours(network: torch.nn.Module, image: torch.Tensor, classes: int) -> torch.Tensor:
    from branchpoint.deploy.prediction.tiles import blocks

    mean = torch.zeros(classes, *image.shape[1:], dtype=torch.float16)
    for (planes, rows), values in blocks(lambda tile: network(tile)[0], image, classes, (TILE,) * 3):
        mean[:, planes, rows].copy_(values)
    return mean


def _monai(network: torch.nn.Module, image: torch.Tensor, classes: int) -> torch.Tensor:
    from monai.inferers import sliding_window_inference

    found = sliding_window_inference(image[None], (TILE,) * 3, 1, network, overlap=0.5, mode="gaussian")
    assert isinstance(found, torch.Tensor)
    return found


if __name__ == "__main__":
    main()
