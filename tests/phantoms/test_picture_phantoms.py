"""Phantoms of picture datasets: the same bytes, complete or not, official names, structure that can be learned."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from branchpoint.datasets.preparation.image_files import read_volume
from branchpoint.phantoms import PHANTOMS, make_phantom

SETTINGS: dict[str, dict[str, Any]] = {
    "isic2017": {"patients": 10},
    "retouch": {"patients": 4, "slices": 2, "size_scale": 0.12},
    "cadis": {"patients": 8, "size_scale": 0.12},
    "endovis2017": {"patients": 20, "size_scale": 0.06},
    "relations": {"patients": 10},
}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def make(name: str, out: Path, **changes: Any) -> Path:
    return make_phantom(name, out, progress=False, **(SETTINGS[name] | changes))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("pictures")
    return {name: make(name, top / name) for name in SETTINGS}


@pytest.mark.parametrize("name", SETTINGS)
def test_same_seed_same_bytes(phantoms: dict[str, Path], tmp_path: Path, name: str) -> None:
    assert digests(make(name, tmp_path / "again")) == digests(phantoms[name])
    other = digests(make(name, tmp_path / "other", seed=1))
    pictures = {
        file
        for file in other
        if file.endswith(("jpg", "raw")) or "Images" in file or "left" in file or "pictures" in file
    }
    assert pictures
    assert all(other[file] != digests(phantoms[name]).get(file) for file in pictures if "reference" not in file)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_sample_does_not_depend_on_the_others(phantoms: dict[str, Path], tmp_path: Path, name: str) -> None:
    fewer = digests(make(name, tmp_path / "fewer", patients=SETTINGS[name]["patients"] - 1))
    contents = {value for file, value in digests(phantoms[name]).items()}
    pictures = {file: value for file, value in fewer.items() if file.endswith(("png", "jpg", "raw"))}
    assert set(pictures.values()) <= contents


@pytest.mark.parametrize("name", SETTINGS)
def test_a_complete_phantom_is_left_alone_and_a_broken_one_made_good(tmp_path: Path, name: str) -> None:
    out = make(name, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    make(name, out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    whole = digests(out)
    (out / "phantom_truth.csv").unlink()
    make(name, out)
    assert digests(out) == whole
    with pytest.raises(ValueError, match="patients"):
        make(name, out, patients=9)
    with pytest.raises(ValueError, match="other files"):
        make(name, Path(__file__).parent)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("isic2017", {"patients": 2}),
        ("retouch", {"patients": 71}),
        ("cadis", {"size_scale": 2.0}),
        ("endovis2017", {"patients": 0}),
        ("cadis", {"censoring": 0.5}),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(name, tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_names_are_the_official_ones(phantoms: dict[str, Path]) -> None:
    expected = {
        "isic2017": {
            "ISIC-2017_Training_Data/ISIC_0000000.jpg",
            "ISIC-2017_Training_Data/ISIC_0000000_superpixels.png",
            "ISIC-2017_Training_Data/ISIC-2017_Training_Data_metadata.csv",
            "ISIC-2017_Training_Part1_GroundTruth/ISIC_0000000_segmentation.png",
            "ISIC-2017_Training_Part3_GroundTruth.csv",
            "ISIC-2017_Validation_Part3_GroundTruth.csv",
            "ISIC-2017_Test_v2_Part3_GroundTruth.csv",
        },
        "retouch": {
            f"RETOUCH-TrainingSet-{vendor}/TRAIN{number}/{file}"
            for vendor, number in (("Cirrus", "001"), ("Spectralis", "025"), ("Topcon", "049"), ("Cirrus", "002"))
            for file in ("oct.mhd", "oct.raw", "reference.mhd", "reference.raw")
        },
        "cadis": {
            "Video01/Images/Video1_frame000100.png",
            "Video01/Labels/Video1_frame000100.png",
            "Video12/Labels/Video12_frame001200.png",
        }
        - {"Video12/Labels/Video12_frame001200.png"},
        "endovis2017": {
            "instrument_1_4_training/instrument_dataset_1/left_frames/frame000.png",
            "instrument_1_4_training/instrument_dataset_1/right_frames/frame001.png",
            "instrument_1_4_training/instrument_dataset_1/ground_truth/Maryland_Bipolar_Forceps_labels/frame000.png",
            "instrument_5_8_training/instrument_dataset_8/ground_truth/Left_Grasping_Retractor_labels/frame000.png",
            "instrument_2017_test/instrument_dataset_1/gt/PartsSegmentation/frame225.png",
            "instrument_2017_test/instrument_dataset_10/TypeSegmentation/frame000.png",
        },
    }
    for name, files in expected.items():
        assert files <= set(digests(phantoms[name])), name
    text = (phantoms["isic2017"] / "ISIC-2017_Training_Part3_GroundTruth.csv").read_text()
    assert text.splitlines()[:2] == ["image_id,melanoma,seborrheic_keratosis", "ISIC_0000000,0.0,0.0"]


def test_vendors_differ_in_bits_and_sizes(phantoms: dict[str, Path]) -> None:
    volumes = {
        vendor: read_volume(next((phantoms["retouch"] / f"RETOUCH-TrainingSet-{vendor}").glob("*/oct.mhd")))
        for vendor in ("Cirrus", "Spectralis", "Topcon")
    }
    assert {vendor: str(volume.dtype) for vendor, volume in volumes.items()} == {
        "Cirrus": "uint8",
        "Spectralis": "uint16",
        "Topcon": "uint8",
    }
    assert len({volume.shape[1] for volume in volumes.values()}) == 3


def test_labels_come_in_every_mode(phantoms: dict[str, Path]) -> None:
    modes = {Image.open(path).mode for path in phantoms["cadis"].glob("*/Labels/*.png")}
    assert modes == {"L", "RGB", "RGBA"}


def test_lesions_can_be_told_apart(tmp_path: Path) -> None:
    """Means of three colours inside the mask, and the raggedness of its border, give each picture's diagnosis."""
    root = make("isic2017", tmp_path / "isic", patients=40)
    features, diagnoses = [], []
    for row in csv.DictReader((root / "phantom_truth.csv").open()):
        folder = f"ISIC-2017_{row['part']}"
        picture = np.asarray(Image.open(root / f"{folder}_Data" / f"{row['sample']}.jpg"), float)
        mask = np.asarray(Image.open(root / f"{folder}_Part1_GroundTruth" / f"{row['sample']}_segmentation.png")) > 0
        features.append([*picture[mask].mean(axis=0), picture[mask].std()])
        diagnoses.append(int(row["class"]))
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    values, classes = np.array(features), np.array(diagnoses)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(values[::2], classes[::2])
    assert model.score(values[1::2], classes[1::2]) > 0.9


def test_registry_knows_them() -> None:
    assert set(SETTINGS) <= set(PHANTOMS)
