"""How a prediction changes where an image or a covariate says nothing: it is replaced by its mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from branchpoint.deploy.explanation.grad_cam import Score
from branchpoint.networks.network import Network


@torch.no_grad()
def changes(
    network: Network,
    inputs: Mapping[str, Tensor],
    score: Score,
    channels: Mapping[str, int],
    covariates: Sequence[str],
) -> dict[str, float]:
    """Score with the part replaced, less the score as it is; by modality and by covariate.

    Args:
        network: in evaluation mode.
        inputs: ``Batch.inputs`` of one sample.
        score: what is explained.
        channels: modality to its number of channels; each is replaced by its mean over the window.
        covariates: names of the columns of ``clinical``; each is replaced by the mean of the training patients.
    """
    as_it_is = float(score(network(inputs)))
    found = {}
    first = 0
    for modality, count in channels.items():
        image = inputs["image"].clone()
        part = image[:, first : first + count]
        part[:] = part.mean(dim=tuple(range(2, part.ndim)), keepdim=True)
        first += count
        found[modality] = float(score(network({**inputs, "image": image}))) - as_it_is
    for place, name in enumerate(covariates):
        clinical = inputs["clinical"].clone()
        if network.clinical is not None:
            clinical[:, place] = network.clinical.mean[place]
        found[name] = float(score(network({**inputs, "clinical": clinical}))) - as_it_is
    return found
