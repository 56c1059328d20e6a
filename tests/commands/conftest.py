"""Fixtures shared with the tests of the report and training."""

from tests.report.conftest import study
from tests.training.conftest import config

__all__ = ["config", "study"]
