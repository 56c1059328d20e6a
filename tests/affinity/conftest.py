"""Fixtures shared with the tests of training and search."""

from tests.search.conftest import base
from tests.training.conftest import _one_thread, cohort, config

__all__ = ["_one_thread", "base", "cohort", "config"]
