"""A phantom with planted relations: two families of tasks that help within and hurt across.

Each picture is a random carrier (every pixel's sign is drawn) times 1.2 + u cos(x) + v cos(y): one vertical wave of
contrast u and one horizontal wave of contrast v, independent of each other. The tasks ``columns`` and
``columns_squared`` are u and its square, ``rows`` and ``rows_squared`` v and its square, each with noise of its own.

All tasks must undo the carrier, which the first stage of an encoder can do; apart from that the families look at
different waves, and a network of one channel has no room for both. A tree is right where each family shares every
stage and the families part before the second stage.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from branchpoint.phantoms.completion import begin, finish, write_csv
from branchpoint.phantoms.drawing import mesh, require, write_picture
from branchpoint.phantoms.writing import shown, write_text

FAMILIES = (("columns", "columns_squared"), ("rows", "rows_squared"))
SIZE = 16
_PERIOD, _PHASE, _LEVEL, _GREY = 16.0, 0.3, 1.2, 36.0
_GRAIN, _NOISE = 0.1, 0.05
_DECLARATION = """\
name = "relations"

[images]
stripes = {{ files = "pictures/{{id}}.png", channels = 1 }}

[table]
file = "labels.csv"
id = "picture"
{targets}"""
_TARGET = """
[targets.{name}]
kind = "regression"
column = "{name}"
range = [-1, 2]
"""


def make_relations_phantom(
    out: Path, *, release: str = "", patients: int = 96, seed: int = 0, progress: bool = True
) -> Path:
    """Write a phantom that the reader ``folder`` reads: pictures of 16 x 16, a table, and a declaration.

    Args:
        out: new or empty folder, or one that holds this phantom.
        release: not used.
        patients: pictures.
        seed: same seed, same bytes.
        progress: show a bar.

    Raises:
        ValueError: a setting is out of range, or ``out`` holds something else.
    """
    require(patients >= 2, "patients", patients, "needs at least 2 pictures")
    out = Path(out).resolve()
    if begin(out, {"phantom": "relations", "version": 1, "patients": patients, "seed": seed}):
        return out
    names = [name for family in FAMILIES for name in family]
    rows, truth = [], []
    for number in shown(range(patients), patients, "Phantom of planted relations", progress):
        pixels, u, v, labels = _draw(number, seed)
        name = f"S{number:04d}"
        write_picture(out / "pictures" / f"{name}.png", pixels)
        rows.append((name, *(f"{label:.5f}" for label in labels)))
        truth.append((name, f"{u:.5f}", f"{v:.5f}"))
    write_csv(out / "labels.csv", ("picture", *names), rows)
    targets = "".join(_TARGET.format(name=name) for name in names)
    write_text(out / "dataset.toml", _DECLARATION.format(targets=targets))
    finish(out, ("picture_id", "contrast_of_columns", "contrast_of_rows"), truth)
    return out


def _draw(number: int, seed: int) -> tuple[np.ndarray, float, float, list[float]]:
    """Pixels uint8 (16, 16), both contrasts, and the labels in the order of ``FAMILIES``."""
    generator = np.random.default_rng((seed, number, 0))
    u, v = generator.uniform(0, 1, 2)
    y, x = mesh((SIZE, SIZE))
    wave = 2 * np.pi / _PERIOD
    strength = _LEVEL + u * np.cos(wave * x + _PHASE) + v * np.cos(wave * y + _PHASE)
    signal = generator.choice([-1.0, 1.0], (SIZE, SIZE)) * strength + generator.normal(0, _GRAIN, (SIZE, SIZE))
    pixels = np.clip(np.round(128 + _GREY * signal), 0, 255).astype(np.uint8)
    noise = np.random.default_rng((seed, number, 1)).normal(0, _NOISE, 4)
    return pixels, float(u), float(v), (np.array([u, u**2, v, v**2]) + noise).tolist()
