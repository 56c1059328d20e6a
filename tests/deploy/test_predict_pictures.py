"""Pictures: PNG, JPEG with an orientation, TIFF stacks, slices of a volume, and scans larger than the window."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from typer.testing import CliRunner, Result

from branchpoint.commands import cli
from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.datasets.cohort import Cohort, Patient
from branchpoint.datasets.preparation.kinds import preparation_of
from branchpoint.deploy.bundle.bundle import Bundle, save_weights
from branchpoint.deploy.bundle.create import portable
from branchpoint.deploy.bundle.files import as_json, write_bundle
from branchpoint.deploy.bundle.tasks import predicted_tasks, task_info
from branchpoint.networks import build


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["predict", *map(str, arguments)])


def write_untrained(out: Path, config: Config, cohort: Cohort, seeds: int = 2) -> Path:
    """A bundle of networks as they were drawn: what is tested here does not depend on what they learned."""
    files, networks = {}, {}
    for seed in range(seeds):
        from dataclasses import replace

        one = replace(config, seed=seed)
        name = f"fold{seed}"
        files[f"{name}/config.json"] = portable(one).to_json().encode()
        files[f"{name}/weights.safetensors"] = save_weights(build(one).state_dict())
        networks[name] = {"fold": seed, "seed": seed, "fingerprint": one.fingerprint}
    preprocessing = {
        "preparation": preparation_of(cohort, config.dataset).plain(),
        "margins_cut_in_training_mm": 0.0,
        "rules_in_training": ["extent"],
        "largest_extent_mm": None,
        "outside": {},
        "covariates": [],
        "precision": "32",
    }
    files |= {
        "preprocessing.json": as_json(preprocessing),
        "reference.json": as_json({}),
        "seen.json": as_json({"key": "00" * 32, "networks": {name: [] for name in networks}}),
    }
    tasks = [task_info(task, cohort.class_names, {}).plain() for task in predicted_tasks(config.tasks)]
    manifest = {"study": "drawn", "candidate": config.candidate, "networks": networks, "tasks": tasks}
    write_bundle(out, manifest, files)
    Bundle.open(out)
    return out


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cohort = Cohort(
        name="skin",
        release="",
        root=Path("/"),
        modalities=("photo",),
        patients=(Patient(id="a", images={}),),
        targets={"lesion": "segmentation", "diagnosis": "classification"},
        dimensions=2,
        channels={"photo": 3},
        class_names={"lesion": ("lesion",), "diagnosis": ("naevus", "melanoma")},
    )
    config = Config(
        dataset=DatasetConfig(name="skin", size_voxels=(32, 32)),
        tasks=(SegmentationConfig(name="lesion", target="lesion"), ClassificationConfig(name="dx", target="diagnosis")),
        network=NetworkConfig(encoder="unet", in_channels=3, width=4, depth=3, measured_channel=0),
    )
    return write_untrained(tmp_path_factory.mktemp("skin") / "bundle", config, cohort)


@pytest.fixture
def photo() -> np.ndarray:
    random = np.random.default_rng(0)
    smooth = random.integers(0, 255, (6, 9, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(smooth).resize((90, 60), Image.Resampling.BILINEAR))


def test_png_and_folder(skin: Path, photo: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(photo).save(tmp_path / "in/a.png")
    Image.fromarray(photo[:, ::-1]).save(tmp_path / "in/b.bmp")
    done = run(skin, "--input", tmp_path / "in", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "2 cases: 2 done" in done.output
    result = json.loads((tmp_path / "out/a/result.json").read_text())
    mask = np.asarray(Image.open(tmp_path / "out/a/mask.png"))
    assert mask.shape == (60, 90)
    assert result["tasks"]["lesion"]["classes"][0]["voxels"] == int((mask == 1).sum())
    dx = result["tasks"]["dx"]
    assert sum(dx["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert dx["low"]["melanoma"] <= dx["probabilities"]["melanoma"] <= dx["high"]["melanoma"]
    assert "data:image/png" in (tmp_path / "out/a/page.html").read_text()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_lies_as_the_stored_picture(skin: Path, photo: np.ndarray, tmp_path: Path, orientation: int) -> None:
    """Whatever the EXIF orientation, the mask fits the pixels in the file, and shows what the upright one does."""
    from branchpoint.datasets.preparation.placement import turned_back

    stored = turned_back(photo, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "turned.tif", exif=exif)
    Image.fromarray(photo).save(tmp_path / "upright.png")
    done = run(skin, "--input", tmp_path / "turned.tif", "--input", tmp_path / "upright.png", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    turned, upright = (np.asarray(Image.open(tmp_path / f"out/{n}/mask.png")) for n in ("turned", "upright"))
    assert turned.shape == stored.shape[:2]
    assert np.array_equal(turned, turned_back(upright, orientation))


def test_stacks_are_put_together_again(skin: Path, photo: np.ndarray, tmp_path: Path) -> None:
    pages = [photo, photo[::-1].copy(), photo // 2]
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(tmp_path / "stack.tif", save_all=True, append_images=rest)
    for number, page in enumerate(pages):
        Image.fromarray(page).save(tmp_path / f"page{number}.png")
    inputs = [
        part for name in ("stack.tif", "page0.png", "page1.png", "page2.png") for part in ("--input", tmp_path / name)
    ]
    done = run(skin, *inputs, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "out/stack/mask.tif") as stack:
        for number in range(3):
            stack.seek(number)
            assert np.array_equal(np.asarray(stack), np.asarray(Image.open(tmp_path / f"out/page{number}/mask.png")))
    result = json.loads((tmp_path / "out/stack/result.json").read_text())
    assert len(result["slices"]) == 3
    single = [json.loads((tmp_path / f"out/page{n}/result.json").read_text())["tasks"]["dx"] for n in range(3)]
    mean = np.mean([one["probabilities"]["melanoma"] for one in single])
    assert result["tasks"]["dx"]["probabilities"]["melanoma"] == pytest.approx(mean)


def test_slices_of_a_volume_keep_its_geometry(skin: Path, photo: np.ndarray, tmp_path: Path) -> None:
    volume = sitk.GetImageFromArray(np.stack([photo[..., 0], photo[::-1, :, 1]]))
    volume.SetSpacing((0.2, 0.3, 4.0))
    volume.SetOrigin((1, 2, 3))
    sitk.WriteImage(volume, str(tmp_path / "oct.mha"))
    done = run(skin, "--input", tmp_path / "oct.mha", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    mask = sitk.ReadImage(str(tmp_path / "out/oct/mask.nii.gz"))
    assert mask.GetSize() == volume.GetSize()
    assert mask.GetSpacing() == pytest.approx(volume.GetSpacing())
    assert mask.GetOrigin() == pytest.approx(volume.GetOrigin())
    entry = json.loads((tmp_path / "out/oct/result.json").read_text())["tasks"]["lesion"]["classes"][0]
    assert entry["volume_ml"] == pytest.approx(entry["voxels"] * 0.2 * 0.3 * 4 / 1000)
    classes = sitk.GetArrayFromImage(mask)
    inside = np.zeros_like(classes)
    for box in entry["regions"]:
        inside[tuple(slice(low, high) for low, high in zip(box["low"], box["high"], strict=True))] = 1
    assert not classes[inside == 0].any(), "boxes are those of the file's slices, rows and columns"
    assert sum(box["voxels"] for box in entry["regions"]) == np.count_nonzero(classes)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n and cut"])
def test_broken_pictures_stop_no_other(skin: Path, photo: np.ndarray, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    Image.fromarray(photo).save(tmp_path / "good.png")
    done = run(skin, "--input", tmp_path / "broken.png", "--input", tmp_path / "good.png", "--out", tmp_path / "out")
    assert done.exit_code == 3
    assert "1 done, 1 failed" in done.output
    assert "Traceback" not in done.output


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(1)
    image = sitk.GetImageFromArray(random.normal(0, 200, (30, 24, 40)).astype(np.float32))
    image.SetSpacing((4.0, 4.0, 4.0))
    path = tmp_path_factory.mktemp("scan") / "ct.nii.gz"
    sitk.WriteImage(image, str(path))
    return path


def organs(tmp_path: Path, *, with_class: bool) -> Path:
    cohort = Cohort(
        name="organs",
        release="",
        root=Path("/"),
        modalities=("CT",),
        patients=(Patient(id="a", images={}),),
        targets={"organ": "segmentation", "sick": "classification"},
        class_names={"organ": ("liver", "spleen")},
    )
    dense = SegmentationConfig(name="organ", target="organ", foreground_classes=2)
    tasks = (dense, ClassificationConfig(name="sick", target="sick")) if with_class else (dense,)
    config = Config(
        dataset=DatasetConfig(name="organs", spacing_mm=4.0, size_voxels=(16, 16, 16)),
        tasks=tasks,
        network=NetworkConfig(in_channels=1, width=4, depth=3, measured_channel=0),
    )
    return write_untrained(tmp_path / "bundle", config, cohort)


def test_masks_alone_go_tile_by_tile(scan: Path, tmp_path: Path) -> None:
    done = run(organs(tmp_path, with_class=False), "--input", scan, "--out", tmp_path / "out", "--probabilities")
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "out/ct/result.json").read_text())
    assert result["region"] == {"rule": "extent", "size_voxels": [30, 24, 40], "tiled": True}
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out/ct/mask.nii.gz")))
    probabilities = np.load(tmp_path / "out/ct/probabilities.npz")["probabilities"]
    assert probabilities.shape == (3, 30, 24, 40)
    assert np.array_equal(mask, probabilities.argmax(axis=0)) or (mask != probabilities.argmax(axis=0)).mean() < 1e-3


def test_scan_larger_than_the_window_needs_a_place(scan: Path, tmp_path: Path) -> None:
    bundle = organs(tmp_path, with_class=True)
    refused = run(bundle, "--input", scan, "--out", tmp_path / "a")
    assert refused.exit_code == 3
    failure = json.loads((tmp_path / "a/failed/ct.json").read_text())
    assert failure["rule"] == "larger-than-window"
    assert "160 x 96 x 120 mm" in failure["found"]
    for way in (("--center", "80,48,60"), ("--box", "60 30 40 100 66 80"), ("--locate", "tiles")):
        out = tmp_path / way[0].strip("-")
        done = run(bundle, "--input", scan, "--out", out, *way)
        assert done.exit_code == 0, done.output
        assert json.loads((out / "ct/result.json").read_text())["region"]["size_voxels"] == [16, 16, 16]
