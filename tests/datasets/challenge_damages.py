"""Faults of challenges' releases that the check must name: ISIC 2017, RETOUCH, CaDIS and EndoVis 2017."""

from __future__ import annotations

import shutil

import numpy as np

from tests.datasets.picture_builder import change_cell, change_mask, change_rows, swap, write
from tests.datasets.picture_damages import Damage, cut, move

TRAIN, ISIC = "ISIC-2017_Training", "ISIC_0000002"
TRAIN_MASK = f"{TRAIN}_Part1_GroundTruth/{ISIC}_segmentation.png"
VIDEO_1 = "instrument_1_4_training/instrument_dataset_1"
CIRRUS = "RETOUCH-TrainingSet-Cirrus/TRAIN001"
C1, C5 = "Video1_frame000100", "Video5_frame000500"

SKIN = [
    Damage(
        "isic2017",
        "both diagnoses",
        lambda r: [
            change_cell(r / f"{TRAIN}_Part3_GroundTruth.csv", ISIC, name, "1.0")
            for name in ("melanoma", "seborrheic_keratosis")
        ],
        (("bad-class", ISIC, "diagnosis"),),
    ),
    Damage(
        "isic2017",
        "text in a number",
        lambda r: change_cell(r / f"{TRAIN}_Part3_GroundTruth.csv", ISIC, "melanoma", "maybe"),
        (("bad-class", ISIC, "melanoma"),),
    ),
    Damage(
        "isic2017",
        "impossible age",
        lambda r: change_cell(r / f"{TRAIN}_Data" / f"{TRAIN}_Data_metadata.csv", ISIC, "age_approximate", "old"),
        (("bad-value", ISIC, "age"),),
    ),
    Damage("isic2017", "no mask", lambda r: (r / TRAIN_MASK).unlink(), (("missing-file", ISIC, "lesion"),)),
    Damage(
        "isic2017",
        "unknown value",
        lambda r: change_mask(r / TRAIN_MASK, lambda m: np.where(m > 0, 1, 0)),
        (("unknown-label", ISIC, "lesion"),),
    ),
    Damage(
        "isic2017",
        "superpixels for a mask",
        lambda r: shutil.copy(r / f"{TRAIN}_Data/{ISIC}_superpixels.png", r / TRAIN_MASK),
        (("not-a-mask", ISIC, "lesion"),),
    ),
    Damage(
        "isic2017",
        "masks exchanged",
        lambda r: swap(*((r / f"{TRAIN}_Part1_GroundTruth" / f"ISIC_{n:07d}_segmentation.png") for n in (1, 2))),
        (("size-mismatch", "ISIC_0000001", "lesion"), ("size-mismatch", ISIC, "lesion")),
    ),
    Damage(
        "isic2017",
        "row twice",
        lambda r: change_rows(r / f"{TRAIN}_Part3_GroundTruth.csv", lambda rows: [*rows, rows[3]]),
        (("duplicate-row", ISIC, ""),),
    ),
]

OCT = [
    Damage(
        "retouch",
        "half a volume",
        lambda r: cut(r / CIRRUS / "oct.raw"),
        (("truncated-file", "Cirrus-TRAIN001", "OCT"),),
    ),
    Damage(
        "retouch",
        "no voxels",
        lambda r: (r / CIRRUS / "reference.raw").unlink(),
        (("missing-file", "Cirrus-TRAIN001", "fluids"),),
    ),
    Damage(
        "retouch",
        "unknown value",
        lambda r: (r / CIRRUS / "reference.raw").write_bytes((r / CIRRUS / "reference.raw").read_bytes()[:-1] + b"\7"),
        (("unknown-label", "Cirrus-TRAIN001", "fluids"),),
    ),
    Damage(
        "retouch",
        "references exchanged",
        lambda r: [
            shutil.copy(r / "RETOUCH-TrainingSet-Topcon/TRAIN049" / f"reference.{end}", r / CIRRUS / f"reference.{end}")
            for end in ("mhd", "raw")
        ],
        (("size-mismatch", "Cirrus-TRAIN001", "fluids"),),
    ),
    Damage(
        "retouch",
        "text in a number",
        lambda r: (r / CIRRUS / "oct.mhd").write_text(
            (r / CIRRUS / "oct.mhd").read_text().replace("DimSize = ", "DimSize = wide ")
        ),
        (("unreadable-file", "Cirrus-TRAIN001", "OCT"),),
    ),
    Damage(
        "retouch",
        "no reference",
        lambda r: (r / CIRRUS / "reference.mhd").unlink(),
        (("missing-file", "Cirrus-TRAIN001", "fluids"),),
    ),
    Damage(
        "retouch",
        "scan for the reference",
        lambda r: [
            shutil.copy(r / CIRRUS / "oct.mhd", r / CIRRUS / "reference.mhd"),
            (r / CIRRUS / "reference.mhd").write_text((r / CIRRUS / "oct.mhd").read_text()),
        ],
        (("not-a-mask", "Cirrus-TRAIN001", "fluids"),),
    ),
]

CATARACTS = [
    Damage(
        "cadis",
        "unknown value",
        lambda r: change_mask(r / f"Video01/Labels/{C1}.png", lambda m: m + 50 * (m == 5)),
        (("unknown-label", C1, "task_1"),),
    ),
    Damage(
        "cadis",
        "label and frame exchanged",
        lambda r: swap(r / f"Video01/Labels/{C1}.png", r / f"Video01/Images/{C1}.png"),
        (("image-is-mask", C1, "frame"), ("not-a-mask", C1, "task_1")),
    ),
    Damage("cadis", "no label", lambda r: (r / f"Video05/Labels/{C5}.png").unlink(), (("missing-file", C5, "labels"),)),
    Damage(
        "cadis",
        "another video's folder",
        lambda r: move(r / f"Video05/Images/{C5}.png", r / "Video01/Images"),
        (("wrong-folder", C5, "frame"),),
    ),
    Damage(
        "cadis",
        "label of another size",
        lambda r: write(r / f"Video05/Labels/{C5}.png", np.full((50, 60), 5, np.uint8)),
        (("size-mismatch", C5, "task_1"),),
    ),
    Damage(
        "cadis",
        "frame in two videos",
        lambda r: shutil.copy(r / f"Video05/Images/{C5}.png", r / f"Video01/Images/{C1}.png"),
        (("duplicate-images", C5, "frame"),),
    ),
]

ROBOTS = [
    Damage(
        "endovis2017",
        "a tool's mask is missing",
        lambda r: (r / VIDEO_1 / "ground_truth/Other_labels/frame000.png").unlink(),
        (("missing-file", "video_01_frame000", "tool:Other_labels"),),
    ),
    Damage(
        "endovis2017",
        "test coding in training",
        lambda r: change_mask(
            r / VIDEO_1 / "ground_truth/Maryland_Bipolar_Forceps_labels/frame001.png",
            lambda m: np.where(np.arange(m.size).reshape(m.shape) % 2, 255, 100),
        ),
        (("unknown-label", "video_01_frame001", "binary"),),
    ),
    Damage(
        "endovis2017",
        "mask and frame exchanged",
        lambda r: swap(
            r / "instrument_2017_test/instrument_dataset_10/left_frames/frame000.png",
            r / "instrument_2017_test/instrument_dataset_10/PartsSegmentation/frame000.png",
        ),
        (("image-is-mask", "video_10_frame000", "left_frame"), ("not-a-mask", "video_10_frame000", "parts")),
    ),
    Damage(
        "endovis2017",
        "no frame",
        lambda r: (r / VIDEO_1 / "left_frames/frame001.png").unlink(),
        (("missing-file", "video_01_frame001", "left_frame"),),
    ),
    Damage(
        "endovis2017",
        "unknown tool",
        lambda r: shutil.copytree(
            r / VIDEO_1 / "ground_truth/Other_labels", r / VIDEO_1 / "ground_truth/Suction_labels"
        ),
        (("wrong-folder", "", "type"),),
    ),
    Damage(
        "endovis2017",
        "types for parts",
        lambda r: shutil.copy(
            r / "instrument_2017_test/instrument_dataset_10/TypeSegmentation/frame000.png",
            r / "instrument_2017_test/instrument_dataset_10/PartsSegmentation/frame000.png",
        ),
        (("unknown-label", "video_10_frame000", "parts"),),
    ),
]
