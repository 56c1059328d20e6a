"""Files that are no files, declare what they do not hold, or never end: named in a row, within limits."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from branchpoint.datasets.checks.processes import map_in_processes
from branchpoint.datasets.checks.volume_files import inspect_volume
from branchpoint.datasets.file_report import FileJob
from branchpoint.datasets.files import list_files, printable, unusual_entries
from branchpoint.datasets.preparation.image_files import open_picture
from branchpoint.datasets.preparation.volume_files import read_image


def volume(path: Path, affine: np.ndarray | None = None, **fields: object) -> Path:
    """A small NIfTI file with header fields changed."""
    values = np.random.default_rng(0).normal(1, 1, (8, 9, 7)).astype(np.float32)
    image = nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else affine)
    nibabel.save(image, path)
    header = image.header.copy()
    for name, value in fields.items():
        header[name] = value
    content = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    stored = nibabel.Nifti1Header(bytes(content[:348]), check=False)
    for name in fields:
        stored[name] = header[name]
    content[:348] = stored.binaryblock
    path.write_bytes(gzip.compress(bytes(content)) if path.suffix == ".gz" else bytes(content))
    return path


def rules(path: Path, kind: str = "MR") -> list[str]:
    return [row.rule for row in inspect_volume(FileJob("P", kind, path, kind)).problems]


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def circle(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def link(target: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.symlink_to(target)
        return path

    return make


SPECIAL = {
    "named pipe": (fifo, "named pipe"),
    "device": (link("/dev/zero"), "device"),
    "circle": (circle, "circle"),
    "dangling link": (link("nowhere"), "leads nowhere"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path, kind: str) -> None:
    make, word = SPECIAL[kind]
    path = make(tmp_path / "CT.nii.gz")
    (row,) = inspect_volume(FileJob("P", "CT", path, "CT")).problems
    assert (row.rule, word in row.found) == ("missing-file", True)
    for read in (read_image, open_picture):
        with pytest.raises(ValueError, match=word):
            read(path)
    assert list_files(tmp_path) == []
    ((name, reason),) = unusual_entries(tmp_path)
    assert (name, word in reason) == (str(path), True)


def test_folders_that_lead_back_and_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "other").symlink_to(tmp_path / "a")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/a/\xff\xe9.png")
    Path(odd).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in list_files(tmp_path)] == ["a/x.png", "other/x.png"]
    found = dict(unusual_entries(tmp_path))
    assert "circle" in found[str(tmp_path / "a" / "up")]
    assert "UTF-8" in found[str(tmp_path / "a") + "/\\xff\\xe9.png"]
    printable(odd).encode()
    (row,) = inspect_volume(FileJob("P", "CT", Path(odd), "CT")).problems
    assert "UTF-8" in row.found
    row.found.encode()


def huge_mhd(path: Path) -> Path:
    text = "ObjectType = Image\nNDims = 3\nDimSize = 512 512 1000000000\nElementType = MET_SHORT\n"
    (path / "a.mhd").write_text(text + "ElementSpacing = 1 1 1\nElementDataFile = a.raw\n")
    (path / "a.raw").write_bytes(b"\0" * 1000)
    return path / "a.mhd"


def huge_nrrd(path: Path) -> Path:
    text = "NRRD0004\ntype: short\ndimension: 3\nsizes: 512 512 1000000000\nencoding: gzip\nendian: little\n\n"
    (path / "a.nrrd").write_bytes(text.encode() + gzip.compress(b"\0" * 100_000))
    return path / "a.nrrd"


def hollow_nrrd(path: Path) -> Path:
    """A size that could be, but not in so few bytes."""
    text = "NRRD0004\ntype: short\ndimension: 3\nsizes: 512 512 1000\nencoding: gzip\nendian: little\n\n"
    (path / "b.nrrd").write_bytes(text.encode() + gzip.compress(b"\0" * 100_000))
    return path / "b.nrrd"


def huge_nifti(path: Path) -> Path:
    return volume(path / "a.nii", dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])


def bomb(path: Path) -> Path:
    plain = volume(path / "plain.nii").read_bytes()
    with gzip.open(path / "bomb.nii.gz", "wb", compresslevel=1) as file:
        file.write(plain)
        for _ in range(20):
            file.write(bytes(16 * 1024**2))
    return path / "bomb.nii.gz"


@pytest.mark.parametrize("make", [huge_mhd, huge_nrrd, hollow_nrrd, huge_nifti, bomb])
def test_sizes_are_judged_before_anything_is_read(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    begun = time.monotonic()
    (row,) = inspect_volume(FileJob("P", "CT", path, "CT")).problems
    assert row.rule == "too-large"
    assert path.name in row.found
    assert time.monotonic() - begun < 20


def sleep_for(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


def allocate(size: int) -> str:
    return "done" if len(bytearray(size)) else ""


def test_a_file_that_takes_too_long_or_too_much_memory_is_named() -> None:
    slow = map_in_processes(sleep_for, [0.0, 60.0, 0.0], lambda job: "killed", workers=2, limit_s=1.5)
    assert dict(slow) == {0: "done", 1: "killed", 2: "done"}
    limit = 2 * 1024**3
    greedy = map_in_processes(allocate, [1000, 3 * 1024**3], lambda job: "killed", workers=1, limit_bytes=limit)
    with pytest.raises(MemoryError):
        dict(greedy)


HEADERS = {
    "infinite slope": ({"scl_slope": np.inf}, "bad-scaling"),
    "NaN intercept": ({"scl_slope": 1.0, "scl_inter": np.nan}, "bad-scaling"),
    "negative slope": ({"scl_slope": -1.0, "scl_inter": 0.0}, "bad-scaling"),
    "tiny slope": ({"scl_slope": 1e-30, "scl_inter": 0.0}, "bad-scaling"),
    "micrometres": ({"xyzt_units": 3}, "bad-units"),
    "metres": ({"xyzt_units": 1}, "bad-units"),
    "two files": ({"magic": b"ni1\0"}, "unreadable-file"),
    "no signature": ({"magic": b"\0\0\0\0"}, "unreadable-file"),
    "other byte order": ({"sizeof_hdr": 1543569408}, "unreadable-file"),
}


@pytest.mark.parametrize("fault", HEADERS)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_faults_of_headers(tmp_path: Path, fault: str, name: str) -> None:
    fields, rule = HEADERS[fault]
    assert rules(volume(tmp_path / name, **fields)) == [rule]


SOUND = {
    "no scaling": {"scl_slope": 0.0, "scl_inter": 0.0},
    "scaling unset": {"scl_slope": np.nan, "scl_inter": np.nan},
    "units unknown": {"xyzt_units": 0},
    "seconds too": {"xyzt_units": 10},
}


@pytest.mark.parametrize("case", SOUND)
def test_sound_headers(tmp_path: Path, case: str) -> None:
    assert rules(volume(tmp_path / "a.nii.gz", **SOUND[case])) == []


@pytest.mark.parametrize(
    ("spacing", "rule"), [(20.0, "unusual-spacing"), (0.05, "unusual-spacing"), (0.01, "bad-spacing")]
)
def test_thick_and_fine_spacings_are_no_errors(tmp_path: Path, spacing: float, rule: str) -> None:
    assert rules(volume(tmp_path / "a.nii", np.diag([spacing, spacing, spacing, 1.0]))) == [rule]


def test_nifti_2_and_header_extensions_are_whole_files(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(1, 1, (8, 9, 7)).astype(np.float32)
    nibabel.save(nibabel.Nifti2Image(values, np.diag([2.0, 2.0, 3.0, 1.0])), tmp_path / "two.nii.gz")
    assert rules(tmp_path / "two.nii.gz") == []
    image = nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0]))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 5000))
    nibabel.save(image, tmp_path / "more.nii.gz")
    assert rules(tmp_path / "more.nii.gz") == []
    whole = gzip.decompress((tmp_path / "more.nii.gz").read_bytes())
    (tmp_path / "less.nii").write_bytes(whole[:-100])
    assert rules(tmp_path / "less.nii") == ["truncated-file"]


def test_axes_that_are_almost_at_right_angles_are_straightened(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[0, 1], affine[1, 2] = 4e-3, -3e-3
    affine[:3, 3] = 5, -7, 11
    path = volume(tmp_path / "a.nii.gz", affine)
    image = read_image(path)
    np.testing.assert_allclose(image.GetOrigin(), [-5, 7, 11], atol=1e-4)
    np.testing.assert_allclose(np.abs(np.array(image.GetDirection()).reshape(3, 3)), np.eye(3), atol=2e-3)
    loaded = np.asanyarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), loaded.T)
    assert "unreadable-file" not in rules(path)
    affine[0, 1] = 0.5
    with pytest.raises(ValueError, match="not at right angles"):
        read_image(volume(tmp_path / "b.nii.gz", affine))
