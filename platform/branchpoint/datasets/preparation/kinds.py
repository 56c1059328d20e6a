"""The kinds of samples: volumes and pictures. Here alone they are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort
from branchpoint.datasets.preparation.pictures import PicturePreparation
from branchpoint.datasets.preparation.preparation import Preparation
from branchpoint.datasets.preparation.volumes import VolumePreparation

_OF_DIMENSIONS: dict[int, type[Preparation]] = {2: PicturePreparation, 3: VolumePreparation}
_BY_KIND = {kind.kind: kind for kind in _OF_DIMENSIONS.values()}


def kind_of(cohort: Cohort) -> type[Preparation]:
    """The kind of preparation that the samples of ``cohort`` need."""
    return _OF_DIMENSIONS[cohort.dimensions]


def preparation_of(cohort: Cohort, dataset: DatasetConfig) -> Preparation:
    """How ``dataset`` asks for ``cohort`` to be prepared.

    Raises:
        ValueError: ``dataset.size_voxels`` does not suit the samples.
    """
    return kind_of(cohort).of(cohort, dataset)


def preparation_from_plain(plain: Mapping[str, Any]) -> Preparation:
    """The preparation that :meth:`Preparation.plain` gave ``plain`` for.

    Raises:
        ValueError: the kind is unknown, or a value is missing or wrong.
    """
    kind = plain.get("kind")
    if kind not in _BY_KIND:
        raise ValueError(f"preparation.kind is {kind!r}: it must be one of {', '.join(_BY_KIND)}")
    return _BY_KIND[kind].from_plain(plain)
