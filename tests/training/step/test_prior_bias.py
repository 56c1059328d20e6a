"""Heads of masks that begin with the shares of the classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from branchpoint import networks
from branchpoint.config import SegmentationConfig
from branchpoint.datasets.cohort import IGNORED
from branchpoint.networks.heads import DenseHead
from branchpoint.training.run import build_run
from branchpoint.training.step.prior_bias import LEAST_SHARE, class_shares, prior_logits
from tests.training.spheres import MemoryCohort, small_config

TUMOUR = SegmentationConfig(name="tumour", target="tumour", prior_bias=True)


def bias_of(task: SegmentationConfig, cohort: MemoryCohort) -> torch.Tensor:
    config = small_config()
    run = build_run(replace(config, tasks=(task, *config.tasks[1:])), cohort, torch.device("cpu"))
    head = run.network.heads["tumour"]
    assert isinstance(head, DenseHead)
    return head.conv.bias.detach()


def test_a_head_begins_at_the_log_odds_of_the_labelled_training_masks() -> None:
    cohort = MemoryCohort()
    train = build_run(small_config(), cohort, torch.device("cpu")).folds.train
    share = cohort.mask[[index for index in train if cohort.labelled["tumour"][index]]].mean()
    assert 0 < share < 0.5
    assert bias_of(TUMOUR, cohort).item() == pytest.approx(np.log(share / (1 - share)), rel=1e-5)


def test_a_softmax_begins_at_the_shares_of_its_classes() -> None:
    shares = torch.tensor([0.7, 0.2, 0.1])
    torch.testing.assert_close(prior_logits(shares).softmax(0), shares)


def test_a_class_that_no_mask_has_begins_rare_not_impossible() -> None:
    assert prior_logits(torch.tensor([1.0, 0.0])).sigmoid().item() == pytest.approx(LEAST_SHARE, rel=1e-3)


def test_ignored_voxels_and_unlabelled_masks_count_nowhere() -> None:
    cohort = MemoryCohort()
    cohort.mask[:] = 1
    cohort.mask[:, :, 4:] = IGNORED
    cohort.labelled["tumour"][0] = False
    cohort.mask[0] = 0
    shares = class_shares(TUMOUR, cohort, np.array([0, 1, 2]))
    assert shares is not None
    assert shares.tolist() == [0, 1]
    assert class_shares(TUMOUR, cohort, np.array([0])) is None


def test_a_head_is_drawn_as_ever_where_nobody_asks() -> None:
    config = small_config()
    torch.manual_seed(0)
    drawn = networks.build(config).heads["tumour"].conv.bias.detach()
    torch.manual_seed(0)
    torch.testing.assert_close(bias_of(replace(TUMOUR, prior_bias=False), MemoryCohort()), drawn)
