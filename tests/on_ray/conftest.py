"""Fixtures shared with the tests of the search."""

from tests.search.conftest import base

__all__ = ["base"]
