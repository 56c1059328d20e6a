"""Pictures through Pillow and slices of volumes through SimpleITK: colours, and the class ids that masks stand for.

Masks come in every mode a drawing program knows. What counts as the stored value of a pixel: 0 or 255 in two-level
files; the grey level; the grey level of a palette of greys, else the palette's index; the channel of RGB and RGBA files
whose channels are equal. Alpha is not looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.datasets.cohort import MaskLabel
from branchpoint.datasets.files import listed, printable, unreadable_reason
from branchpoint.datasets.preparation.volume_files import read_image

VOLUMES = (".mhd", ".mha", ".nii", ".nii.gz", ".nrrd")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

_EXIF_ORIENTATION = 0x0112
_TRANSPARENT = "parts of it are transparent; put the mask into the colours and save it without alpha"

Picture = Any
"""A PIL.Image.Image: the library is imported by the functions that need it."""


def is_volume(path: Path) -> bool:
    """Whether the file's name says that it holds a volume."""
    return path.name.lower().endswith(VOLUMES)


def is_picture(path: Path) -> bool:
    """Whether the file's name says that it holds a picture."""
    return path.suffix.lower() in PICTURES


def open_picture(path: Path) -> Picture:
    """The decoded picture, upright as its EXIF orientation says.

    Raises:
        ValueError: the file is absent, cut off, or no picture; the message names it.
    """
    from PIL import Image, ImageOps

    if reason := unreadable_reason(path):
        raise ValueError(f"{printable(str(path))}: {reason}; restore it or leave the sample out")
    try:
        with Image.open(path) as picture:
            pages = getattr(picture, "n_frames", 1)
            if pages > 1:
                raise ValueError(f"it holds {pages} pages, of which only one would be read; save each as its own file")
            picture.load()
            return ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as problem:
        raise ValueError(f"{path}: Pillow cannot read it: {problem}") from problem


def orientation_of(path: Path) -> int:
    """EXIF orientation of a picture's file, from 1 (stored upright, as where nothing is said) to 8."""
    from PIL import Image

    if is_volume(path):
        return 1
    try:
        with Image.open(path) as picture:
            stored = picture.getexif().get(_EXIF_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, struct.error):
        return 1
    return stored if stored in range(1, 9) else 1


def read_picture(path: Path, channels: int, slice_number: int | None = None) -> np.ndarray:
    """uint8 or uint16 (H, W, channels); colours become grey by their luma, grey becomes colour by repetition.

    Raises:
        ValueError: the file cannot be read, or is neither of 8 nor of 16 bits.
    """
    if is_volume(path):
        pixels = read_slice(path, slice_number)
    else:
        picture = open_picture(path)
        deep = picture.mode.startswith(("I", "F"))  # kept as they are: converting would clip them to 8 bits
        pixels = np.asarray(picture if deep else picture.convert("L" if channels == 1 else "RGB"))
    if pixels.dtype == np.int32 and pixels.min() >= 0 and pixels.max() < 1 << 16:  # Pillow's mode for some 16-bit files
        pixels = pixels.astype(np.uint16)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path}: pixels are {pixels.dtype}; export 8 or 16 bits without sign")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None].repeat(channels, axis=2)
    return pixels


def read_slice(path: Path, slice_number: int | None) -> np.ndarray:
    """(H, W) in the stored type: one slice of a volume, along its last axis.

    Raises:
        ValueError: there is no such slice, or SimpleITK cannot read the file.
    """
    import SimpleITK as sitk

    if slice_number is None:
        raise ValueError(f"{path}: a volume, but the sample does not say which slice it is")
    if not path.is_file():
        raise ValueError(f"{path}: no such file; restore it or leave the sample out")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        if len(size) != 3 or not 0 <= slice_number < size[2]:
            raise ValueError(f"{path}: no slice {slice_number} in a volume of {' x '.join(map(str, size))}")
        reader.SetExtractIndex((0, 0, slice_number))
        reader.SetExtractSize((size[0], size[1], 0))
        return sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as problem:
        raise ValueError(f"{path}: SimpleITK cannot read it: {str(problem).strip().splitlines()[-1]}") from problem


def read_volume(path: Path) -> np.ndarray:
    """(slices, H, W) in the stored type; ValueError where it cannot be read."""
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(read_image(path))


def read_values(path: Path, slice_number: int | None = None) -> np.ndarray:
    """(H, W) integers: the stored values of a mask.

    Raises:
        ValueError: the file cannot be read, or holds colours and no values.
    """
    if is_volume(path):
        return read_slice(path, slice_number)
    return stored_values(open_picture(path), path)


def stored_values(picture: Picture, path: Path) -> np.ndarray:
    """(H, W) integers of an opened mask; ValueError where it holds colours."""
    if picture.mode == "1":
        return np.asarray(picture).astype(np.uint8) * np.uint8(255)
    if picture.mode == "P":
        if "transparency" in picture.info and _is_transparent(picture):
            raise ValueError(f"{path}: {_TRANSPARENT}")
        return np.asarray(picture.convert("L") if _is_grey(picture.getpalette("RGB")) else picture)
    pixels = np.asarray(picture)
    if picture.mode in ("LA", "RGBA") and (pixels[..., -1] != pixels[0, 0, -1]).any():
        raise ValueError(f"{path}: {_TRANSPARENT}")
    if picture.mode in ("RGB", "RGBA"):
        colours = pixels[..., :3]
        if (colours != colours[..., :1]).any():
            count = len(np.unique(colours.reshape(-1, 3), axis=0))
            raise ValueError(f"{path}: {count} colours, where a mask has one value for each pixel")
    elif picture.mode not in ("L", "LA", "I", "I;16", "I;16B"):
        raise ValueError(f"{path}: a picture of mode {picture.mode}; export the mask as 8-bit grey PNG")
    return pixels if pixels.ndim == 2 else pixels[..., 0]


def _is_transparent(picture: Picture) -> bool:
    low, high = picture.convert("RGBA").getchannel("A").getextrema()
    return bool(low != high)


def _is_grey(palette: Iterable[int] | None) -> bool:
    colours = np.array(list(palette or ())).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def read_classes(label: MaskLabel, slice_number: int | None = None) -> np.ndarray:
    """uint8 (H, W): the class ids of all files of a mask, laid over each other.

    Raises:
        ValueError: a file cannot be read, differs in size from the first, or holds a value without a class.
    """
    classes: np.ndarray | None = None
    for layer in label.files:
        values = read_values(layer.path, slice_number)
        if classes is None:
            classes = np.zeros(values.shape, np.uint8)
        if values.shape != classes.shape:
            raise ValueError(f"{layer.path} has {size_text(values)}, {label.path.name} {size_text(classes)}")
        known = np.isin(values, layer.through)
        for value, number in layer.codes:
            place = values == value
            classes[place] = number
            known |= place
        if not known.all():
            unknown = listed(str(value) for value in np.unique(values[~known]))
            raise ValueError(f"{layer.path}: no class has the values {unknown}")
    assert classes is not None
    return classes


def size_text(pixels: np.ndarray) -> str:
    """``767 x 576 pixels``: width and height of (H, W, ...)."""
    return f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
