"""EndoVis 2017: robotic instruments in ten videos, as binary masks, parts and types.

Training and test masks are coded differently. In training each tool has a folder of its own, named after its type,
whose values are the parts (10 shaft, 20 wrist, 30 claspers, 40 other); a frame's mask is the union of its tools. In
the test set there is one folder for each of the three tasks, and parts are 30 shaft, 100 wrist, 255 claspers.

The challenge tests the last 75 frames of the eight training videos too: neighbours of training frames. Paper 002
trains on the training frames of videos 1 to 8 and tests on 9 and 10, which shares no video; folds keep videos
together as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import (
    Cohort,
    Crop,
    Label,
    MaskLabel,
    MaskLayer,
    Part,
    Patient,
    PresenceLabel,
    TargetKind,
)
from branchpoint.datasets.files import list_files, listed
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.shared import Files, collect, missing_parts, nothing_found

MODALITY = "left_frame"
TYPES = (
    "bipolar forceps",
    "Prograsp forceps",
    "large needle driver",
    "vessel sealer",
    "grasping retractor",
    "monopolar curved scissors",
    "other",
)
PARTS = ("shaft", "wrist", "claspers")
TARGETS: dict[str, TargetKind] = {
    "binary": "segmentation",
    "parts": "segmentation",
    "type": "segmentation",
    "types_present": "multilabel",
}
LAYOUT = (
    "instrument_{1_4,5_8}_training/instrument_dataset_X/left_frames/frameNNN.png and ground_truth/TOOL/frameNNN.png, "
    "or instrument_dataset_X/left_frames and {Binary,Parts,Type}Segmentation/frameNNN.png"
)
BORDER = Crop(top=28, left=320, height=1024, width=1280, of=(1080, 1920))
TRAINING_VIDEOS, TRAINING_FRAMES = range(1, 9), range(225)

_TYPE_WORDS = ("bipolar", "prograsp", "needledriver", "vesselsealer", "graspingretractor", "scissors", "other")
"""In the names of the tools' folders, without case and separators; ``Maryland_Bipolar_Forceps`` is bipolar too."""
_TRAIN_PARTS = (10, 20, 30, 40)
_TEST_PARTS = (30, 100, 255)
_TEST_FOLDERS = {"binarysegmentation": "binary", "partssegmentation": "parts", "typesegmentation": "type"}
_DEPTH = 6


def read(dataset: DatasetConfig) -> Cohort:
    """The frames under ``dataset.root``, of the training set, the test set, or both.

    The black border of full frames (1920 x 1080) is cut off. Tools of the type ``other`` are background for
    ``binary`` and ``parts``, as in the challenge.

    Targets: ``binary`` (1 instrument), ``parts`` (1 shaft, 2 wrist, 3 claspers), ``type`` (1 to 7, as ``TYPES``)
    and ``types_present`` (multilabel, seven).
    """
    root = Path(dataset.root)
    top = root.parent if re.fullmatch(r"instrument_dataset_\d+", root.name) else root
    listing = list_files(top, _DEPTH)
    files, problems = collect(listing, _part)
    if not files:
        problems = [nothing_found(root, LAYOUT)]
    problems += _unknown_tools(files)
    tools = _tools_of_videos(files)
    published = {part for parts in files.values() for part in parts} & set(_TEST_FOLDERS.values())
    if not published and not all(_in_training(sample) for sample in files):
        problems.append(
            problem(
                "missing-label",
                "",
                "type",
                "test frames without any masks",
                expected="BinarySegmentation, PartsSegmentation, TypeSegmentation",
            )
        )
    patients = []
    for sample in sorted(files):
        patients.append(_patient(sample, files[sample]))
        problems += _missing(sample, files[sample], tools, sorted(published))
    return Cohort(
        name="endovis2017",
        release="",
        root=root,
        modalities=(MODALITY,),
        targets=TARGETS,
        patients=tuple(patients),
        problems=tuple(problems),
        dimensions=2,
        channels={MODALITY: 3},
        crop=BORDER,
        class_names={"binary": ("instrument",), "parts": PARTS, "type": TYPES, "types_present": TYPES},
        splits={
            "official": {sample: "train" if _in_training(sample) else "test" for sample in files},
            "paper": {sample: part for sample in files if (part := _paper_part(sample))},
        },
    )


def _video(sample: str) -> int:
    return int(sample.split("_")[1])


def _in_training(sample: str) -> bool:
    return _video(sample) in TRAINING_VIDEOS and int(sample[-3:]) in TRAINING_FRAMES


def _paper_part(sample: str) -> Part | None:
    return "train" if _in_training(sample) else "test" if _video(sample) not in TRAINING_VIDEOS else None


def _part(path: Path) -> tuple[str, str] | None:
    """Frame and part: the picture, a test mask (``binary``), or a training mask (``tool:Vessel_Sealer_labels``)."""
    frame = re.fullmatch(r"frame(\d{3})\.png", path.name, re.IGNORECASE)
    folders = (re.fullmatch(r"instrument_dataset_(\d+)", folder.name, re.IGNORECASE) for folder in path.parents)
    video = next((match for match in folders if match), None)
    if frame is None or video is None:
        return None
    sample, folder = f"video_{int(video[1]):02d}_frame{frame[1]}", path.parent.name
    if folder.lower() == "left_frames":
        return sample, MODALITY
    if folder.lower() in _TEST_FOLDERS:
        return sample, _TEST_FOLDERS[folder.lower()]
    return (sample, f"tool:{folder}") if path.parent.parent.name.lower() == "ground_truth" else None


def _type_of(tool: str) -> int:
    """Class of a tool's folder, 1 to 7; 0 where its name says nothing."""
    name = re.sub(r"[^a-z]", "", tool.lower().removeprefix("tool:"))
    return next((number for number, word in enumerate(_TYPE_WORDS, start=1) if word in name), 0)


def _tools(files: Mapping[str, Path]) -> dict[str, Path]:
    return {part: path for part, path in sorted(files.items()) if part.startswith("tool:") and _type_of(part)}


def _patient(sample: str, files: Mapping[str, Path]) -> Patient:
    images = {MODALITY: files[MODALITY]} if MODALITY in files else {}
    return Patient(id=sample, images=images, labels=_labels(files), group=f"video_{_video(sample):02d}")


def _labels(files: Mapping[str, Path]) -> dict[str, Label]:
    labels: dict[str, Label] = {}
    tools = _tools(files)
    if tools:
        labels = {
            name: MaskLabel.of(
                *(_layer(path, _type_of(tool), name) for tool, path in tools.items()), content="optional"
            )
            for name in ("binary", "parts", "type")
        }
    if "binary" in files:
        labels["binary"] = MaskLabel.of(MaskLayer(files["binary"], ((1, 1), (255, 1))), content="optional")
    if "parts" in files:
        labels["parts"] = MaskLabel(files["parts"], _TEST_PARTS, content="optional")
    if "type" in files:
        labels["type"] = MaskLabel(files["type"], tuple(range(1, len(TYPES) + 1)), content="optional")
    if "type" in labels:
        labels["types_present"] = PresenceLabel("type", len(TYPES))
    return labels


def _layer(path: Path, kind: int, target: str) -> MaskLayer:
    """One tool's training mask as a layer of a target."""
    is_other = kind == len(TYPES)
    if target == "type":
        return MaskLayer(path, tuple((value, kind) for value in _TRAIN_PARTS))
    if is_other:
        return MaskLayer(path, (), (0, *_TRAIN_PARTS))
    if target == "parts":
        return MaskLayer(path, ((10, 1), (20, 2), (30, 3)), (0, 40))
    return MaskLayer(path, tuple((value, 1) for value in _TRAIN_PARTS))


def _tools_of_videos(files: Files) -> dict[int, set[str]]:
    """Video to the tools' folders it has: a frame that lacks one of them would miss a tool."""
    tools: dict[int, set[str]] = {}
    for sample, parts in files.items():
        tools.setdefault(_video(sample), set()).update(_tools(parts))
    return tools


def _missing(
    sample: str, files: Mapping[str, Path], tools: Mapping[int, set[str]], published: Sequence[str]
) -> list[Problem]:
    """Rows of a frame's missing files; test frames lack what others have, for test masks may not be at hand at all."""
    video, frame = f"instrument_dataset_{_video(sample)}", f"frame{sample[-3:]}.png"
    expected = {MODALITY: f"{video}/left_frames/{frame}"}
    if _in_training(sample):
        expected |= {
            tool: f"{video}/ground_truth/{tool.removeprefix('tool:')}/{frame}" for tool in tools[_video(sample)]
        }
        expected |= {} if tools[_video(sample)] else {"type": f"{video}/ground_truth/TOOL/{frame}"}
    else:
        expected |= {name: f"{video}/{name.capitalize()}Segmentation/{frame}" for name in published}
    return missing_parts(sample, files, dict(sorted(expected.items())))


def _unknown_tools(files: Files) -> list[Problem]:
    unknown = {
        part.removeprefix("tool:")
        for parts in files.values()
        for part in parts
        if part.startswith("tool:") and not _type_of(part)
    }
    known = listed(TYPES, len(TYPES))
    return [
        problem("wrong-folder", "", "type", f"ground_truth/{tool}", expected=f"a folder named after {known}")
        for tool in sorted(unknown)
    ]
