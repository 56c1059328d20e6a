"""Integrated gradients (Sundararajan et al. 2017): how much each voxel of each channel adds to what is predicted.

Along the straight line from a baseline to the image the gradients are averaged, and multiplied by the difference of
both. The sum over all voxels is the difference between the two predictions (completeness, proposition 1), on the whole
line and on each part of it: so the error of each part is known, and the worst is halved until all together are small
enough.

Networks that normalise each image by itself do not notice its scale, and leap where it becomes the same everywhere: a
line from zero has all its change in one point, and no sum of gradients finds it. The baseline is therefore the image
without its details (Sturmfels et al. 2020), unless another is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from branchpoint.deploy.explanation.grad_cam import Score
from branchpoint.networks.network import Network

TOLERANCE = 0.01
"""Largest error of completeness, relative to the difference of the predictions (at least :data:`SMALLEST`)."""
SMALLEST = 0.1
PARTS = 4
"""Of the line, before any is halved."""
POINTS = 8
"""Of the Gauss-Legendre rule on each part of the line."""
MOST_GRADIENTS = 256
BLUR = 1 / 8


@dataclass(frozen=True)
class Attribution:
    """What the voxels add to a prediction.

    Attributes:
        values: float32 (C, [D,] H, W).
        score: of the image.
        baseline: score of the baseline.
        gradients: that were computed.
    """

    values: Tensor
    score: float
    baseline: float
    gradients: int

    @property
    def error(self) -> float:
        """|sum - difference|, relative to the difference, which counts as at least :data:`SMALLEST`."""
        apart = abs(float(self.values.sum(dtype=torch.float64)) - (self.score - self.baseline))
        return apart / max(abs(self.score - self.baseline), SMALLEST)


def baseline_of(inputs: Mapping[str, Tensor], name: str) -> Tensor:
    """(1, C, [D,] H, W): ``blurred`` by a Gaussian of an eighth of each edge, ``zero``, or ``air``."""
    from scipy.ndimage import gaussian_filter

    image = inputs["image"]
    if name == "air":
        air = inputs["intensity_background"].reshape(1, -1, *[1] * (image.ndim - 2))
        return torch.zeros_like(image) + air
    if name == "zero":
        return torch.zeros_like(image)
    sigma = (0, 0, *(edge * BLUR for edge in image.shape[2:]))
    return torch.from_numpy(gaussian_filter(image.cpu().numpy(), sigma, mode="nearest")).to(image)


def integrated_gradients(network: Network, inputs: Mapping[str, Tensor], score: Score, baseline: Tensor) -> Attribution:
    """Attribution of the image's voxels; other inputs stay as they are.

    Args:
        network: in evaluation mode.
        inputs: ``Batch.inputs`` of one sample.
        score: what is explained.
        baseline: (1, C, [D,] H, W), of :func:`baseline_of`.
    """
    line = _Line(network, inputs, score, baseline, inputs["image"] - baseline)
    ends = np.linspace(0, 1, PARTS + 1).tolist()
    scores = [line.score(place) for place in ends]
    parts = [line.part(*both, *known) for both, known in zip(pairwise(ends), pairwise(scores), strict=True)]
    first, last = scores[0], scores[-1]
    allowed = TOLERANCE * max(abs(last - first), SMALLEST)
    while sum(abs(part.error) for part in parts) > allowed and (len(parts) + 1) * 2 * POINTS <= MOST_GRADIENTS:
        worst = max(parts, key=lambda part: abs(part.error))
        parts.remove(worst)
        middle = (worst.low + worst.high) / 2
        between = line.score(middle)
        parts.append(line.part(worst.low, middle, worst.low_score, between))
        parts.append(line.part(middle, worst.high, between, worst.high_score))
    values = torch.stack([part.values for part in parts]).sum(0)[0]
    return Attribution(values.float().cpu(), last, first, line.gradients)


@dataclass(frozen=True, eq=False)
class _Part:
    """The line from ``low`` to ``high`` (0 is the baseline, 1 the image), and what its voxels add there."""

    low: float
    high: float
    low_score: float
    high_score: float
    values: Tensor

    @property
    def error(self) -> float:
        return float(self.values.sum(dtype=torch.float64)) - (self.high_score - self.low_score)


class _Line:
    def __init__(
        self, network: Network, inputs: Mapping[str, Tensor], score: Score, start: Tensor, step: Tensor
    ) -> None:
        self._network, self._inputs, self._score = network, inputs, score
        self._start, self._step = start, step
        self.gradients = 0

    def score(self, place: float) -> float:
        with torch.no_grad():
            return float(self._score(self._network({**self._inputs, "image": self._start + place * self._step})))

    def part(self, low: float, high: float, low_score: float, high_score: float) -> _Part:
        """Gauss-Legendre quadrature of the gradient between two places."""
        places, weights = np.polynomial.legendre.leggauss(POINTS)
        total = torch.zeros_like(self._start)
        for place, weight in zip(low + (places + 1) / 2 * (high - low), weights / 2 * (high - low), strict=True):
            total += float(weight) * self._gradient(float(place))
        return _Part(low, high, low_score, high_score, total * self._step)

    def _gradient(self, place: float) -> Tensor:
        at = (self._start + place * self._step).detach().requires_grad_()
        with torch.enable_grad():
            value = self._score(self._network({**self._inputs, "image": at}))
            (gradient,) = torch.autograd.grad(value, at, allow_unused=True)
        self.gradients += 1
        return torch.zeros_like(at) if gradient is None else gradient
