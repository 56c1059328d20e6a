"""300 damaged or odd DICOM studies: predicted, or refused by a rule; no traceback, and none stops another."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from branchpoint.commands import cli
from tests.deploy.conftest import Finished
from tests.deploy.dicom_builder import pydicom, write_series

Damage = Callable[[random.Random, list[Path]], None]


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    header = pydicom.dcmread(path)
    change(header)
    header.save_as(path)


def each(name: str, value: Any) -> Damage:
    def damage(rng: random.Random, files: list[Path]) -> None:
        for path in files:
            rewrite(path, lambda header: setattr(header, name, value))

    return damage


def one(name: str, value: Any) -> Damage:
    return lambda rng, files: rewrite(rng.choice(files), lambda header: setattr(header, name, value))


def without(name: str) -> Damage:
    def damage(rng: random.Random, files: list[Path]) -> None:
        def drop(header: Any) -> None:
            if name in header:
                delattr(header, name)

        for path in files:
            rewrite(path, drop)

    return damage


def cut(rng: random.Random, files: list[Path]) -> None:
    path = rng.choice(files)
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def flip(rng: random.Random, files: list[Path]) -> None:
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 20)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content))


def tracer(name: str, value: Any) -> Damage:
    def damage(rng: random.Random, files: list[Path]) -> None:
        def change(header: Any) -> None:
            for item in header.get("RadiopharmaceuticalInformationSequence") or ():
                setattr(item, name, value)

        for path in files:
            rewrite(path, change)

    return damage


def lose(rng: random.Random, files: list[Path]) -> None:
    rng.choice(files).unlink()


def empty(rng: random.Random, files: list[Path]) -> None:
    rng.choice(files).write_bytes(b"")


def double(rng: random.Random, files: list[Path]) -> None:
    (files[0].parent / "copy.dcm").write_bytes(rng.choice(files).read_bytes())


DAMAGES: list[Damage] = [
    lose,
    empty,
    double,
    cut,
    flip,
    flip,
    flip,
    one("ImagePositionPatient", [0, 0, 0]),
    one("PixelSpacing", [0, 0]),
    one("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
    one("SeriesInstanceUID", "1.2.3.4"),
    one("Rows", 7),
    one("PatientID", "other"),
    each("PatientWeight", 0),
    each("PatientWeight", None),
    each("Units", "CNTS"),
    each("DecayCorrection", "NONE"),
    each("CorrectedImage", ["DECY"]),
    each("SeriesType", ["DYNAMIC", "IMAGE"]),
    each("SeriesDate", "20000101"),
    each("SeriesTime", "nonsense"[:4]),
    each("RescaleSlope", "0"),
    each("FrameOfReferenceUID", ""),
    each("NumberOfFrames", 3),
    each("PhotometricInterpretation", "MONOCHROME1"),
    each("Units", "GML"),
    each("BitsAllocated", 8),
    each("ImageType", ["DERIVED", "SECONDARY", "LOCALIZER"]),
    without("PixelData"),
    without("ImagePositionPatient"),
    without("PixelSpacing"),
    without("RadiopharmaceuticalInformationSequence"),
    without("SOPClassUID"),
    without("RescaleSlope"),
    tracer("RadionuclideTotalDose", 0),
    tracer("RadionuclideTotalDose", 350),
    tracer("RadionuclideHalfLife", None),
    tracer("RadiopharmaceuticalStartTime", "130000"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("count", "rules"), [(40, 8), pytest.param(300, 12, marks=pytest.mark.slow)])
def test_no_study_ends_in_a_traceback(finished: Finished, tmp_path: Path, count: int, rules: int) -> None:
    rng = random.Random(0)
    random_voxels = np.random.default_rng(0)
    rows = ["id,study"]
    for number in range(count):
        folder = tmp_path / f"S{number:03d}"
        ct, pet = (random_voxels.integers(0, 2000, (12, 14, 14)).astype(np.int16) for _ in range(2))
        series = {
            "CT": write_series(folder / "ct", "CT", ct, number=1, intercept=-1024, spacing_mm=(12, 12, 12)),
            "PT": write_series(folder / "pet", "PT", pet, number=2, spacing_mm=(12, 12, 12), slopes=np.full(12, 5.0)),
        }
        if number % 10:
            files = series[rng.choice(("CT", "PT"))]
            for damage in rng.sample(DAMAGES, rng.choice((1, 1, 2))):
                try:
                    damage(rng, [path for path in files if path.exists()])
                except Exception:  # a file that an earlier damage made unreadable cannot be changed further
                    continue
        rows.append(f"{folder.name},{folder}")
    table = tmp_path / "cases.csv"
    table.write_text("\n".join(rows))
    out = tmp_path / "out"
    command = ["predict", finished.bundle, "--table", table, "--out", out, "--no-page", "--box", "0,0,120,60,60,220"]
    done = CliRunner().invoke(cli.app, [str(part) for part in command])
    assert done.exit_code == 3, done.output[-2000:]
    failures = [json.loads(path.read_text()) for path in (out / "failed").iterdir()]
    assert not [failure for failure in failures if failure["rule"] == "unexpected"]
    assert "Traceback" not in done.output
    for number in range(0, count, 10):
        assert (out / f"S{number:03d}/result.json").exists(), "a sound study among damaged ones"
    assert len(list(out.glob("S*/result.json"))) + len(failures) == count
    assert len({failure["rule"] for failure in failures}) >= rules
