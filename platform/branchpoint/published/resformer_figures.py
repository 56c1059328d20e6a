"""The figures that Bui et al. 2024 report, in per cent: (JI, DSC, Acc, Sen, Spe), one such five for each vendor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

TITLES = ("JI", "DSC", "Acc", "Sen", "Spe")
Values = tuple[float | None, ...]
Learned = Literal["classification only", "segmentation only", "both"]

_VENDORS = ("Cirrus", "Spectralis", "Topcon")
_NONE = (None, None)

_EFFECT: Mapping[tuple[str, str], Values] = {
    ("sequential", "classification only"): (
        *_NONE,
        98.1,
        97.1,
        98.6,
        *_NONE,
        97.3,
        95.8,
        98.1,
        *_NONE,
        97.8,
        96.3,
        98.5,
    ),
    ("sequential", "segmentation only"): (
        73.0,
        82.5,
        None,
        None,
        None,
        69.6,
        79.4,
        None,
        None,
        None,
        64.3,
        75.5,
        None,
        None,
        None,
    ),
    ("sequential", "both"): (73.4, 83.0, 98.9, 98.1, 99.2, 70.4, 80.3, 97.8, 96.8, 98.3, 64.9, 76.3, 98.0, 96.9, 98.5),
    ("parallel", "classification only"): (*_NONE, 98.6, 98.1, 98.7, *_NONE, 97.3, 95.8, 98.0, *_NONE, 97.8, 95.6, 98.4),
    ("parallel", "segmentation only"): (
        73.3,
        83.0,
        None,
        None,
        None,
        70.6,
        80.0,
        None,
        None,
        None,
        64.8,
        76.2,
        None,
        None,
        None,
    ),
    ("parallel", "both"): (73.9, 83.4, 99.0, 98.3, 99.3, 71.6, 81.4, 97.7, 96.0, 98.6, 65.7, 76.9, 97.9, 96.9, 98.3),
}
"""Table 8; the rows that learn both tasks are those of tables 2, 3, 5 and 6 too."""

_ISIC = {"sequential": (78.6, 86.6, 84.6, 75.7, 89.1), "parallel": (78.4, 86.5, 83.6, 74.3, 88.3)}
"""Table 4 and 7."""

_ENHANCEMENT = {
    ("sequential", False): (72.9, 82.7, 69.9, 79.6, 64.6, 76.1),
    ("sequential", True): (73.4, 83.0, 70.4, 80.3, 64.9, 76.3),
    ("parallel", False): (73.2, 82.9, 70.9, 80.4, 65.1, 76.4),
    ("parallel", True): (73.9, 83.4, 71.6, 81.4, 65.7, 76.9),
}
"""Table 9: JI and DSC for each vendor."""

_MULTI_TASK: Mapping[tuple[str, str], Values] = {
    ("retouch", "He et al."): (
        69.1,
        80.0,
        98.4,
        97.3,
        98.9,
        66.4,
        77.5,
        97.0,
        95.4,
        97.8,
        61.2,
        73.3,
        97.8,
        96.5,
        98.3,
    ),
    ("retouch", "Gende et al."): (
        69.8,
        80.6,
        98.7,
        98.0,
        99.0,
        67.1,
        78.1,
        97.7,
        96.1,
        98.5,
        60.5,
        73.3,
        97.4,
        95.8,
        98.1,
    ),
    ("retouch", "Hervella et al."): (
        68.0,
        78.9,
        96.9,
        95.2,
        97.6,
        67.4,
        78.0,
        94.3,
        91.0,
        96.0,
        60.0,
        72.6,
        95.4,
        93.3,
        96.3,
    ),
    ("retouch", "Tang et al."): (
        69.1,
        79.6,
        97.7,
        96.2,
        98.3,
        67.9,
        78.0,
        97.3,
        95.0,
        98.4,
        62.5,
        74.3,
        97.6,
        96.1,
        98.2,
    ),
    ("isic2017", "He et al."): (75.0, 84.1, 83.2, 71.4, 87.8),
    ("isic2017", "Gende et al."): (75.5, 84.4, 83.0, 66.5, 87.0),
    ("isic2017", "Hervella et al."): (70.6, 80.3, 79.3, 59.3, 89.3),
    ("isic2017", "Tang et al."): (73.7, 82.4, 83.1, 74.0, 87.7),
}
"""Tables 2, 3 and 4."""


def _classes(*values: float) -> Values:
    return tuple(v for i in range(0, len(values), 3) for v in (None, None, *values[i : i + 3]))


def _masks(*values: float) -> Values:
    return tuple(v for i in range(0, len(values), 2) for v in (*values[i : i + 2], None, None, None))


CLASSIFIERS_RETOUCH: Mapping[str, Values] = {
    "InceptionV3": _classes(97.6, 96.3, 98.1, 97.4, 96.4, 97.9, 97.7, 95.7, 98.5),
    "EfficientNet": _classes(98.5, 97.6, 98.8, 97.1, 95.6, 97.9, 97.7, 96.0, 98.4),
    "SwinT": _classes(98.4, 97.6, 98.8, 97.7, 96.2, 98.5, 96.8, 94.6, 97.7),
    "OCTNet": _classes(97.9, 96.6, 98.4, 96.8, 95.8, 97.3, 97.9, 96.1, 98.7),
    "MSL-SRN": _classes(98.0, 96.5, 98.6, 97.2, 96.1, 97.8, 98.0, 96.6, 95.5),
}
"""Table 5."""
SEGMENTERS_RETOUCH: Mapping[str, Values] = {
    "UNet++": _masks(70.8, 80.6, 69.0, 78.7, 63.6, 75.2),
    "DeepLabV3+": _masks(71.5, 81.2, 67.7, 77.7, 63.0, 74.7),
    "Swin-Unet": _masks(65.5, 76.2, 67.1, 77.3, 55.8, 68.5),
    "TransUNet": _masks(71.8, 81.6, 67.5, 77.4, 63.8, 75.3),
    "MsTGANet": _masks(70.8, 80.8, 69.3, 79.4, 63.9, 75.5),
    "RetiFluidNet": _masks(71.9, 81.6, 69.5, 79.3, 63.1, 74.6),
    "HiFormer": _masks(67.5, 77.5, 65.0, 75.0, 59.3, 71.1),
    "HTC-Net": _masks(68.5, 79.0, 68.5, 78.7, 60.4, 72.8),
}
"""Table 6."""
SINGLE_TASK_ISIC: Mapping[str, Values] = {
    "InceptionV3": _classes(83.4, 73.2, 88.5),
    "EfficientNet": _classes(82.1, 69.7, 88.3),
    "ViT": _classes(78.9, 62.0, 87.3),
    "SwinT": _classes(83.0, 73.3, 87.8),
    "UNet++": _masks(76.5, 84.9),
    "DeepLabV3+": _masks(76.1, 84.6),
    "Swin-Unet": _masks(70.7, 80.3),
    "TransUNet": _masks(76.6, 85.0),
    "autoSMIM": _masks(77.9, 85.7),
    "EIU-Net": _masks(77.1, 85.5),
    "HiFormer": _masks(76.6, 84.8),
    "HTC-Net": _masks(77.2, 85.4),
}
"""Table 7."""

LIBRARY: Mapping[str, tuple[str, int, Learned]] = {
    "InceptionV3": ("inception_v3", 5, "classification only"),
    "EfficientNet": ("efficientnet_b0", 5, "classification only"),
    "ViT": ("vit_b_16", 4, "classification only"),
    "SwinT": ("swin_t", 4, "classification only"),
    "UNet++": ("smp_unet_plus_plus", 1, "segmentation only"),
    "DeepLabV3+": ("smp_deeplab_v3_plus", 1, "segmentation only"),
}
"""Methods of the tables that the registry holds: encoder, depth and task."""


def named(values: Sequence[float | None]) -> dict[str, float]:
    """Title to value from 0 to 1, of what there is."""
    return {title: value / 100 for title, value in zip(TITLES, values, strict=True) if value is not None}


def _of_vendor(values: Values, vendor: str, width: int = 5) -> Values:
    start = width * _VENDORS.index(vendor)
    return values[start : start + width]


def effect_of_tasks(design: str, learned: str, vendor: str) -> dict[str, float]:
    """A row of table 8; of ISIC 2017 (no ``vendor``) table 4, which has both tasks alone."""
    if vendor:
        return named(_of_vendor(_EFFECT[design, learned], vendor))
    return named(_ISIC[design]) if learned == "both" else {}


def effect_of_enhancement(design: str, enhanced: bool, vendor: str) -> dict[str, float]:
    """A row of table 9; what it leaves out of the full network is in table 8."""
    full = effect_of_tasks(design, "both", vendor) if enhanced else {}
    values = _of_vendor(_ENHANCEMENT[design, enhanced], vendor, 2) if vendor else ()
    return full | {title: value / 100 for title, value in zip(TITLES, values, strict=False) if value is not None}


def multi_task(dataset: str, method: str, vendor: str) -> dict[str, float]:
    """A row of table 4, or of tables 2 and 3."""
    values = _MULTI_TASK[dataset, method]
    return named(_of_vendor(values, vendor) if vendor else values)
