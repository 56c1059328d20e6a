"""Small valid releases of picture datasets, for tests that damage one thing of them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from branchpoint.config import DatasetConfig
from branchpoint.datasets.check import check_cohort
from branchpoint.datasets.cohort import Cohort, MaskLabel, Patient
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.readers.registry import read_cohort

SIZE = (40, 56)
"""(height, width) of the pictures."""
PH2_HEADER = (
    "Image Name",
    "diagnosis",
    "diagnosis_code",
    "Asymmetry (0/1/2)",
    "Pigment Network (AT/T)",
    "Dots/Globules (A/AT/T)",
    "Streaks (A/P)",
    "Regression Areas (A/P)",
    "Blue-Whitish Veil (A/P)",
    "White",
    "Red",
    "Light-Brown",
    "Dark-Brown",
    "Blue-Gray",
    "Black",
    "Histological Diagnosis",
)
NAMES = ("common_nevus", "atypical_nevus", "melanoma")


def one_picture(root: Path, photo: Path, mask: Path) -> Cohort:
    """A cohort of one photograph and its mask, whose foreground is 255."""
    patient = Patient(id="P", images={"photo": photo}, labels={"lesion": MaskLabel(mask, (255,))})
    return Cohort(
        name="toy",
        release="",
        root=root,
        modalities=("photo",),
        targets={"lesion": "segmentation"},
        patients=(patient,),
        dimensions=2,
        channels={"photo": 3},
    )


def picture(seed: int, size: Sequence[int] = SIZE, channels: int = 3) -> np.ndarray:
    """Noise of many grey levels, uint8 (H, W, channels) or (H, W)."""
    shape = (*size, 3) if channels == 3 else tuple(size)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def disc(seed: int, size: Sequence[int] = SIZE, value: int = 255) -> np.ndarray:
    """A small ellipse whose place depends on the seed, uint8 (H, W)."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = ((rows - size[0] / 2) / 9) ** 2 + ((columns - size[1] / 2 + seed % 7) / (8 + seed // 7)) ** 2 < 1
    return (inside * value).astype(np.uint8)


def write(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return path


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def change_cell(path: Path, row: str, column: str, text: object) -> None:
    """Write ``text`` into the cell of the row that starts with ``row``."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    place = rows[0].index(column)
    write_csv(path, [[text if n == place and line[0] == row else cell for n, cell in enumerate(line)] for line in rows])


def change_rows(path: Path, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
    """Rewrite a table's rows, the header among them."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    write_csv(path, change(rows))


def change_mask(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Rewrite a mask's pixels as a grey file."""
    pixels = np.array(Image.open(path).convert("L"))
    write(path, change(pixels).astype(np.uint8))


def swap(first: Path, second: Path) -> None:
    """Let two files change places; their names and thus their formats stay."""
    pictures = [Image.open(path).copy() for path in (first, second)]
    for path, image in zip((second, first), pictures, strict=True):
        image.save(path)


def build_ph2(root: Path, count: int = 12) -> Path:
    """PH2 with 12 pictures, four of each diagnosis, every class of every criterion twice or more."""
    rows: list[Sequence[object]] = [PH2_HEADER]
    for number in range(count):
        name, diagnosis = f"IMD{number:03d}", number % 3
        folder = root / "PH2 Dataset images" / name
        write(folder / f"{name}_Dermoscopic_Image" / f"{name}.bmp", picture(number))
        write(folder / f"{name}_lesion" / f"{name}_lesion.bmp", disc(number), "1")
        write(folder / f"{name}_roi" / f"{name}_R1_Label4.bmp", disc(number), "1")
        flags = [(number >> bit) & 1 for bit in range(3)] * 2
        signs = [("A", "P")[(number + n) % 2] for n in range(3)]
        rows.append(
            [
                name,
                NAMES[diagnosis],
                diagnosis,
                number % 3,
                ("T", "AT")[number % 2],
                ("A", "T", "AT")[number % 3],
                *signs,
                *flags,
                "",
            ]
        )
    write_csv(root / "ph2_labels.csv", rows)
    return root


def build_busi(root: Path, count: int = 4) -> Path:
    """BUSI with four pictures of each class; the second benign one has two masks."""
    for place, kind in enumerate(("benign", "malignant", "normal")):
        for number in range(1, count + 1):
            path = root / kind / f"{kind} ({number}).png"
            seed = 10 * place + number
            write(path, picture(seed, channels=1), "RGB")
            mask = disc(seed) * (kind != "normal")
            write(path.with_stem(f"{path.stem}_mask"), mask, ("1", "RGB")[number % 2])
            if (kind, number) == ("benign", 2):
                write(path.with_stem(f"{path.stem}_mask_1"), np.roll(mask, 9, axis=1), "RGBA")
    return root


def build_origa(root: Path, count: int = 6) -> Path:
    """ORIGA with six pictures whose cup-to-disc ratio is that of the mask."""
    rows: list[Sequence[object]] = [("Image", "CDR", "Ecc-Cup", "Ecc-Disc", "Label")]
    for number in range(1, count + 1):
        mask = np.zeros((48, 48), np.uint8)
        mask[8:40, 8:40], cup = 1, 4 + 2 * number
        mask[24 - cup // 2 : 24 + cup // 2, 18:30] = 2
        write(root / "images" / f"{number:03d}.png", picture(number, (48, 48)))
        write(root / "masks" / f"{number:03d}.png", mask)
        rows.append((number, cup / 32, 0.3, 0.1, number % 2))
    write_csv(root / "origa_info.csv", rows)
    return root


def check(name: str, root: Path, folds: int = 2, release: str = "") -> list[Problem]:
    """The rows of the check."""
    config = DatasetConfig(name=name, root=str(root), release=release)
    return check_cohort(read_cohort(config), config, workers=1, folds=folds)


def rules(problems: Sequence[Problem]) -> list[tuple[str, str, str]]:
    """(rule, patient, task) of each row."""
    return [(row.rule, row.patient, row.task) for row in problems]
