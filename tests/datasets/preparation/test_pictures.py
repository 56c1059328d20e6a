"""Files of pictures and masks in every mode, and masks of several files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from branchpoint.datasets.cohort import IGNORED, MaskLabel, MaskLayer
from branchpoint.datasets.preparation.image_files import read_classes, read_picture, read_slice, read_values
from branchpoint.phantoms.retouch import write_metaimage
from tests.datasets.picture_builder import disc, picture, write

CLASSES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


def palette_file(path: Path, colours: list[int]) -> Path:
    image = Image.fromarray(CLASSES, "P")
    image.putpalette(colours)
    image.save(path)
    return path


def test_values_of_masks_in_every_mode(tmp_path: Path) -> None:
    two_level = write(tmp_path / "two.bmp", CLASSES * 200, "1")
    assert set(np.unique(read_values(two_level)).tolist()) <= {0, 255}
    for mode in ("L", "RGB", "RGBA", "LA"):
        assert (read_values(write(tmp_path / f"{mode}.png", CLASSES, mode)) == CLASSES).all()
    deep = write(tmp_path / "deep.png", CLASSES.astype(np.uint16) * 300)
    assert (read_values(deep) == CLASSES.astype(int) * 300).all()


def test_grey_palettes_give_levels_and_coloured_ones_their_index(tmp_path: Path) -> None:
    grey = palette_file(tmp_path / "grey.png", [0, 0, 0, 255, 255, 255, 128, 128, 128])
    assert (read_values(grey) == np.array([0, 255, 128])[CLASSES]).all()
    coloured = palette_file(tmp_path / "coloured.png", [0, 0, 0, 128, 0, 0, 0, 128, 0])
    assert (read_values(coloured) == CLASSES).all()


def test_colours_are_no_mask(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"photo\.png.*colours"):
        read_values(write(tmp_path / "photo.png", picture(0)))


def test_pictures_in_grey_and_colour(tmp_path: Path) -> None:
    grey = write(tmp_path / "grey.png", picture(1, channels=1))
    assert (read_picture(grey, 3) == picture(1, channels=1)[..., None]).all()
    colour = write(tmp_path / "colour.png", picture(2))
    assert (read_picture(colour, 3) == picture(2)).all()
    luma = picture(2) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_picture(colour, 1)[..., 0] - luma).max() <= 1
    deep = picture(3, channels=1).astype(np.uint16) * 256
    assert (read_picture(write(tmp_path / "deep.png", deep), 1)[..., 0] == deep).all()


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows run from right to left
    Image.fromarray(picture(4)).save(tmp_path / "turned.png", exif=exif)
    assert (read_picture(tmp_path / "turned.png", 3) == np.rot90(picture(4), -1)).all()


@pytest.mark.parametrize("damage", ["cut", "text", "absent"])
def test_broken_files_are_named(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "broken.png", picture(5))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"no picture")
    if damage == "absent":
        path.unlink()
    with pytest.raises(ValueError, match=r"broken\.png"):
        read_picture(path, 3)


def test_one_slice_of_a_volume(tmp_path: Path) -> None:
    voxels = np.random.default_rng(6).integers(0, 60_000, (5, 12, 9)).astype(np.uint16)
    write_metaimage(tmp_path / "oct.mhd", voxels, (0.01, 0.004, 0.1))
    assert (read_slice(tmp_path / "oct.mhd", 3) == voxels[3]).all()
    assert (read_picture(tmp_path / "oct.mhd", 1, 0)[..., 0] == voxels[0]).all()
    with pytest.raises(ValueError, match="no slice 5"):
        read_slice(tmp_path / "oct.mhd", 5)
    (tmp_path / "oct.raw").unlink()
    with pytest.raises(ValueError, match=r"oct\.mhd"):
        read_slice(tmp_path / "oct.mhd", 0)


def test_layers_lie_over_each_other(tmp_path: Path) -> None:
    low, high = np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint8)
    low[0], high[:, 1], high[1, 2] = 10, 30, 40
    files = [write(tmp_path / name, pixels) for name, pixels in (("low.png", low), ("high.png", high))]
    label = MaskLabel.of(MaskLayer(files[0], ((10, 1),)), MaskLayer(files[1], ((30, 3),), (0, 40)))
    assert read_classes(label).tolist() == [[1, 3, 1, 1], [0, 3, 0, 0]]


def test_values_become_classes_and_others_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mask.png", np.array([[0, 7, 9, 255]], np.uint8))
    assert read_classes(MaskLabel(path, (7, 9, 255))).tolist() == [[0, 1, 2, 3]]
    ignoring = MaskLabel.of(MaskLayer(path, ((0, 0), (7, 1), (9, 1), (255, IGNORED)), ()))
    assert read_classes(ignoring).tolist() == [[0, 1, 1, IGNORED]]
    with pytest.raises(ValueError, match=r"mask\.png.*the values 9, 255"):
        read_classes(MaskLabel(path, (7,)))


def test_layers_of_another_size_are_refused(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.png", disc(0)), write(tmp_path / "b.png", disc(0, (30, 30)))
    label = MaskLabel.of(MaskLayer(first, ((255, 1),)), MaskLayer(second, ((255, 1),)))
    with pytest.raises(ValueError, match=r"b\.png has 30 x 30 pixels, a\.png 56 x 40"):
        read_classes(label)
