"""A phantom of ISIC 2017: dermoscopy whose diagnosis follows from border, colours and structures of the lesion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from branchpoint.phantoms.completion import begin, finish, write_csv
from branchpoint.phantoms.drawing import (
    Point,
    bar,
    blob,
    paint,
    radius_map,
    require,
    texture,
    to_bytes,
    write_picture,
)
from branchpoint.phantoms.writing import shown

NEVUS, MELANOMA, KERATOSIS = range(3)
_CYCLE = (NEVUS, MELANOMA, NEVUS, KERATOSIS, NEVUS)
"""Diagnoses by running number; the real shares in training are 69 % nevi, 19 % melanomas, 13 % keratoses."""
_SHARES = {"Training": 2000 / 2750, "Validation": 150 / 2750, "Test_v2": 600 / 2750}
_AGES = {NEVUS: (40, 15), MELANOMA: (62, 13), KERATOSIS: (66, 11)}
_BROWNS = {NEVUS: (0.50, 0.32, 0.20), MELANOMA: (0.33, 0.20, 0.14), KERATOSIS: (0.58, 0.46, 0.34)}
_ROUGHNESS = {NEVUS: 0.04, MELANOMA: 0.28, KERATOSIS: 0.10}


@dataclass(frozen=True)
class _Picture:
    pixels: np.ndarray
    mask: np.ndarray
    diagnosis: int
    age: str
    sex: str


def make_isic2017_phantom(
    out: Path, *, release: str = "", patients: int = 60, seed: int = 0, size_scale: float = 0.25, progress: bool = True
) -> Path:
    """Write a phantom in the challenge's layout: three parts with pictures, superpixels, masks and tables.

    Nevi are even, round and brown; melanomas dark with a ragged border and blue-grey and black areas; keratoses dull,
    with sharp borders and white dots. Hairs and dark corners occur with every diagnosis.

    Args:
        out: new or empty folder, or one that holds this phantom.
        release: not used; ISIC 2017 has one.
        patients: pictures, three or more, in the challenge's proportions of training, validation and test.
        seed: same seed, same bytes.
        size_scale: of the pictures, against some 600 x 450 pixels.
        progress: show a bar.

    Raises:
        ValueError: a setting is out of range, or ``out`` holds something else.
    """
    require(patients >= 3, "patients", patients, "needs one picture for each part, 3 in all")
    require(0.1 <= size_scale <= 2, "size_scale", size_scale, "must lie from 0.1 to 2")
    out = Path(out).resolve()
    if begin(out, {"phantom": "isic2017", "version": 1, "patients": patients, "seed": seed, "size_scale": size_scale}):
        return out
    truth = []
    validation, test = (max(1, round(_SHARES[part] * patients)) for part in ("Validation", "Test_v2"))
    counts = {"Training": patients - validation - test, "Validation": validation, "Test_v2": test}
    parts = [part for part, count in counts.items() for _ in range(count)]
    metadata: dict[str, list[tuple[object, ...]]] = {part: [] for part in counts}
    diagnoses: dict[str, list[tuple[object, ...]]] = {part: [] for part in counts}
    for number, part in shown(enumerate(parts), patients, "Phantom of ISIC 2017", progress):
        picture, name = _draw(number, seed, size_scale), f"ISIC_{number:07d}"
        data = out / f"ISIC-2017_{part}_Data"
        write_picture(data / f"{name}.jpg", to_bytes(picture.pixels))
        write_picture(data / f"{name}_superpixels.png", _superpixels(picture.mask.shape))
        masks = out / f"ISIC-2017_{part}_Part1_GroundTruth"
        write_picture(masks / f"{name}_segmentation.png", picture.mask.astype(np.uint8) * np.uint8(255))
        metadata[part].append((name, picture.age, picture.sex))
        diagnoses[part].append((name, float(picture.diagnosis == MELANOMA), float(picture.diagnosis == KERATOSIS)))
        truth.append((name, part, picture.diagnosis, int(picture.mask.sum())))
    for part in counts:
        write_csv(
            out / f"ISIC-2017_{part}_Data" / f"ISIC-2017_{part}_Data_metadata.csv",
            ("image_id", "age_approximate", "sex"),
            metadata[part],
        )
        write_csv(
            out / f"ISIC-2017_{part}_Part3_GroundTruth.csv",
            ("image_id", "melanoma", "seborrheic_keratosis"),
            diagnoses[part],
        )
    finish(out, ("sample", "part", "class", "lesion_pixels"), truth)
    return out


def _draw(number: int, seed: int, size_scale: float) -> _Picture:
    generator = np.random.default_rng((seed, number, 1))
    diagnosis = _CYCLE[number % len(_CYCLE)]
    height, width = size = [round(length * size_scale * generator.uniform(0.85, 1.15)) for length in (450, 600)]
    picture = (
        np.array([0.86, 0.67, 0.58]) * generator.uniform(0.85, 1.05) + 0.02 * texture(generator, size, 20)[..., None]
    )
    centre = (height * generator.uniform(0.42, 0.58), width * generator.uniform(0.42, 0.58))
    radii = (height * generator.uniform(0.2, 0.36), height * generator.uniform(0.2, 0.36))
    angle = generator.uniform(0, np.pi)
    mask = blob(generator, size, centre, radii, angle, _ROUGHNESS[diagnosis])
    paint(picture, mask, _BROWNS[diagnosis], opacity=0.9)
    _structures(generator, picture, mask, centre, radii, diagnosis)
    _artefacts(generator, picture)
    mean, spread = _AGES[diagnosis]
    age = int(np.clip(5 * round(generator.normal(mean, spread) / 5), 5, 85))
    sex = ("male", "female", "unknown")[generator.choice(3, p=(0.46, 0.46, 0.08))]
    return _Picture(np.clip(picture, 0, 1), mask, diagnosis, "unknown" if generator.uniform() < 0.1 else str(age), sex)


def _structures(
    generator: np.random.Generator, picture: np.ndarray, mask: np.ndarray, centre: Point, radii: Point, diagnosis: int
) -> None:
    """Draw the signs inside the lesion that tell the diagnoses apart."""
    size = mask.shape
    if diagnosis == NEVUS:
        within = np.clip(1 - radius_map(size, centre, radii), 0, 1)
        picture -= 0.12 * (within * mask)[..., None]
        return
    if diagnosis == MELANOMA:
        for colour, at in (((0.40, 0.45, 0.58), 0.5), ((0.10, 0.07, 0.07), -0.4)):
            shift = generator.uniform(0.3, 0.6, 2) * at
            place = (centre[0] + shift[0] * radii[0], centre[1] + shift[1] * radii[1])
            patch = blob(generator, size, place, (0.45 * radii[0], 0.4 * radii[1]), 0.0, 0.3)
            paint(picture, patch & mask, colour, opacity=0.85)
        return
    for _ in range(12):
        spot = np.array(centre) + generator.uniform(-0.8, 0.8, 2) * np.array(radii)
        dot = radius_map(size, (spot[0], spot[1]), (0.05 * radii[0], 0.05 * radii[0])) < 1
        paint(picture, dot & mask, (0.95, 0.92, 0.82))


def _artefacts(generator: np.random.Generator, picture: np.ndarray) -> None:
    """Hairs and dark corners, whatever the diagnosis."""
    size = picture.shape[:2]
    if generator.uniform() < 0.3:
        for _ in range(4):
            ends = generator.uniform(0, 1, (2, 2)) * size
            hair = bar(size, (ends[0, 0], ends[0, 1]), (ends[1, 0], ends[1, 1]), max(1.0, size[0] / 150))
            paint(picture, hair, (0.15, 0.1, 0.08), opacity=0.8)
    if generator.uniform() < 0.3:
        corner = radius_map(size, (size[0] / 2, size[1] / 2), (0.62 * size[0], 0.62 * size[1]))
        picture *= np.clip(1 - 4 * (corner - 1), 0, 1)[..., None]
    picture += generator.normal(0, 0.015, picture.shape)


def _superpixels(size: tuple[int, ...]) -> np.ndarray:
    """A grid of tiles, coded in colours as the challenge's superpixels are."""
    rows, columns = np.mgrid[: size[0], : size[1]] // 12
    index = rows * (columns.max() + 1) + columns
    return np.stack([index % 256, index // 256, np.zeros_like(index)], axis=2).astype(np.uint8)
