"""A phantom of CaDIS: cataract operations seen through the microscope, with all 36 classes."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np

from branchpoint.phantoms.completion import begin, finish
from branchpoint.phantoms.drawing import bar, paint, radius_map, require, texture, to_bytes, write_picture
from branchpoint.phantoms.writing import shown

SIZE = (540, 960)
PUPIL, TAPE, HAND, RETRACTORS, IRIS, SKIN, CORNEA = range(7)
INSTRUMENTS = range(7, 36)
IGNORED = 255
HANDLES = {
    7: 32,
    8: 20,
    9: 22,
    10: 20,
    12: 28,
    13: 21,
    14: 24,
    15: 18,
    16: 23,
}
"""Instrument to the class of its handle, where that has one of its own."""
_VIDEOS = (1, 5, 2, 3, 7, 12, 4, 16, 22, *(n for n in range(6, 26) if n not in (7, 12, 16, 22)))
"""Order in which videos get frames: training, validation and test videos in turn, so that few frames have all."""
_MODES = ("L", "RGB", "RGB", "RGBA")
"""Labels of the release come in all three, with equal channels."""


def make_cadis_phantom(
    out: Path, *, release: str = "", patients: int = 60, seed: int = 0, size_scale: float = 0.25, progress: bool = True
) -> Path:
    """Write a phantom in the release's layout: ``VideoNN/Images`` and ``VideoNN/Labels``.

    Pupil, iris and cornea lie in skin with tape and retractors, sometimes a hand; each frame has one or two
    instruments whose colour and width tell their class, many with a handle of another class. The first 29 frames hold
    every instrument. Frames of one video share eye, light and skin; some label maps have a stripe without class.

    Args:
        out: new or empty folder, or one that holds this phantom.
        release: not used; there is one.
        patients: frames, dealt to the 25 videos in turn.
        seed: same seed, same bytes.
        size_scale: of the frames, against 960 x 540 pixels.
        progress: show a bar.

    Raises:
        ValueError: a setting is out of range, or ``out`` holds something else.
    """
    require(patients >= 1, "patients", patients, "must be at least 1 frame")
    require(0.1 <= size_scale <= 1, "size_scale", size_scale, "must lie from 0.1 to 1")
    out = Path(out).resolve()
    if begin(out, {"phantom": "cadis", "version": 1, "patients": patients, "seed": seed, "size_scale": size_scale}):
        return out
    truth: list[tuple[object, ...]] = []
    for number in shown(range(patients), patients, "Phantom of CaDIS", progress):
        video, turn = _VIDEOS[number % len(_VIDEOS)], number // len(_VIDEOS)
        picture, labels = draw_frame(number, seed, video, size_scale)
        name = f"Video{video}_frame{100 * video + 10 * turn:06d}"
        folder = out / f"Video{video:02d}"
        write_picture(folder / "Images" / f"{name}.png", to_bytes(picture))
        write_picture(folder / "Labels" / f"{name}.png", labels, _MODES[number % len(_MODES)])
        truth.append((name, " ".join(str(value) for value in np.unique(labels) if value in INSTRUMENTS)))
    finish(out, ("sample", "instruments"), truth)
    return out


def draw_frame(number: int, seed: int, video: int, size_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """A frame (H, W, 3) from 0 to 1, and its label map, uint8 (H, W)."""
    scene, generator = np.random.default_rng((seed, video, 4)), np.random.default_rng((seed, number, 5))
    height, width = size = (round(SIZE[0] * size_scale), round(SIZE[1] * size_scale))
    labels = np.full(size, SKIN, np.uint8)
    picture = np.zeros((*size, 3)) + np.array([0.72, 0.5, 0.42]) * scene.uniform(0.8, 1.1)
    centre = (height * (0.5 + generator.uniform(-0.06, 0.06)), width * (0.5 + generator.uniform(-0.06, 0.06)))
    eye = height * scene.uniform(0.40, 0.46)
    layers = [
        (TAPE, np.abs(radius_map(size, centre, (0.75 * height, 0.52 * width)) - 1) < 0.12, (0.85, 0.85, 0.9)),
        (CORNEA, radius_map(size, centre, (eye, 1.25 * eye)) < 1, (0.8, 0.7, 0.68)),
        (IRIS, radius_map(size, centre, (0.72 * eye, 0.72 * eye)) < 1, tuple(scene.uniform(0.2, 0.5, 3))),
        (PUPIL, radius_map(size, centre, (0.45 * eye, 0.45 * eye)) < 1, (0.25, 0.08, 0.06)),
        (
            RETRACTORS,
            bar(size, (centre[0] - 1.1 * eye, 0), (centre[0] - 0.9 * eye, centre[1]), 0.04 * height),
            (0.6, 0.62, 0.65),
        ),
    ]
    if number % 4 == 0:
        hand = radius_map(size, (height, width * scene.uniform(0.1, 0.2)), (0.35 * height, 0.2 * width)) < 1
        layers.append((HAND, hand, (0.92, 0.9, 0.8)))
    for count in range(1 + number % 2):
        layers += _instrument(generator, size, centre, 7 + (number + 13 * count) % len(INSTRUMENTS))
    for value, mask, colour in layers:
        labels[mask] = value
        paint(picture, mask, colour)
    picture *= 1 + 0.06 * texture(generator, size, 25)[..., None]
    picture += generator.normal(0, 0.015, picture.shape)
    if number % 5 == 0:
        labels[:, : max(1, width // 40)] = IGNORED
    return np.clip(picture, 0, 1), labels


def _instrument(
    generator: np.random.Generator, size: tuple[int, int], centre: tuple[float, float], value: int
) -> list[tuple[int, np.ndarray, tuple[float, ...]]]:
    """Handle and tip, from the border towards the pupil; hue and width follow from the class."""
    angle = generator.uniform(-0.9, 0.9) + (np.pi if generator.uniform() < 0.5 else 0)
    reach = np.array([np.sin(angle), np.cos(angle)])
    tip = np.array(centre) + 0.1 * size[0] * reach
    middle, end = tip + 0.35 * size[0] * reach, tip + 1.2 * size[1] * reach
    handle = HANDLES.get(value, value)
    width = size[0] * (0.03 + 0.03 * (value % 3) / 2)
    return [
        (handle, bar(size, (middle[0], middle[1]), (end[0], end[1]), 1.6 * width), colour_of(handle)),
        (value, bar(size, (tip[0], tip[1]), (middle[0], middle[1]), width), colour_of(value)),
    ]


def colour_of(value: int) -> tuple[float, float, float]:
    """Colour of an instrument's class."""
    return colorsys.hsv_to_rgb((value - 7) * 0.381966 % 1, 0.75, 0.65 + 0.3 * (value % 2))
