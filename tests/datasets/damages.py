"""One fault for each rule of the check, put into a valid release: what is done, and the rows it must give."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from nibabel.nifti1 import Nifti1Header

from tests.datasets.release_builder import IDS, STS_IDS, Release

PID = IDS[1]
"""The damaged patient, who has no event, so that events still suffice without it."""


@dataclass(frozen=True)
class Damage:
    """A fault: ``rows`` are (rule, patient, task) in the check's order; ``found`` stands in the first row."""

    name: str
    do: Callable[[Release], None]
    rows: tuple[tuple[str, str, str], ...]
    found: str = ""
    release: str = "2021"


def one(
    name: str,
    do: Callable[[Release], None],
    rule: str,
    task: str,
    found: str = "",
    release: str = "2021",
    patient: str = PID,
) -> Damage:
    """A fault that gives one row."""
    return Damage(name, do, ((rule, patient, task),), found, release)


def rewrite_bytes(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def header(part: str, change: Callable[[Nifti1Header], None]) -> Callable[[Release], None]:
    """Change the raw NIfTI header of the damaged patient's file."""

    def do(release: Release) -> None:
        path = release.path(PID, part)
        data = gzip.decompress(path.read_bytes())
        fields = Nifti1Header(data[:348], check=False)
        change(fields)
        path.write_bytes(gzip.compress(fields.binaryblock + data[348:], 1))

    return do


def voxels(part: str, change: Callable[[np.ndarray], np.ndarray], patient: str = PID) -> Callable[[Release], None]:
    return lambda release: release.change_voxels(patient, part, change)


def image(part: str, change: Callable[[sitk.Image], sitk.Image], patient: str = PID) -> Callable[[Release], None]:
    return lambda release: release.change(patient, part, change)


def cell(table: str, column: str, text: object, patient: str = PID) -> Callable[[Release], None]:
    return lambda release: release.cell(table, patient, column, text)


def both(*steps: Callable[[Release], None]) -> Callable[[Release], None]:
    def do(release: Release) -> None:
        for step in steps:
            step(release)

    return do


def _set(name: str, position: int | None, value: float) -> Callable[[Nifti1Header], None]:
    def change(fields: Nifti1Header) -> None:
        if position is None:
            fields[name] = value
        else:
            fields[name][position] = value

    return change


def _voxel(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[1, 1, 1] = value
        return array

    return change


def _sform_of_other_spacing(fields: Nifti1Header) -> None:
    fields["sform_code"] = 1
    for axis, row in enumerate(("srow_x", "srow_y", "srow_z")):
        fields[row][axis] *= 1.02


def _sform_elsewhere(fields: Nifti1Header) -> None:
    fields["qform_code"] = 1
    fields["srow_x"][3] += 5.0


def _moved(shift_mm: tuple[float, float, float]) -> Callable[[sitk.Image], sitk.Image]:
    def change(picture: sitk.Image) -> sitk.Image:
        picture.SetOrigin([a + b for a, b in zip(picture.GetOrigin(), shift_mm, strict=True)])
        return picture

    return change


def _tilted(picture: sitk.Image) -> sitk.Image:
    cos, sin = float(np.cos(0.1)), float(np.sin(0.1))
    picture.SetDirection((cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0, 1.0))
    return picture


def _without_air(array: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(-150, -50, array.shape)
    return np.where(array < -500, noise, array).astype(np.int16)


def _delete(*parts: str) -> Callable[[Release], None]:
    def do(release: Release) -> None:
        for part in parts:
            release.path(PID, part).unlink()

    return do


def _copy(source: str, *parts: str) -> Callable[[Release], None]:
    def do(release: Release) -> None:
        for part in parts:
            release.path(PID, part).write_bytes(release.path(source, part).read_bytes())

    return do


def _exchange(first: tuple[str, str], second: tuple[str, str]) -> Callable[[Release], None]:
    def do(release: Release) -> None:
        one, other = release.path(*first), release.path(*second)
        kept = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(kept)

    return do


def _somewhere_else(patient: str) -> Callable[[Release], None]:
    """All of a patient's files, as if another scanner had made them: no fault by itself."""

    def do(release: Release) -> None:
        for part in ("CT", "PET", "tumour"):
            release.change(patient, part, _moved((300.0, 0.0, 0.0)))

    return do


def _bytes(part: str, change: Callable[[bytes], bytes]) -> Callable[[Release], None]:
    return lambda release: rewrite_bytes(release.path(PID, part), change)


def _other_checksum(data: bytes) -> bytes:
    return data[:-6] + bytes([data[-6] ^ 0xFF]) + data[-5:]


FILES = (
    one("cut file", _bytes("CT", lambda data: data[: len(data) * 2 // 3]), "truncated-file", "CT", "ends inside"),
    one(
        "cut before compression",
        _bytes("PET", lambda data: gzip.compress(gzip.decompress(data)[:-500])),
        "truncated-file",
        "PET",
        "bytes",
    ),
    one("empty file", _bytes("tumour", lambda data: b""), "truncated-file", "tumour", "empty file"),
    one(
        "text for a volume", _bytes("CT", lambda data: b"<html>moved</html>" * 40), "unreadable-file", "CT", "no NIfTI"
    ),
    one("flipped bit", _bytes("CT", _other_checksum), "unreadable-file", "CT", "CRC"),
    one("no slices", header("PET", _set("dim", 3, 0)), "unreadable-file", "PET", "sizes [16, 16, 0]"),
    one("zero spacing", header("CT", _set("pixdim", 3, 0.0)), "bad-spacing", "CT", "6 x 6 x 0 mm"),
    one("spacing not a number", header("CT", _set("pixdim", 1, np.nan)), "bad-spacing", "CT", "nan"),
    one("spacing in metres", header("PET", _set("pixdim", 1, 0.009)), "bad-spacing", "PET", "0.009"),
    one("absurd spacing", header("PET", _set("pixdim", 3, 800.0)), "bad-spacing", "PET", "800"),
    one("origin not a number", header("PET", _set("srow_x", 3, np.nan)), "bad-spacing", "PET", "NaN"),
    one(
        "sform of another spacing",
        header("PET", _sform_of_other_spacing),
        "header-conflict",
        "PET",
        "9.18 x 9.18 x 8.16",
    ),
    one("sform elsewhere", header("PET", _sform_elsewhere), "header-conflict", "PET", "5.0 mm apart"),
    one("oblique axes", image("PET", _tilted), "oblique-direction", "PET", "0.995"),
    one("two volumes", image("PET", lambda p: sitk.JoinSeries([p, p])), "wrong-dimensions", "PET", "4 dimensions"),
    one("two channels", image("PET", lambda p: sitk.Compose(p, p)), "wrong-dimensions", "PET", "2 channels"),
    one("NaN", voxels("PET", _voxel(np.nan)), "non-finite-voxels", "PET", "1 of 3840"),
    one("infinity", voxels("PET", _voxel(np.inf)), "non-finite-voxels", "PET", "1 of 3840"),
    one("CT scaled to one", voxels("CT", lambda v: (v / 1000).astype(np.float32)), "ct-not-hu", "CT", "normalised"),
    one("CT before rescaling", voxels("CT", lambda v: v + 1024), "ct-not-hu", "CT", "RescaleIntercept"),
    one("CT window", voxels("CT", lambda v: v.clip(-160, 240)), "ct-not-hu", "CT", "clipped at -160"),
    one("CT rescaled twice", voxels("CT", lambda v: v - 1024), "ct-not-hu", "CT", "shifted"),
    one("CT without air", voxels("CT", _without_air), "ct-not-hu", "CT", "none near -1000"),
    one(
        "CT overflow",
        voxels("CT", lambda v: np.where(v > 500, 64_000, v.astype(np.int32))),
        "ct-not-hu",
        "CT",
        "overflow",
    ),
    one("CT of one value", voxels("CT", lambda v: v * 0 - 1000), "ct-not-hu", "CT", "every voxel is the same"),
    one("PET in Bq/ml", voxels("PET", lambda v: v * 5000), "pet-not-suv", "PET", "Bq/ml"),
    one("PET scaled to one", voxels("PET", lambda v: v / v.max()), "pet-not-suv", "PET", "normalised"),
    one("PET standardised", voxels("PET", lambda v: (v - v.mean()) / v.std()), "pet-not-suv", "PET", "standardised"),
    one("PET of 8 bits", voxels("PET", lambda v: (255 * v / v.max()).astype(np.uint8)), "pet-not-suv", "PET", "8-bit"),
    one("PET of zeros", voxels("PET", lambda v: v * 0), "pet-not-suv", "PET", "every voxel is 0"),
    one("PET very hot", voxels("PET", lambda v: v * 30), "pet-high", "PET", "270"),
    one("a third label", voxels("tumour", _voxel(3)), "unknown-label", "tumour", "the values 3"),
    one("mask of 255", voxels("tumour", lambda v: v * 255), "unknown-label", "tumour", "255"),
    one("blurred mask", voxels("tumour", lambda v: v * np.float32(0.5)), "unknown-label", "tumour", "0.5"),
    one("empty mask", voxels("tumour", lambda v: v * 0), "empty-mask", "tumour"),
    one(
        "inverted mask",
        voxels("tumour", lambda v: (v == 0).astype(np.uint8)),
        "mask-covers-image",
        "tumour",
        "%",
        "2022",
    ),
)

PLACES = (
    one("lost PET", _delete("PET"), "missing-file", "PET", f"{PID}_ct.nii.gz"),
    one("lost mask", _delete("tumour"), "missing-file", "tumour"),
    one("lost patient", _delete("CT", "PET", "tumour"), "row-without-images", ""),
    one("shifted mask", image("tumour", _moved((6.0, 0.0, 0.0))), "grid-mismatch", "tumour", "24 x 24 x 20"),
    one("shifted mask of 2022", image("tumour", _moved((6.0, 0.0, 0.0))), "grid-mismatch", "tumour", "-63", "2022"),
    one("mask of another size", image("tumour", lambda p: p[:-1, :, :]), "grid-mismatch", "tumour", "23 x 24 x 20"),
    one("PET elsewhere", image("PET", _moved((0.0, 0.0, 900.0))), "images-apart", "PET", "996..1116"),
    one(
        "mask elsewhere",
        image("tumour", lambda p: _moved((0.0, 500.0, 0.0))(p[:-1, :, :])),
        "mask-outside-image",
        "tumour",
        "",
        "2022",
    ),
    one(
        "mask over the edge",
        image("tumour", lambda p: _moved((-60.0, 0.0, 0.0))(p[:-1, :, :])),
        "mask-cut-by-image",
        "tumour",
        "",
        "2022",
    ),
    one(
        "box in voxels of another image",
        both(cell("box", "x1", 900), cell("box", "x2", 1044)),
        "box-outside-image",
        "box",
        "900..1044",
    ),
    one("box over the edge", cell("box", "x2", 160), "box-beyond-image", "box", "-60..160"),
    one("box beside the tumour", cell("box", "x1", 0), "box-misses-mask", "box"),
    one("box through the tumour", cell("box", "x1", -28), "box-cuts-mask", "box"),
    one("box turned round", cell("box", "x1", 70), "bad-box", "box", "70, 60"),
    one("box of words", cell("box", "z2", "top"), "bad-box", "box", "top"),
    one(
        "PET mask elsewhere",
        voxels("tumour (PET)", lambda v: np.roll(v, (5, 5, 5), (0, 1, 2)), STS_IDS[1]),
        "masks-apart",
        "tumour (PET)",
        "",
        "sts",
        STS_IDS[1],
    ),
    one("inner crop without air", voxels("CT", _without_air, STS_IDS[1]), "ct-no-air", "CT", "", "sts", STS_IDS[1]),
    Damage(
        "masks of two patients exchanged",
        both(_somewhere_else(IDS[0]), _exchange((IDS[0], "tumour"), (PID, "tumour"))),
        (("grid-mismatch", IDS[0], "tumour"), ("grid-mismatch", PID, "tumour")),
        "-69",
        "2022",
    ),
    Damage(
        "mask and CT exchanged",
        _exchange((PID, "CT"), (PID, "tumour")),
        (("ct-not-hu", PID, "CT"), ("unknown-label", PID, "tumour")),
        "normalised",
    ),
    Damage(
        "CT and PET exchanged",
        _exchange((PID, "CT"), (PID, "PET")),
        (("ct-not-hu", PID, "CT"), ("pet-not-suv", PID, "PET"), ("grid-mismatch", PID, "tumour")),
        "normalised",
    ),
    Damage(
        "one patient twice",
        _copy(IDS[0], "CT", "PET"),
        (("duplicate-images", PID, "CT"), ("duplicate-images", PID, "PET")),
        f"as {IDS[0]} CT",
    ),
    Damage(
        "CT of another patient",
        _copy(IDS[0], "CT"),
        (("duplicate-images", IDS[0], "CT"), ("duplicate-images", PID, "CT")),
        f"as {PID} CT",
    ),
)
