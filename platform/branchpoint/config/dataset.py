"""Which data a run learns from, and how they are divided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from branchpoint.values import ADDED, Checked, Length, Range, require

Seed = Annotated[int, Range(at_least=0)]


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(Checked):
    """Which cohort, and how it is brought to one grid.

    Attributes:
        name: reader, for example ``hecktor`` or ``sts``.
        root: absolute folder of the release; not part of a run's identity.
        release: release of the dataset, where it has several.
        spacing_mm: isotropic spacing after resampling (Andrearczyk et al. 2021: 1 mm). Pictures have no millimetres:
            leave it at 1, and lengths in mm are pixels.
        size_voxels: (D, H, W) of the crop (Andrearczyk et al. 2021: 144 each), or (H, W) that pictures are resized to.
        margin_mm: of volumes: what is kept around the crop, so that shifts in training bring in anatomy instead of
            background; the largest shift of the augmentation is enough.
        cut_margins: in training, cut each margin around the tumour at random, for releases cropped around it (STS).
        keep_aspect: keep a picture's proportions and fill up the rest with black, instead of stretching it.
        intensities: of pictures: ``fixed`` maps black to -2 and white to 2 in every picture, so that colours stay
            what they are; ``image`` gives each picture (all its channels together) zero mean and unit variance.
    """

    section = "dataset"

    name: Annotated[str, Length(at_least=1, at_most=200)] = "hecktor"
    root: str = field(default="", metadata={"identity": False})
    release: Annotated[str, Length(at_most=200)] = "2021"
    spacing_mm: Annotated[float, Range(above=0, at_most=1000)] = 1.0
    size_voxels: Annotated[
        tuple[Annotated[int, Range(at_least=1, at_most=8192)], ...], Length(at_least=2, at_most=3)
    ] = (144, 144, 144)
    margin_mm: Annotated[float, Range(at_least=0, at_most=1000)] = 30.0
    cut_margins: bool = True
    keep_aspect: bool = False
    intensities: Literal["fixed", "image"] = "fixed"

    def check(self) -> None:
        require(
            not self.root or Path(self.root).is_absolute(),
            self.place_of("root"),
            self.root,
            "must be an absolute path: workers run in other folders",
        )

    @classmethod
    def reader_of(cls, plain: Mapping[str, Any], place: str) -> tuple[type, dict[str, Any]]:
        """Configs stored before version 0.1 have a ``seed`` of margins that were cut once, and kept no margin."""
        values = dict(plain)
        if "seed" in values:
            del values["seed"]
            values.setdefault("margin_mm", 0.0)
        return cls, values


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Checked):
    """Event-stratified cross-validation with an inner validation split (Andrearczyk et al. 2021, 2.6), or fixed parts.

    Attributes:
        folds: number of folds of the cross-validation.
        fold: the one whose patients are tested, from 0.
        validation_fraction: share of what is not tested, for the choice of the epoch.
        seed: of the folds.
        scheme: ``cross_validation``; ``centres``, which tests on one centre in each fold, in alphabetical order, so
            that ``folds`` is the number of centres; ``official``, the parts that come with the data; or ``paper``,
            those of the paper that used it, leaks between training and test included. Fixed parts have one round,
            fold 0.
        training_fraction: share of the training samples that is used; smaller shares are parts of larger ones.
        refit: learn from every sample that the rounds learn from, validation included, for a final network on all
            cases. Test samples of fixed parts stay out; of a cross-validation or of centres none is left to test.
    """

    section = "split"

    folds: Annotated[int, Range(at_least=2, at_most=10_000)] = 5
    fold: Annotated[int, Range(at_least=0)] = 0
    validation_fraction: Annotated[float, Range(above=0, below=1)] = 0.2
    seed: Seed = 0
    scheme: Literal["cross_validation", "centres", "official", "paper"] = "cross_validation"
    training_fraction: Annotated[float, Range(above=0, at_most=1)] = 1.0
    refit: bool = field(default=False, metadata=ADDED)

    def check(self) -> None:
        require(self.fold < self.folds, self.place_of("fold"), self.fold, f"must lie from 0 to {self.folds - 1}")
        require(
            self.fold in self.rounds,
            self.place_of("fold"),
            self.fold,
            f"{self.scheme} parts are fixed, another fold would test the same samples: use 0",
        )
        require(
            not self.refit or (self.fold == 0 and self.training_fraction == 1),
            self.place_of("refit"),
            self.refit,
            "learns from all samples: use fold 0 and training_fraction 1",
        )

    @property
    def rounds(self) -> range:
        """Folds whose test samples are distinct: all of a cross-validation or of the centres, one of fixed parts."""
        return range(self.folds if self.scheme in ("cross_validation", "centres") else 1)
