"""Heads of masks that begin with the shares of the classes in the training masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from branchpoint.config import SegmentationConfig
from branchpoint.datasets.cohort import IGNORED
from branchpoint.networks.heads import DenseHead
from branchpoint.networks.network import Network, head_key
from branchpoint.tasks import Task

SAMPLES = 64
"""Training masks that are counted at most, evenly spaced: more would not move the logarithm of a share."""
LEAST_SHARE = 1e-4


def set_prior_biases(network: Network, tasks: Sequence[Task], samples: Any, train: np.ndarray) -> None:
    """Set the biases of the heads whose Config asks for ``prior_bias``.

    A network that begins at probability 1/2 is first pushed towards the background, by nearly all voxels. All of its
    last features can come to stand for background alone; the head then never finds the foreground. The bias log(p /
    (1 - p)) of a sigmoid for the share p of foreground (Lin et al. 2017, section 4.1), and log(p_k) of a softmax,
    begin where that push ends.

    Args:
        network: whose heads begin so.
        tasks: of the run.
        samples: the cohort, with ``labelled`` and ``prepared_mask``.
        train: positions of the training samples.
    """
    for task in tasks:
        if not isinstance(task.config, SegmentationConfig) or not task.config.prior_bias:
            continue
        head = network.heads[head_key(task.config.name)]
        if isinstance(head, DenseHead):
            shares = class_shares(task.config, samples, train)
            if shares is not None:
                with torch.no_grad():
                    head.conv.bias.copy_(prior_logits(shares))  # type: ignore[operator]


def prior_logits(shares: Tensor) -> Tensor:
    """Logits of a head that predicts ``shares`` (K + 1,): one of a sigmoid for K = 1, else K + 1 of a softmax."""
    logits = shares.clamp(LEAST_SHARE, 1 - LEAST_SHARE).log()
    return logits[1:] - logits[:1] if len(shares) == 2 else logits


def class_shares(task: SegmentationConfig, samples: Any, train: np.ndarray) -> Tensor | None:
    """Shares (K + 1,) of voxels of class 0 to K in the training masks; ``None`` where no training mask is known."""
    known = train[np.asarray(samples.labelled[task.target])[train].astype(bool)]
    if not len(known):
        return None
    drawn = known[np.linspace(0, len(known) - 1, min(SAMPLES, len(known))).round().astype(int)]
    counts = torch.zeros(task.foreground_classes + 1, dtype=torch.float64)
    for index in drawn:
        mask = samples.prepared_mask(int(index), task.target)
        counts += torch.bincount(mask[mask != IGNORED].long().flatten(), minlength=len(counts))[: len(counts)]
    return (counts / counts.sum()).float()
