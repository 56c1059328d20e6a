"""What a picture's file holds beside the 8 bits that are read, and when a turned picture's mask is no riddle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from branchpoint.datasets.checks.picture_cohort import check_pictures
from tests.datasets.checks.test_places_and_pictures import RAMP, READER, picture_rules, save
from tests.datasets.picture_builder import disc, one_picture, picture
from tests.datasets.picture_builder import write as write_picture


def coloured_16_bits(path: Path, scale: int) -> Path:
    planes = np.stack([(RAMP * scale).astype(np.uint16)] * 3, axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(planes, isVector=True), str(path))
    return path


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_colours_of_16_bits(tmp_path: Path, ending: str) -> None:
    assert picture_rules(coloured_16_bits(tmp_path / f"a.{ending}", 65535)) == []
    assert picture_rules(coloured_16_bits(tmp_path / f"b.{ending}", 4095)) == ["narrow-range"]


def test_dark_pictures_of_16_bits(tmp_path: Path) -> None:
    fourteen = (RAMP * 16383).astype(np.uint16)
    assert picture_rules(save(fourteen, tmp_path / "a.tif")) == ["narrow-range"]
    spots = (RAMP * 4095).astype(np.uint16)
    spots[0, :5] = 65535
    assert picture_rules(save(spots, tmp_path / "b.tif")) == ["narrow-range"]


def test_white_stored_as_zero(tmp_path: Path) -> None:
    deep, plain = (RAMP * 65535).astype(np.uint16), (RAMP * 255).astype(np.uint8)
    assert picture_rules(save(deep, tmp_path / "a.tif", tiffinfo={262: 0})) == ["pixel-type"]
    path = save(plain, tmp_path / "b.tif", tiffinfo={262: 0})
    assert picture_rules(path) == []


def test_levels_of_every_colour_count(tmp_path: Path) -> None:
    blue = picture(0)
    blue[..., :2] = 0
    assert picture_rules(save(blue, tmp_path / "a.png")) == []
    blue[..., 2] = 9
    assert picture_rules(save(blue, tmp_path / "b.png")) == ["constant-image"]


def test_transparency_of_images_and_of_masks_with_a_palette(tmp_path: Path) -> None:
    seen = np.concatenate([picture(0), disc(0)[..., None]], axis=-1)
    assert picture_rules(save(seen, tmp_path / "a.png")) == ["transparent-image"]
    seen[..., 3] = 255
    assert picture_rules(save(seen, tmp_path / "b.png")) == []
    mask = Image.fromarray(disc(0) // 255, mode="P")
    mask.putpalette([0, 0, 0, 0, 0, 0])
    mask.save(tmp_path / "c.png", transparency=0)
    assert picture_rules(tmp_path / "c.png", "mask", (0, 255)) == ["not-a-mask"]


@pytest.mark.parametrize(("size", "rule"), [((40, 56), None), ((56, 40), "turned-image")])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_of_the_upright_size_was_drawn_upright(
    tmp_path: Path, orientation: int, size: tuple[int, int], rule: str | None
) -> None:
    """The picture is stored lying, 56 x 40, and shown upright, 40 x 56."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(picture(0, (56, 40)), tmp_path / "a.jpg", exif=exif)
    cohort = one_picture(tmp_path, tmp_path / "a.jpg", write_picture(tmp_path / "m.png", disc(0, size)))
    assert [row.rule for row in check_pictures(cohort, READER, workers=1)] == ([rule] if rule else [])
