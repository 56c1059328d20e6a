"""Pictures drawn with numpy: smooth textures, blobs, bars, and their files.

Coordinates are pixels (y, x); sizes are (height, width); colours are from 0 to 1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np

Point = tuple[float, float]


def mesh(size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of every pixel, each float (H, W)."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return rows.astype(np.float64), columns.astype(np.float64)


def texture(generator: np.random.Generator, size: Sequence[int], grain: float) -> np.ndarray:
    """Smooth noise (H, W) of standard deviation 1 whose spots are about ``grain`` pixels wide."""
    from PIL import Image

    coarse = generator.standard_normal([max(2, round(length / grain) + 2) for length in size]).astype(np.float32)
    smooth = np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC), np.float64)
    return (smooth - smooth.mean()) / max(float(smooth.std()), 1e-9)


def radius_map(size: Sequence[int], centre: Point, radii: Point, angle: float = 0.0) -> np.ndarray:
    """(H, W): 0 in the centre of an ellipse, 1 on its border; ``radii`` along (y, x) before it is turned."""
    rows, columns = mesh(size)
    y, x = rows - centre[0], columns - centre[1]
    cos, sin = np.cos(angle), np.sin(angle)
    return np.hypot((cos * y - sin * x) / radii[0], (sin * y + cos * x) / radii[1])


def blob(
    generator: np.random.Generator, size: Sequence[int], centre: Point, radii: Point, angle: float, roughness: float
) -> np.ndarray:
    """bool (H, W): an ellipse whose border swings by ``roughness`` of its radius."""
    rows, columns = mesh(size)
    direction = np.arctan2(rows - centre[0], columns - centre[1])
    waves = np.arange(2, 9)
    amplitudes = generator.normal(0, 1, len(waves)) / waves
    phases = generator.uniform(0, 2 * np.pi, len(waves))
    swing = sum(a * np.cos(n * direction + phase) for a, n, phase in zip(amplitudes, waves, phases, strict=True))
    return radius_map(size, centre, radii, angle) < 1 + roughness * swing


def bar(size: Sequence[int], start: Point, end: Point, width: float) -> np.ndarray:
    """bool (H, W): pixels within half a ``width`` of the line from ``start`` to ``end``."""
    rows, columns = mesh(size)
    along = np.array(end, float) - np.array(start, float)
    length = max(float(along @ along), 1e-9)
    place = np.clip(((rows - start[0]) * along[0] + (columns - start[1]) * along[1]) / length, 0, 1)
    return np.hypot(rows - start[0] - place * along[0], columns - start[1] - place * along[1]) <= width / 2


def paint(picture: np.ndarray, mask: np.ndarray, colour: Sequence[float], opacity: float = 1.0) -> None:
    """Lay a colour over the masked pixels of (H, W, 3), in place."""
    picture[mask] = (1 - opacity) * picture[mask] + opacity * np.array(colour)


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """uint8 of colours from 0 to 1."""
    return np.clip(np.round(picture * 255), 0, 255).astype(np.uint8)


def write_picture(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    """Write uint8 pixels as the file's name says, whole or not at all; ``mode`` converts them first (``RGBA``)."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid4().hex}{path.suffix}")
    picture = Image.fromarray(pixels)
    picture = picture.convert(mode) if mode and mode != picture.mode else picture
    if path.suffix == ".jpg":
        picture.save(part, quality=90)
    else:
        picture.save(part)
    os.replace(part, path)


def require(holds: bool, name: str, value: object, rule: str) -> None:
    """Raise ValueError that names a setting of a phantom, its value and the rule."""
    if not holds:
        raise ValueError(f"{name} is {value!r}: {rule}")
