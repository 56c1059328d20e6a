"""HOG targets per second: our batched descriptor against scikit-image, picture by picture.

Both get the same pictures as a training step has them (float32, channels first) and give the same descriptor: resize
to 64 x 128 with anti-aliasing, cells, 2 x 2 blocks, L2-Hys. Contenders take turns, so that a busy machine slows both;
processor time tells on such a machine more than the clock, which waits for threads that get no core. What it says of
us is divided by the threads: what the clock would say if they were never kept waiting. Values are compared too.

    python benchmarks/hog.py             # batches of 16, 2 threads; a minute
    python benchmarks/hog.py --quick     # a second, to see that it runs
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from branchpoint.tasks.hog_descriptor import hog

WINDOW = (128, 64)
SIZES = ((256, 256), (512, 512), (540, 960))
"""The released code's crop, paper 001's OCT images, and the frames of CaDIS."""
DESCRIPTORS = ((6, 16), (9, 8))
TARGET, TOLERANCE = 20.0, 1e-4


@dataclass(frozen=True)
class Comparison:
    """Milliseconds for a batch: by the clock and of processor time, best of all rounds."""

    ours: tuple[float, float]
    scikit_image: tuple[float, float]
    difference: float

    def ratios(self, threads: int) -> tuple[float, float]:
        """By the clock, and by processor time with ours spread over ``threads``."""
        return self.scikit_image[0] / self.ours[0], threads * self.scikit_image[1] / self.ours[1]


def pictures(count: int, size: tuple[int, int]) -> torch.Tensor:
    """float32 (count, 3, H, W): smooth blobs with noise, in 8-bit steps, no two alike."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 12, 12, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")
    return ((smooth + 0.02 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1) * 255).round() / 255


def by_scikit_image(batch: torch.Tensor, orientations: int, cell: int) -> np.ndarray:
    """One picture after the other, by numpy alone: a thread of torch that waits for work would slow it down."""
    from skimage.feature import hog as of_picture
    from skimage.transform import resize

    descriptors = []
    for picture in batch.numpy():
        small = resize(np.moveaxis(picture, 0, -1).astype(np.float64), WINDOW)
        descriptors.append(of_picture(small, orientations, (cell, cell), (2, 2), "L2-Hys", channel_axis=-1))
    return np.stack(descriptors)


def best(call: Callable[[], object], before: tuple[float, float]) -> tuple[float, float]:
    """The better of ``before`` and this call, in milliseconds: by the clock, and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    call()
    spent = time.perf_counter() - clock, time.process_time() - processor
    return min(before[0], 1000 * spent[0]), min(before[1], 1000 * spent[1])


def compare(batch: torch.Tensor, orientations: int, cell: int, rounds: int) -> Comparison:
    """Both in turn, after one call each to warm up."""
    mine = hog(batch, orientations, cell, WINDOW).numpy()
    theirs = by_scikit_image(batch, orientations, cell)
    ours = scikit_image = (float("inf"), float("inf"))
    for _ in range(rounds):
        scikit_image = best(lambda: by_scikit_image(batch, orientations, cell), scikit_image)
        for _ in range(5):
            ours = best(lambda: hog(batch, orientations, cell, WINDOW), ours)
    return Comparison(ours, scikit_image, float(np.abs(mine - theirs).max()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="2 pictures of 64 x 64, one round")
    options = parser.parse_args(arguments)
    sizes = ((64, 64),) if options.quick else SIZES
    if options.quick:
        options.batch, options.rounds = 2, 1
    torch.set_num_threads(options.threads)
    print(f"batches of {options.batch}, {options.threads} threads, best of {options.rounds} rounds; ms for a batch")
    print(
        f"{'picture':>12}{'bins, cell':>12}{'scikit-image: clock':>21}{'processor':>11}{'ours: clock':>13}"
        f"{'processor':>11}{'ratio: clock':>14}{'processor':>11}{'difference':>12}"
    )
    ratios, differences = [], []
    for size in sizes:
        batch = pictures(options.batch, size)
        for orientations, cell in DESCRIPTORS:
            found = compare(batch, orientations, cell, options.rounds)
            ratios.append(found.ratios(options.threads))
            differences.append(found.difference)
            print(
                f"{f'{size[0]} x {size[1]}':>12}{f'{orientations}, {cell}':>12}{found.scikit_image[0]:21.1f}"
                f"{found.scikit_image[1]:11.1f}{found.ours[0]:13.1f}{found.ours[1]:11.1f}{ratios[-1][0]:14.1f}"
                f"{ratios[-1][1]:11.1f}{found.difference:12.1e}"
            )
    reached = [max(pair) >= TARGET for pair in ratios]
    print(
        f"at least {TARGET:.0f} times faster: {sum(reached)} of {len(reached)} rows; "
        f"equal within {TOLERANCE:g}: {'yes' if max(differences) <= TOLERANCE else 'no'}"
    )


if __name__ == "__main__":
    main()
