"""Test-time augmentation: axes along which a network is asked again, because it learned that they may be turned."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from branchpoint.config import AugmentationConfig

LEFT_RIGHT = -1
UP_DOWN = -2


def mirrored_copies(augmentation: AugmentationConfig | None, labels: Iterable[str]) -> list[tuple[int, ...]]:
    """Axes of each copy of the image that is predicted beside the image itself: all combinations of turned axes.

    Args:
        augmentation: of the training; only what it turned may be turned.
        labels: names of classes; where one names a side, left and right stay as they are.

    Raises:
        ValueError: nothing may be turned.

    >>> mirrored_copies(AugmentationConfig(mirror=True, flip=True), ["tumour"])
    [(-1,), (-2,), (-1, -2)]
    """
    mirror, flip = (augmentation.mirror, augmentation.flip) if augmentation else (False, False)
    sides = [label for label in labels if {"left", "right"} & set(label.lower().replace("_", " ").split())]
    axes = [LEFT_RIGHT] if mirror and not sides else []
    axes += [UP_DOWN] if flip else []
    if not axes:
        named = f" and {sides[0]!r} names a side" if mirror else ""
        raise ValueError(
            f"--tta mirrors along axes that training mirrored too: mirror is {mirror}, flip is {flip}{named}; "
            "predict without it"
        )
    return [chosen for count in range(1, len(axes) + 1) for chosen in combinations(axes, count)]
