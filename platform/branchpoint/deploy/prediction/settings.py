"""How cases are predicted, and what is known of a case afterwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from branchpoint.datasets.preparation.preparation import Prepared
from branchpoint.datasets.preparation.volume_files import Grid
from branchpoint.deploy.prediction.inputs import Inputs, Reading
from branchpoint.deploy.prediction.networks import Outputs

METHODS = ("gradcam", "integrated-gradients", "rollout")

BASELINES = ("blurred", "zero", "air")
"""The image without its details; zero of the normalised image; air, or of pictures black. Networks that normalise each
image do not know what to make of an image that is the same everywhere: zero and air are for those that do not."""


@dataclass(frozen=True, kw_only=True)
class Explaining:
    """What is explained, and how.

    Attributes:
        methods: of :data:`METHODS`.
        tasks: names; empty for all of the bundle.
        label: class or label to explain in tasks that have it; ``""`` is the predicted one.
        baseline: where integrated gradients begin, of :data:`BASELINES`.
        grid: modality whose grid maps without a modality of their own lie on; ``""`` is the first.
    """

    methods: tuple[str, ...] = METHODS
    tasks: tuple[str, ...] = ()
    label: str = ""
    baseline: str = "blurred"
    grid: str = ""


@dataclass(frozen=True)
class Map:
    """A map that explains a prediction.

    Attributes:
        native: float32 ([D,] H, W) on ``grid``.
        grid: of an input; ``None`` for pictures.
        prepared: the same on the prepared grid.
        modality: image that it belongs to; ``None``: to all.
        title: for people.
    """

    native: np.ndarray
    grid: Grid | None
    prepared: np.ndarray
    modality: str | None
    title: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How cases are predicted; results made with other settings are not mixed.

    Attributes:
        folds: whose networks are used; ``None`` for all that did not learn from the case.
        grid: modality whose grid the masks are written on; ``each`` writes one for each; ``""`` is the first.
        center_mm: where the window is centred, for every case without a box.
        locate: ``tiles`` finds the largest component tile by tile, and centres the window on it.
        reading: how files are read.
        probabilities: write probabilities too.
        dicom_seg: write masks as DICOM segmentations too.
        page: write a page for people.
        mirrored: axes of each mirrored copy that is predicted too (test-time augmentation).
        identify: let the patient's name and identifier into the results.
        explaining: what is explained too; ``None``: nothing.
        device: ``cpu`` or ``cuda``.
    """

    folds: tuple[int, ...] | None = None
    grid: str = ""
    center_mm: tuple[float, float, float] | None = None
    locate: Literal["", "tiles"] = ""
    reading: Reading = field(default_factory=Reading)
    probabilities: bool = False
    dicom_seg: bool = False
    page: bool = True
    mirrored: tuple[tuple[int, ...], ...] = ()
    identify: bool = False
    explaining: Explaining | None = None
    device: str = "cpu"

    def plain(self) -> dict[str, Any]:
        """JSON values that decide the results; the device does not."""
        values = asdict(self)
        values.pop("device")
        values["folds"] = None if self.folds is None else list(self.folds)
        values["center_mm"] = None if self.center_mm is None else list(self.center_mm)
        for name in ("explaining", "mirrored"):  # results of versions without them are like results without their use
            if not getattr(self, name):
                values.pop(name)
        return values


@dataclass
class Predicted:
    """A case's results, in memory.

    Attributes:
        result: plain values of ``result.json``.
        masks: file name to class ids on its grid, uint8 ([D,] H, W).
        grids: file name to grid; ``None`` for pictures.
        probabilities: file name to float16 (outputs, [D,] H, W) on the same grid.
        inputs: what was read.
        prepared: what the networks saw.
        ensemble: class ids on the prepared grid, by task.
        maps: file name to a map that explains a task.
    """

    result: dict[str, Any]
    inputs: Inputs
    prepared: Prepared
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    grids: dict[str, Grid | None] = field(default_factory=dict)
    labels: dict[str, dict[int, str]] = field(default_factory=dict)
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    ensemble: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: Outputs = field(default_factory=Outputs)
    maps: dict[str, Map] = field(default_factory=dict)
