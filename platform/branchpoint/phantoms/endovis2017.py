"""A phantom of EndoVis 2017: robotic instruments over tissue, with both codings of the masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from branchpoint.phantoms.completion import begin, finish
from branchpoint.phantoms.drawing import bar, paint, require, texture, to_bytes, write_picture
from branchpoint.phantoms.writing import shown, write_text

FRAME, BORDERED = (1024, 1280), (1080, 1920)
TOP, LEFT = 28, 320
TOOLS: dict[int, tuple[str, ...]] = {
    1: ("Left_Prograsp_Forceps", "Maryland_Bipolar_Forceps", "Other", "Right_Prograsp_Forceps"),
    2: ("Left_Prograsp_Forceps", "Other", "Right_Prograsp_Forceps"),
    3: ("Left_Large_Needle_Driver", "Right_Large_Needle_Driver"),
    4: ("Large_Needle_Driver_Left", "Large_Needle_Driver_Right", "Prograsp_Forceps"),
    5: ("Bipolar_Forceps", "Grasping_Retractor", "Vessel_Sealer"),
    6: ("Left_Large_Needle_Driver", "Monopolar_Curved_Scissors", "Prograsp_Forceps"),
    7: ("Left_Bipolar_Forceps", "Right_Vessel_Sealer"),
    8: ("Bipolar_Forceps", "Left_Grasping_Retractor", "Monopolar_Curved_Scissors"),
    9: ("Bipolar_Forceps", "Grasping_Retractor", "Monopolar_Curved_Scissors"),
    10: ("Large_Needle_Driver", "Prograsp_Forceps", "Vessel_Sealer", "Other"),
}
"""Video to the tools it shows; the last two are in the test set only."""
_TYPES = ("Bipolar", "Prograsp", "Large_Needle", "Vessel", "Grasping", "Scissors", "Other")
_RINGS = (
    (0.9, 0.2, 0.2),
    (0.2, 0.8, 0.3),
    (0.2, 0.4, 0.95),
    (0.95, 0.8, 0.2),
    (0.8, 0.3, 0.9),
    (0.2, 0.85, 0.9),
    (0.3, 0.3, 0.3),
)
"""Colour of the wrist, by type."""
SHAFT, WRIST, CLASPERS, OTHER = 10, 20, 30, 40
_TEST_PARTS = {SHAFT: 30, WRIST: 100, CLASPERS: 255}
_SEQUENCES = (*((video, True) for video in range(1, 9)), *((video, False) for video in range(1, 11)))
"""Video and whether its frames are training frames."""


@dataclass(frozen=True)
class _Tool:
    folder: str
    kind: int
    parts: np.ndarray


def make_endovis2017_phantom(
    out: Path, *, release: str = "", patients: int = 72, seed: int = 0, size_scale: float = 0.125, progress: bool = True
) -> Path:
    """Write a phantom of the training and the test set in the challenge's layouts and codings.

    Tools come in from the border over red tissue: a grey shaft, a wrist whose colour tells the type, two claspers whose
    opening does. Training masks have a folder for each tool with parts 10, 20, 30 and 40 (other); test masks a folder
    for each task, half of the videos inside ``gt``.

    Args:
        out: new or empty folder, or one that holds this phantom.
        release: not used; there is one.
        patients: frames, dealt in turn to the eight training and ten test sequences.
        seed: same seed, same bytes.
        size_scale: of the frames, against 1280 x 1024 pixels. At 1 they have the official black border and are
            1920 x 1080; smaller ones have none.
        progress: show a bar.

    Raises:
        ValueError: a setting is out of range, or ``out`` holds something else.
    """
    require(1 <= patients <= 75 * 18, "patients", patients, "must lie from 1 to 1350 frames")
    require(0.05 <= size_scale <= 1, "size_scale", size_scale, "must lie from 0.05 to 1")
    out = Path(out).resolve()
    settings = {"phantom": "endovis2017", "version": 1, "patients": patients, "seed": seed, "size_scale": size_scale}
    if begin(out, settings):
        return out
    truth: list[tuple[object, ...]] = []
    for number in shown(range(patients), patients, "Phantom of EndoVis 2017", progress):
        (video, training), turn = _SEQUENCES[number % len(_SEQUENCES)], number // len(_SEQUENCES)
        frame = turn if training or video > 8 else 225 + turn
        picture, tools = draw_frame(number, seed, video, size_scale)
        part = f"instrument_{'1_4' if video < 5 else '5_8'}_training" if training else "instrument_2017_test"
        folder = out / part / f"instrument_dataset_{video}"
        for side in ("left", "right"):
            moved = picture if side == "left" else np.roll(picture, -round(20 * size_scale), axis=1)
            write_picture(folder / f"{side}_frames" / f"frame{frame:03d}.png", _bordered(to_bytes(moved), size_scale))
        if turn == 0:
            write_text(folder / "camera_calibration.txt", "phantom: no calibration\n")
        masks = _training_masks(tools) if training else _test_masks(tools, video)
        for name, mask in masks.items():
            write_picture(folder / name / f"frame{frame:03d}.png", _bordered(mask, size_scale))
        kinds = sorted({tool.kind for tool in tools if tool.parts.any()})
        truth.append((f"video_{video:02d}_frame{frame:03d}", " ".join(map(str, kinds))))
    finish(out, ("sample", "types"), truth)
    return out


def draw_frame(number: int, seed: int, video: int, size_scale: float) -> tuple[np.ndarray, list[_Tool]]:
    """A frame (H, W, 3) from 0 to 1, and the tools that are seen, each with its parts; the later ones lie on top."""
    scene, generator = np.random.default_rng((seed, video, 6)), np.random.default_rng((seed, number, 7))
    size = (round(FRAME[0] * size_scale), round(FRAME[1] * size_scale))
    tissue = np.array([0.62, 0.25, 0.22]) * scene.uniform(0.8, 1.15)
    picture = tissue * (1 + 0.15 * texture(generator, size, size[0] / 5)[..., None])
    tools: list[_Tool] = []
    for place, folder in enumerate(TOOLS[video]):
        kind = next(n for n, word in enumerate(_TYPES, start=1) if word in folder)
        parts = np.zeros(size, np.uint8)
        if generator.uniform() < 0.85:
            parts = _draw_tool(generator, picture, kind, (place + 0.5) / len(TOOLS[video]))
        for below in tools:
            below.parts[parts > 0] = 0
        tools.append(_Tool(f"{folder}_labels", kind, parts))
    picture += generator.normal(0, 0.02, picture.shape)
    return np.clip(picture, 0, 1), tools


def _draw_tool(generator: np.random.Generator, picture: np.ndarray, kind: int, lane: float) -> np.ndarray:
    """Paint one tool and give its parts (10 shaft, 20 wrist, 30 claspers; 40 for other tools)."""
    size = picture.shape[:2]
    height, width = size
    start = np.array([height * 1.05, width * (lane + generator.uniform(-0.08, 0.08))])
    aim = np.array([height * generator.uniform(0.3, 0.5), width * generator.uniform(0.3, 0.7)])
    along = (aim - start) / np.linalg.norm(aim - start)
    wrist = aim + 0.12 * height * along
    across = np.array([-along[1], along[0]]) * (0.2 + 0.11 * kind)
    thick = 0.09 * height
    parts = np.zeros(size, np.uint8)
    strokes = [(SHAFT, start, aim, thick, (0.55, 0.57, 0.6)), (WRIST, aim, wrist, 0.8 * thick, _RINGS[kind - 1])]
    for side in (-1, 1):
        tip = wrist + 0.13 * height * (along + side * across) / np.linalg.norm(along + side * across)
        strokes.append((CLASPERS, wrist, tip, 0.35 * thick, (0.85, 0.87, 0.9)))
    if kind == len(_TYPES):
        strokes = [(OTHER, start, aim, 1.3 * thick, (0.9, 0.88, 0.75))]
    for value, first, last, across_width, colour in strokes:
        mask = bar(size, (first[0], first[1]), (last[0], last[1]), across_width)
        parts[mask] = value
        paint(picture, mask, colour)
    return parts


def _training_masks(tools: list[_Tool]) -> dict[str, np.ndarray]:
    return {f"ground_truth/{tool.folder}": tool.parts for tool in tools}


def _test_masks(tools: list[_Tool], video: int) -> dict[str, np.ndarray]:
    binary, parts, types = (np.zeros_like(tools[0].parts) for _ in range(3))
    for tool in tools:
        types[tool.parts > 0] = tool.kind
        if tool.kind == len(_TYPES):
            continue
        binary[tool.parts > 0] = 255
        for value, code in _TEST_PARTS.items():
            parts[tool.parts == value] = code
    top = "gt/" if video % 2 else ""
    return {f"{top}BinarySegmentation": binary, f"{top}PartsSegmentation": parts, f"{top}TypeSegmentation": types}


def _bordered(pixels: np.ndarray, size_scale: float) -> np.ndarray:
    """With the black border of the full frame, at full size."""
    if size_scale < 1:
        return pixels
    frame = np.zeros((*BORDERED, *pixels.shape[2:]), np.uint8)
    frame[TOP : TOP + FRAME[0], LEFT : LEFT + FRAME[1]] = pixels
    return frame
