"""Search spaces with one more dimension, and search spaces that other packages bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from branchpoint.config import Config, DatasetConfig
from branchpoint.search.space.trial import Trial
from branchpoint.values import look_up

GROUP = "branchpoint.search_spaces"

SPACES: dict[str, SpaceOfStudy] = {}
"""Search spaces of other packages by name, once they were asked for."""


class SpaceOfStudy(Protocol):
    """A study's search space: a module of ``search_spaces``, or an object with the same four functions."""

    def base(self, dataset: DatasetConfig) -> Config:
        """The Config that all candidates start from."""

    def space(self, trial: Trial, base: Config) -> Config:
        """The Config of ``trial``."""

    def published(self, base: Config) -> Mapping[str, dict[str, Any]]:
        """Label to parameter values of the published configurations."""

    def starting_points(self, base: Config) -> list[dict[str, Any]]:
        """Parameter values that are tried first."""


class Dimension(Protocol):
    """One more thing that a search varies."""

    def suggest(self, trial: Trial, config: Config) -> Config:
        """``config`` with what ``trial`` suggests for this dimension."""

    def point(self, base: Config) -> Mapping[str, Any]:
        """The parameter values that leave ``base`` as it is, for published configurations and starting points."""


@dataclass(frozen=True)
class ExtendedSpace:
    """The search space ``inner`` with one more ``dimension``."""

    inner: SpaceOfStudy
    dimension: Dimension

    def base(self, dataset: DatasetConfig) -> Config:
        """As ``inner`` has it."""
        return self.inner.base(dataset)

    def space(self, trial: Trial, base: Config) -> Config:
        """The Config of ``trial``: first the values of ``inner``, then that of the dimension."""
        return self.dimension.suggest(trial, self.inner.space(trial, base))

    def published(self, base: Config) -> dict[str, dict[str, Any]]:
        """The published configurations, which the dimension leaves as they are."""
        point = self.dimension.point(base)
        return {label: {**values, **point} for label, values in self.inner.published(base).items()}

    def starting_points(self, base: Config) -> list[dict[str, Any]]:
        """The starting points of ``inner``, which the dimension leaves as they are."""
        point = self.dimension.point(base)
        return [{**values, **point} for values in self.inner.starting_points(base)]


def search_space(name: str) -> SpaceOfStudy:
    """The search space that an installed package brings as the entry point ``name`` of ``branchpoint.search_spaces``.

    Raises:
        ValueError: no package brings it, or it cannot be loaded; the message names the package.
    """
    return look_up(SPACES, name, "search space", GROUP)
