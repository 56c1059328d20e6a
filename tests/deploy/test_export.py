"""``branchpoint bundle export``: what was written computes the same, and MONAI's own commands take it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

from branchpoint.commands import cli
from branchpoint.config import (
    ClassificationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    OrdinalConfig,
    RegressionConfig,
    SegmentationConfig,
)
from branchpoint.deploy.export.export import _run_onnx, _write_onnx
from branchpoint.deploy.export.network import Exported, PlainOperators, area_matrix
from branchpoint.deploy.prediction.networks import image_level
from branchpoint.networks import build
from branchpoint.tasks import build_task
from tests.deploy.conftest import Finished
from tests.deploy.test_predict import given


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, [*map(str, arguments)])


@pytest.mark.parametrize(("old", "new"), [(7, 3), (8, 4), (5, 5), (9, 1)])
def test_areas_as_matrices_are_means_over_areas(old: int, new: int) -> None:
    x = torch.randn(2, 3, old, old + 2)
    with PlainOperators():
        found = F.interpolate(x, size=(new, new), mode="area")
        pooled = F.adaptive_avg_pool2d(x, new)
    expected = F.interpolate(x, size=(new, new), mode="area")
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(pooled, expected, atol=1e-6)
    assert torch.allclose(area_matrix(old, new).sum(0), torch.ones(new))


def test_outputs_mean_what_predictions_mean() -> None:
    tasks = (
        ClassificationConfig(name="kind", target="kind", classes=3),
        OrdinalConfig(name="stage", target="stage", classes=4),
        RegressionConfig(name="size", target="size", center=5.0, scale=2.0),
    )
    config = Config(
        dataset=DatasetConfig(size_voxels=(16, 16)),
        tasks=tasks,
        network=NetworkConfig(encoder="unet", width=4, depth=3),
    )
    config = replace(config, network=replace(config.network, in_channels=1))
    network = build(config).eval()
    x = torch.randn(1, 1, 16, 16)
    exported = Exported(network, config).eval()
    with torch.no_grad():
        logits, found = network({"image": x}), exported(x)
    assert exported.outputs == ("kind", "stage", "size")
    for task, value in zip(config.tasks, found, strict=True):
        assert np.allclose(value[0].numpy(), image_level(build_task(task), logits[task.name]), atol=1e-6)


def test_onnx_where_maps_shrink_by_a_fraction(tmp_path: Path) -> None:
    """A mask of 18 pixels whose features are pooled inside it at 5: ONNX itself has no such pooling."""
    from branchpoint.topology import Cascade, Topology

    tasks = (
        SegmentationConfig(name="lesion", target="lesion"),
        ClassificationConfig(name="grade", target="grade", classes=2),
    )
    config = Config(
        dataset=DatasetConfig(size_voxels=(18, 18)),
        tasks=tasks,
        network=NetworkConfig(encoder="unet", in_channels=1, width=4, depth=3, unit="batchnorm"),
    )
    shared = Topology.shared(["grade", "lesion"], ["lesion"], 3, 2)
    cascade = Cascade(source="lesion", target="grade", carries="masked_features")
    config = replace(config, network=replace(config.network, topology=replace(shared, cascades=(cascade,))))
    exported = Exported(build(config).eval(), config).eval()
    sample = [torch.randn(2, 1, 18, 18)]
    _write_onnx(exported, sample, tmp_path / "n.onnx")
    with torch.no_grad():
        expected = exported(*sample)
    for now, before in zip(_run_onnx(tmp_path / "n.onnx", exported.inputs, sample), expected, strict=True):
        assert torch.allclose(now, before, atol=1e-4)


def test_onnx_of_windowed_attention(tmp_path: Path) -> None:
    config = Config(
        dataset=DatasetConfig(size_voxels=(16, 16)),
        tasks=(ClassificationConfig(name="grade", target="grade", classes=2),),
        network=NetworkConfig(encoder="resformer_sequential", in_channels=1, width=4, depth=2, window=4),
    )
    exported = Exported(build(config).eval(), config).eval()
    sample = [torch.randn(2, 1, 16, 16)]
    assert _write_onnx(exported, sample, tmp_path / "n.onnx"), "batches of any size"
    alone = [sample[0][:1]]
    with torch.no_grad():
        expected = exported(*alone)[0]
    assert torch.allclose(_run_onnx(tmp_path / "n.onnx", exported.inputs, alone)[0], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_exported_networks_compute_the_same(finished: Finished, tmp_path: Path, kind: str) -> None:
    done = run("bundle", "export", finished.bundle, "--format", kind, "--out", tmp_path / "e")
    assert done.exit_code == 0, done.output + str(done.exception)
    assert done.output.count("max |d|") == 2
    said = json.loads((tmp_path / "e/export.json").read_text())
    assert [one["file"] for one in said["networks"]] == [f"fold0.{kind}", f"fold1.{kind}"]
    assert max(one["largest_difference"] for one in said["networks"]) < 1e-3
    assert said["inputs"] == [
        {"name": "image", "shape": [ANY, 2, 16, 16, 16]},
        {"name": "clinical", "shape": [ANY, 1]},
    ]
    assert [task["name"] for task in said["outputs"]] == ["tumour", "survival"]
    again = run("bundle", "export", finished.bundle, "--format", kind, "--out", tmp_path / "e")
    assert "exists" in str(again.exception)


def test_unknown_format(finished: Finished, tmp_path: Path) -> None:
    done = run("bundle", "export", finished.bundle, "--format", "keras", "--out", tmp_path / "e")
    assert "--format is 'keras'" in str(done.exception)


SCHEMA = {
    "type": "object",
    "required": [
        "version",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "optional_packages_version",
        "task",
        "description",
        "authors",
        "copyright",
        "network_data_format",
    ],
    "properties": {
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        **{name: {"type": "string"} for name in ("monai_version", "pytorch_version", "numpy_version", "task")},
        **{name: {"type": "string"} for name in ("description", "authors", "copyright")},
        **{name: {"type": "object"} for name in ("optional_packages_version", "changelog")},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "additionalProperties": {"type": "object", "additionalProperties": {"$ref": "#/$defs/tensor"}},
        },
    },
    "$defs": {
        "tensor": {
            "type": "object",
            "required": [
                "type",
                "format",
                "modality",
                "num_channels",
                "spatial_shape",
                "dtype",
                "value_range",
                "is_patch_data",
                "channel_def",
            ],
            "properties": {
                "type": {"enum": ["image", "series", "tuples", "probabilities"]},
                "num_channels": {"type": "integer", "minimum": 1},
                "spatial_shape": {"type": "array", "items": {"type": ["integer", "string"]}},
                "dtype": {"type": "string"},
                "value_range": {"type": "array", "items": {"type": "number"}},
                "is_patch_data": {"type": "boolean"},
                "channel_def": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        }
    },
}
"""The mandatory keys of MONAI's bundle specification, written down here: its own schema is fetched from the network."""


def monai_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monai.bundle", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_monai_runs_the_bundle_and_predicts_the_same(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    out = tmp_path / "monai"
    done = run("bundle", "export", finished.bundle, "--format", "monai", "--out", out)
    assert done.exit_code == 0, done.output + str(done.exception)
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    verified = monai_command("verify_metadata", "--meta_file", out / "configs/metadata.json", "--filepath", schema)
    assert verified.returncode == 0, verified.stderr[-2000:]
    assert "metadata is verified with no error" in verified.stdout + verified.stderr
    images = dict(part.split("=") for part in given(strangers).split(","))
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"data": [{"id": "A", "images": images, "covariates": {"age": "61"}}]}))
    config_files = f"['{out}/configs/inference.json', '{data}']"
    places = ["--bundle_root", out, "--meta_file", out / "configs/metadata.json"]
    ran = monai_command("run", "--config_file", config_files, *places)
    assert ran.returncode == 0, ran.stderr[-3000:]
    table = tmp_path / "cases.csv"
    table.write_text(f"id,CT,PET,age\nA,{images['CT']},{images['PET']},61\n")
    ours = run("predict", finished.bundle, "--table", table, "--out", tmp_path / "ours", "--no-page")
    assert ours.exit_code == 0, ours.output
    theirs, mask = (sitk.ReadImage(str(f / "mask.nii.gz")) for f in (out / "eval/A", tmp_path / "ours/A"))
    assert np.array_equal(sitk.GetArrayFromImage(theirs), sitk.GetArrayFromImage(mask)), "0 voxels differ"
    assert theirs.GetOrigin() == mask.GetOrigin()
    values = json.loads((out / "eval/A/values.json").read_text())["survival"]
    result = json.loads((tmp_path / "ours/A/result.json").read_text())["tasks"]["survival"]["log_hazards"]
    for name, value in result.items():
        assert values[name][0] == pytest.approx(value, abs=1e-5)
