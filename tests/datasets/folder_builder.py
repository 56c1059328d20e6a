"""A sound folder of pictures, masks and a table with every kind of target, for tests that damage one thing of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.datasets.picture_builder import disc, picture, write, write_csv

COUNT = 12
SMALL = (24, 32)
HEADER = ("id", "patient", "clinic", "age", "diagnosis", "size", "days", "died")
DECLARATION = """name = "pictures"
[images]
photo = { files = "images/{id}.png", channels = 3 }
[table]
file = "t.csv"
id = "id"
group = "patient"
center = "clinic"
covariates = ["age"]
[targets.lesion]
kind = "segmentation"
files = "masks/{id}.png"
[targets.diagnosis]
kind = "classification"
column = "diagnosis"
classes = ["nevus", "melanoma"]
[targets.size]
kind = "regression"
column = "size"
range = [0, 50]
[targets.survival]
kind = "survival"
time = "days"
event = "died"
"""


def ids() -> list[str]:
    return [f"M{number:02d}" for number in range(COUNT)]


def rows() -> list[list[object]]:
    """A row for each sample, with an event for each and times that differ."""
    return [
        [name, f"P{n:02d}", ("north", "south")[n % 2], 50 + n, ("nevus", "melanoma")[n % 2], 4.5 + n, 900 - 30 * n, 1]
        for n, name in enumerate(ids())
    ]


def write_table(root: Path, lines: Sequence[Sequence[object]], header: Sequence[str] = HEADER) -> None:
    write_csv(root / "t.csv", [header, *lines])


def declare(root: Path, *changes: tuple[str, str]) -> None:
    """Write the declaration with texts replaced."""
    text = DECLARATION
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (root / "dataset.toml").write_text(text)


def build_folder(root: Path) -> Path:
    for seed, name in enumerate(ids()):
        write(root / "images" / f"{name}.png", picture(seed, SMALL))
        write(root / "masks" / f"{name}.png", disc(seed, SMALL))
    write_table(root, rows())
    declare(root)
    return root
