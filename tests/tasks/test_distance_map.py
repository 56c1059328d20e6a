"""Distance maps of masks: closed forms, voxels without a class, and a network that learns one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import SmoothL1Loss

from branchpoint.config import DistanceMapConfig
from branchpoint.datasets.cohort import IGNORED
from branchpoint.datasets.splits import split
from branchpoint.evaluation.evaluation import evaluate
from branchpoint.networks import build
from branchpoint.tasks import build_task
from branchpoint.tasks.distance_map import signed_distance
from branchpoint.training.loop import fit
from tests.training.flat_cohort import FlatCohort, flat_config


def test_distances_to_a_plane_and_of_an_absent_class() -> None:
    mask = np.zeros((3, 8), np.uint8)
    mask[:, :3] = 1
    expected = np.tile([2.5, 1.5, 0.5, -0.5, -1.5, -2.5, -3.0, -3.0], (3, 1))
    np.testing.assert_allclose(signed_distance(mask, 1, 3.0), expected)
    np.testing.assert_allclose(signed_distance(1 - mask, 1, 3.0), -expected)
    assert (signed_distance(mask, 2, 3.0) == -3).all()
    assert (signed_distance(np.ones_like(mask), 1, 3.0) == 3).all()


def test_distances_in_a_volume_are_those_to_every_other_voxel() -> None:
    mask = (np.random.default_rng(0).random((5, 6, 7)) < 0.3).astype(np.uint8)
    places = np.argwhere(mask >= 0)
    between = np.linalg.norm(places[:, None] - places[None], axis=2)
    differ = mask.reshape(-1)[:, None] != mask.reshape(-1)[None]
    nearest = np.where(differ, between, np.inf).min(1).reshape(mask.shape) - 0.5
    np.testing.assert_allclose(signed_distance(mask, 1, 100.0), np.where(mask, nearest, -nearest))


def test_what_may_lie_nearer_than_the_surface_is_unknown() -> None:
    mask = np.array([[1, 1, 0, 0, 0, 0, IGNORED, 0]], np.uint8)
    np.testing.assert_allclose(signed_distance(mask, 1, 9.0), [[1.5, 0.5, -0.5, -1.5, np.nan, np.nan, np.nan, np.nan]])
    # The fifth voxel is 2.5 from the surface and 1.5 from the voxel without a class.


def test_loss_is_that_of_torch_over_the_known_voxels() -> None:
    task = build_task(DistanceMapConfig(name="d", target="m", limit_voxels=5.0))
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(2, 2, 1, 4, 4, generator=generator)
    logits.requires_grad_()
    target[0, 0, :2] = torch.nan
    loss = task.loss(logits, target, torch.tensor([True, True]))
    reference = SmoothL1Loss(beta=0.2)
    expected = (reference(logits[0, 0, 2:], target[0, 0, 2:]) + reference(logits[1], target[1])) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    (found,), (wanted,) = torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits)
    torch.testing.assert_close(found, wanted)


def test_a_network_learns_the_distance() -> None:
    """From the disc's mask, on its grid; an untrained network explains nothing."""
    config = flat_config(DistanceMapConfig(name="distance", target="disc", limit_voxels=4.0), epochs=30)
    cohort = FlatCohort()
    result = fit(config, cohort, device="cpu")
    test = split(cohort, config.split).test
    task = build_task(config.tasks[0])
    learned = task.metrics(evaluate(result.network, config, cohort, test, native=False)["distance"])
    torch.manual_seed(0)
    untrained = task.metrics(evaluate(build(config), config, cohort, test, native=False)["distance"])
    assert learned["r2"] > 0.5
    assert untrained["r2"] < 0.1
    assert learned["mae"] < untrained["mae"]
