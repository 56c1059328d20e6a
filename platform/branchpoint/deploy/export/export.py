"""``branchpoint bundle export``: the networks of a bundle in formats of other tools, compared after writing."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from branchpoint import __version__
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.files import BundleError, as_json
from branchpoint.deploy.export.network import Exported, PlainOperators

Format = Literal["pt2", "onnx", "monai"]
LARGEST_DIFFERENCE = {"pt2": 1e-5, "onnx": 1e-3}
"""Of probabilities, log-hazards and values, relative to the largest value where that is above 1."""


@dataclass(frozen=True)
class Written:
    """One exported network.

    Attributes:
        file: its name.
        difference: largest absolute difference from the network in torch, on noise, alone and in a batch.
        any_batch: whether it takes batches of any size; else one sample at a time.
        inputs: names of what it takes, in order.
    """

    file: str
    difference: float
    any_batch: bool
    inputs: tuple[str, ...]


def export(bundle: Bundle, kind: Format, out: Path) -> list[Written]:
    """Write the folder ``out``; it is there whole or not at all.

    Raises:
        ValueError: ``out`` exists, a network cannot be written in this format, or differs once it is.
        ModuleNotFoundError: a package is missing; the message names the extra.
    """
    if out.exists():
        raise BundleError(f"{out} exists; remove it or give another --out")
    if kind == "onnx":
        _require_onnx()
    beside = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    inner: Literal["pt2", "onnx"] = "onnx" if kind == "onnx" else "pt2"
    folder = beside / "models" if kind == "monai" else beside
    folder.mkdir(parents=True)
    try:
        written = [_one(bundle, name, inner, folder) for name in bundle.networks]
        description = _description(bundle, kind, written)
        if kind == "monai":
            from branchpoint.deploy.export.monai_bundle import write_monai

            write_monai(bundle, beside, description)
        else:
            (beside / "export.json").write_bytes(as_json(description))
            (beside / "preprocessing.json").write_bytes(bundle.files.read("preprocessing.json"))
            (beside / "card.md").write_bytes(bundle.files.read("card.md"))
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return written


def example_inputs(bundle: Bundle, exported: Exported, batch: int) -> list[list[Tensor]]:
    """Noise, and zeros with it in every other voxel: two samples of what a network takes."""
    preparation = bundle.preparation
    channels, size = sum(preparation.channels), preparation.size_voxels
    generator = torch.Generator().manual_seed(0)
    found = []
    for step in (1, 2):
        image = torch.randn(batch, channels, *size, generator=generator)
        image[..., ::step] *= 2 - step
        values = {
            "image": image,
            "clinical": torch.randn(batch, len(bundle.preprocessing["covariates"]), generator=generator),
            "intensity_offset": torch.zeros(batch, channels),
            "intensity_scale": torch.ones(batch, channels),
            "voxel_ml": torch.full((batch,), float(preparation.voxel_ml)),
        }
        found.append([values[name] for name in exported.inputs])
    return found


def _one(bundle: Bundle, name: str, kind: Literal["pt2", "onnx"], folder: Path) -> Written:
    exported = Exported(bundle.network(name), bundle.config(name)).eval()
    samples = example_inputs(bundle, exported, batch=2)
    path = folder / f"{name}.{kind}"
    write, run = (_write_onnx, _run_onnx) if kind == "onnx" else (_write_pt2, _run_pt2)
    try:
        any_batch = write(exported, samples[0], path)
    except (ModuleNotFoundError, MemoryError):
        raise
    except Exception as problem:  # what the exporters raise has no common class
        first = next((line for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
        encoder = bundle.config(name).network.encoder
        raise ValueError(
            f"{name} ({encoder}) cannot be written as {kind}: {first.strip()[:300]}; "
            + ("--format pt2 has fewer limits" if kind == "onnx" else "use the bundle itself with branchpoint predict")
        ) from problem
    difference = 0.0
    alone = [[value[:1] for value in sample] for sample in samples]
    for sample in [*alone, *(samples if any_batch else ())]:
        with torch.no_grad():
            expected = exported(*sample)
        for now, before in zip(run(path, exported.inputs, sample), expected, strict=True):
            apart = float((now - before).abs().max() / before.abs().max().clamp(min=1))
            difference = max(difference, apart if apart == apart else float("inf"))
    if difference > LARGEST_DIFFERENCE[kind]:
        raise ValueError(f"{name} as {kind} differs by {difference:.1e}, more than {LARGEST_DIFFERENCE[kind]:g}")
    return Written(path.name, difference, any_batch, exported.inputs)


def _program(exported: Exported, sample: Sequence[Tensor]) -> tuple[Any, bool]:
    """The traced network, and whether it takes batches of any size; else it takes one sample."""
    program = torch.export.export(
        exported, tuple(sample), dynamic_shapes=(({0: torch.export.Dim.AUTO},) * len(sample),), strict=False
    )
    alone = tuple(value[:1] for value in sample)
    try:
        with torch.no_grad():
            program.module()(*alone)
    except (AssertionError, RuntimeError):  # traced for this batch alone, as where it is folded into the channels
        return torch.export.export(exported, alone, strict=False), False
    return program, True


def _write_pt2(exported: Exported, sample: Sequence[Tensor], path: Path) -> bool:
    program, any_batch = _program(exported, sample)
    torch.export.save(program, path)
    return any_batch


def _run_pt2(path: Path, names: Sequence[str], sample: Sequence[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        return list(torch.export.load(path).module()(*sample))


def _write_onnx(exported: Exported, sample: Sequence[Tensor], path: Path) -> bool:
    with PlainOperators():
        program, any_batch = _program(exported, sample)
    written = torch.onnx.export(
        program, input_names=list(exported.inputs), output_names=list(exported.outputs), dynamo=True, verbose=False
    )
    assert written is not None
    written.save(path)
    return any_batch


def _run_onnx(path: Path, names: Sequence[str], sample: Sequence[Tensor]) -> list[Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {name: value.numpy() for name, value in zip(names, sample, strict=True)}
    return [torch.from_numpy(found) for found in session.run(None, given)]


def _require_onnx() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError('--format onnx needs onnx: pip install "branchpoint[export]"') from None


def _description(bundle: Bundle, kind: Format, written: Sequence[Written]) -> dict[str, Any]:
    """What a user of the files must know."""
    import numpy as np

    preparation = bundle.preparation
    channels = [
        f"{modality} {number}" if count > 1 else modality
        for modality, count in zip(preparation.modalities, preparation.channels, strict=True)
        for number in range(count)
    ]
    batch = "batch" if all(one.any_batch for one in written) else 1
    shapes: Mapping[str, list[Any]] = {
        "image": [batch, len(channels), *preparation.size_voxels],
        "clinical": [batch, len(bundle.preprocessing["covariates"])],
        "voxel_ml": [batch],
    }
    return {
        "format": kind,
        "study": bundle.name,
        "bundle": bundle.digest,
        "versions": {"branchpoint": __version__, "torch": torch.__version__, "numpy": np.__version__},
        "networks": [{"file": one.file, "largest_difference": one.difference} for one in written],
        "inputs": [{"name": name, "shape": shapes.get(name, [batch, len(channels)])} for name in written[0].inputs],
        "channels": channels,
        "covariates": [one["name"] for one in bundle.preprocessing["covariates"]],
        "outputs": [task.plain() for task in bundle.tasks],
        "ensemble": "mean over the networks; log-hazards never: each is compared with its own reference distribution",
    }
