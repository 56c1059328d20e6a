"""What ``inference.json`` of an exported MONAI bundle names: preparation, networks, and how results are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from branchpoint.datasets.clinical_texts import ordinal
from branchpoint.datasets.cohort import Patient
from branchpoint.datasets.preparation.kinds import preparation_from_plain
from branchpoint.datasets.preparation.placement import VolumePlacement
from branchpoint.deploy.prediction.cases import parse_box
from branchpoint.deploy.prediction.output import write_mask

Item = dict[str, Any]


class PrepareCase:
    """A MONAI transform: from ``{"id", "images": {CT: FILE, ...}, "box"?, "covariates"?}`` to the networks' inputs.

    Args:
        folder: ``configs`` of the bundle.
    """

    def __init__(self, folder: str) -> None:
        self._preprocessing = json.loads((Path(folder) / "preprocessing.json").read_text())
        described = json.loads((Path(folder) / "export.json").read_text())
        self._inputs = [one["name"] for one in described["inputs"]]
        self.preparation = preparation_from_plain(self._preprocessing["preparation"])

    def __call__(self, case: Mapping[str, Any]) -> Item:
        images = {name: Path(path) for name, path in case["images"].items()}
        if missing := [name for name in self.preparation.modalities if not images.get(name, Path()).is_file()]:
            raise ValueError(f"{case['id']}: no file for {missing[0]}; give --data with a path for each image")
        box = parse_box(case["box"]) if case.get("box") else None
        prepared = self.preparation.prepare(Patient(id=case["id"], images=images, box=box))
        values = prepared.inputs(self.preparation.voxel_ml)
        names = [one["name"] for one in self._preprocessing["covariates"]]
        given = case.get("covariates") or {}
        values["clinical"] = torch.tensor([[ordinal(given.get(name)) for name in names]], dtype=torch.float32)
        return {
            "id": case["id"],
            "images": images,
            "placement": prepared.placement,
            "inputs": [values[name] for name in self._inputs],
        }


class ExportedNetworks(torch.nn.Module):
    """The ``.pt2`` files of a bundle.

    Args:
        paths: of the files.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, paths: Sequence[str], device: str = "cpu") -> None:
        super().__init__()
        self.device = device
        self.names = [Path(path).stem for path in paths]
        self.networks = [torch.export.load(path).module().to(device) for path in paths]

    def forward(self, inputs: Sequence[Tensor]) -> dict[str, tuple[Tensor, ...]]:
        """Network to the outputs of its tasks."""
        moved = [value.to(self.device) for value in inputs]
        return {name: network(*moved) for name, network in zip(self.names, self.networks, strict=True)}


class SaveCase:
    """Writes ``output_dir/ID``: masks on the grid of the first image, and ``values.json`` with each network's numbers.

    Args:
        folder: ``configs`` of the bundle.
        output_dir: where cases are written.
    """

    def __init__(self, folder: str, output_dir: str) -> None:
        self._preparation = PrepareCase(folder).preparation
        self._outside = json.loads((Path(folder) / "preprocessing.json").read_text())["outside"]
        self._tasks = json.loads((Path(folder) / "export.json").read_text())["outputs"]
        self._out = Path(output_dir)

    def __call__(self, case: Item, found: Mapping[str, tuple[Tensor, ...]]) -> Path:
        folder = self._out / case["id"]
        folder.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {}
        masks = [task["name"] for task in self._tasks if task["kind"] == "segmentation"]
        for place, task in enumerate(self._tasks):
            name = task["name"]
            outputs = {network: tensors[place][0].cpu().numpy() for network, tensors in found.items()}
            if name not in masks:
                values[name] = {"labels": task["labels"], **{network: v.tolist() for network, v in outputs.items()}}
                continue
            mean = np.stack(list(outputs.values())).mean(axis=0, dtype=np.float64).astype(np.float32)
            stem = f"mask-{name}" if len(masks) > 1 else "mask"
            self._write_mask(folder / stem, mean, case, self._outside.get(task["target"], 0))
        (folder / "values.json").write_text(json.dumps(values, indent=1))
        return folder

    def _write_mask(self, path: Path, mean: np.ndarray, case: Item, outside: int) -> None:
        placement = case["placement"]
        native = self._preparation.place_back(mean, placement, outside=outside)
        grid = placement.grid() if isinstance(placement, VolumePlacement) else None
        name = path.with_name(path.name + (".nii.gz" if grid else ".png"))
        write_mask(name, native.classes(), grid, case["images"][self._preparation.modalities[0]])


class Evaluation:
    """Runs all cases; its :meth:`run` is the ``run`` of ``inference.json``."""

    def __init__(self, dataset: Sequence[Item], network: ExportedNetworks, postprocessing: SaveCase) -> None:
        self._dataset, self._network, self._postprocessing = dataset, network, postprocessing

    @torch.no_grad()
    def run(self) -> list[Path]:
        """Folders of the cases."""
        cases = (self._dataset[place] for place in range(len(self._dataset)))
        return [self._postprocessing(case, self._network(case["inputs"])) for case in cases]
