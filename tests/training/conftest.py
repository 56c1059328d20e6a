"""Fixtures of the training tests."""

from collections.abc import Iterator

import pytest
import torch

from branchpoint.config import Config
from tests.training.spheres import MemoryCohort, small_config


@pytest.fixture
def cohort() -> MemoryCohort:
    """24 patients on 8 x 8 x 8 voxels."""
    return MemoryCohort()


@pytest.fixture
def config() -> Config:
    """Three tasks, 3 epochs."""
    return small_config()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
