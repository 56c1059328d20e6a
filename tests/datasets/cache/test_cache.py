"""Prepared once: rebuilt when something changed, and only then; whole or absent, whoever writes and dies."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from branchpoint.datasets.cache.store import VolumeCache
from branchpoint.datasets.cohort import Box, Cohort, MaskLabel, SurvivalLabel
from branchpoint.datasets.input_hashes import InputHashes
from branchpoint.datasets.preparation.kinds import preparation_of
from branchpoint.datasets.preparation.volumes import VolumePreparation
from branchpoint.datasets.prepared import prepare
from tests.datasets.scans import ball, scan, toy_dataset, write, write_cohort


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return write_cohort(tmp_path / "raw", 3)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Patients that are preprocessed, in the order they are."""
    names: list[str] = []

    def record(self, patient, *rest, **options):  # type: ignore[no-untyped-def]
        names.append(patient.id)
        return whole(self, patient, *rest, **options)

    whole = VolumePreparation.prepare
    monkeypatch.setattr(VolumePreparation, "prepare", record)
    return names


def again(cohort: Cohort, tmp_path: Path, built: list[str], **changes: object) -> list[str]:
    built.clear()
    prepare(cohort, toy_dataset(tmp_path, **changes), tmp_path / "cache", workers=1, progress=False)
    return sorted(built)


def test_built_once(cohort: Cohort, tmp_path: Path, built: list[str]) -> None:
    assert again(cohort, tmp_path, built) == ["P00", "P01", "P02"]
    assert again(cohort, tmp_path, built) == []


def test_only_changed_patients_are_built_again(cohort: Cohort, tmp_path: Path, built: list[str]) -> None:
    again(cohort, tmp_path, built)
    os.utime(cohort.patients[0].images["CT"])
    assert again(cohort, tmp_path, built) == []
    mask = cohort.patients[1].labels["tumour"]
    assert isinstance(mask, MaskLabel)
    write(scan(ball((0, 0, 0), 12), size=(40, 40, 24), spacing_mm=(2, 2, 3.3)), mask.path)
    assert again(cohort, tmp_path, built) == ["P01"]
    first = cohort.patients[0]
    first.images["PET"].write_bytes(cohort.patients[2].images["PET"].read_bytes())
    assert again(cohort, tmp_path, built) == ["P00"]


def test_a_change_that_keeps_size_and_time_is_seen(cohort: Cohort, tmp_path: Path, built: list[str]) -> None:
    path = tmp_path / "raw" / "P00" / "CT.nii"
    write(scan(ball((0, 0, 0), 30, 40.0, -1000.0)), path)
    changed = replace(cohort.patients[0], images={**cohort.patients[0].images, "CT": path})
    cohort = replace(cohort, patients=(changed, *cohort.patients[1:]))
    again(cohort, tmp_path, built)
    times = path.stat()
    write(scan(ball((0, 0, 0), 28, 40.0, -1000.0)), path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert again(cohort, tmp_path, built) == ["P00"]


@pytest.mark.parametrize(
    "changes",
    [{"spacing_mm": 6.0}, {"size_voxels": (16, 16, 20)}, {"margin_mm": 5.0}],
    ids=["spacing", "size", "margin"],
)
def test_settings_that_matter(cohort: Cohort, tmp_path: Path, built: list[str], changes: dict[str, object]) -> None:
    again(cohort, tmp_path, built)
    assert again(cohort, tmp_path, built, **changes) == ["P00", "P01", "P02"]
    assert again(cohort, tmp_path, built) == []


def test_cuts_matter_only_where_margins_are_cut(cohort: Cohort, tmp_path: Path, built: list[str]) -> None:
    again(cohort, tmp_path, built)
    assert again(cohort, tmp_path, built, cut_margins=False) == []
    cropped = replace(
        cohort, patients=tuple(replace(patient, box=None) for patient in cohort.patients), cut_margins_mm=5.0
    )
    assert len(again(cropped, tmp_path, built)) == 3
    assert len(again(cropped, tmp_path, built, cut_margins=False)) == 3
    assert again(cropped, tmp_path, built) == []


def test_box_and_labels(cohort: Cohort, tmp_path: Path, built: list[str]) -> None:
    again(cohort, tmp_path, built)
    first = cohort.patients[0]
    relabelled = replace(first, labels={**first.labels, "survival": SurvivalLabel(5.0, False)}, center="C9")
    prepared = prepare(
        replace(cohort, patients=(relabelled, *cohort.patients[1:])),
        toy_dataset(tmp_path),
        tmp_path / "cache",
        progress=False,
    )
    assert prepared.labels["survival"][0].tolist() == [5.0, 0.0]
    moved = replace(first, box=Box((-40, -40, -40), (40, 40, 50)))
    assert again(replace(cohort, patients=(moved, *cohort.patients[1:])), tmp_path, built) == ["P00"]


def test_a_release_that_moved_is_not_built_again(cohort: Cohort, tmp_path: Path, built: list[str]) -> None:
    again(cohort, tmp_path, built)
    (tmp_path / "raw").rename(tmp_path / "elsewhere")
    for patient in cohort.patients:
        for name, path in patient.images.items():
            patient.images[name] = tmp_path / "elsewhere" / path.relative_to(tmp_path / "raw")  # type: ignore[index]
    labels = [
        {
            name: replace(label, path=tmp_path / "elsewhere" / label.path.relative_to(tmp_path / "raw"))
            if isinstance(label, MaskLabel)
            else label
            for name, label in p.labels.items()
        }
        for p in cohort.patients
    ]
    moved = tuple(replace(p, labels=new) for p, new in zip(cohort.patients, labels, strict=True))
    assert again(replace(cohort, patients=moved), tmp_path, built) == []


def test_damaged_volumes_are_built_again(cohort: Cohort, tmp_path: Path, built: list[str]) -> None:
    again(cohort, tmp_path, built)
    volumes = sorted((tmp_path / "cache" / "volumes").glob("*/*"))
    with (volumes[0] / "image.npy").open("r+b") as file:
        file.truncate(500)
    (volumes[1] / "record.json").unlink()
    assert len(again(cohort, tmp_path, built)) == 2
    assert again(cohort, tmp_path, built) == []


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    path.write_bytes(b"abc")
    long_ago = time.time() - 100
    os.utime(path, (long_ago, long_ago))
    hashes = InputHashes(tmp_path / "cache", tmp_path)
    first = hashes.of(path)
    hashes.save()
    record = next((tmp_path / "cache" / "inputs").glob("*.json"))
    known = json.loads(record.read_text())
    known[str(path)][1] += 10 * 10**9  # as if it had been hashed 10 s after its last change
    known[str(path)][2] = "kept"
    record.write_text(json.dumps(known))
    assert InputHashes(tmp_path / "cache", tmp_path).of(path) == "kept"
    path.write_bytes(b"abd")
    assert InputHashes(tmp_path / "cache", tmp_path).of(path) not in ("kept", first)


SCRIPT = """
import pickle, sys, time
from pathlib import Path
from branchpoint.datasets.cache import store as cache
from branchpoint.datasets.build import build_missing
from branchpoint.datasets.input_hashes import InputHashes
from branchpoint.datasets.preparation.kinds import preparation_of
sync = cache._sync
def slow_sync(file):
    print("writing", flush=True)
    time.sleep(float(sys.argv[2]))
    sync(file)
cache._sync = slow_sync
root = Path(sys.argv[1])
cohort, dataset = pickle.loads((root / "cohort.pickle").read_bytes())
hashes = InputHashes(root / "cache", cohort.root)
preparation = preparation_of(cohort, dataset)
keys = {preparation.key(p, ["tumour"], hashes): p for p in cohort.patients}
build_missing(cache.VolumeCache(root / "cache"), keys, preparation, ["tumour"], workers=1, progress=False)
"""


def start(tmp_path: Path, cohort: Cohort, seconds: float) -> subprocess.Popen[str]:
    """A job that prepares the cohort and takes ``seconds`` over each file it writes."""
    (tmp_path / "cohort.pickle").write_bytes(pickle.dumps((cohort, toy_dataset(tmp_path))))
    (tmp_path / "job.py").write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "job.py"), str(tmp_path), str(seconds)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_two_jobs_at_once(cohort: Cohort, tmp_path: Path, built: list[str]) -> None:
    jobs = [start(tmp_path, cohort, 0.05) for _ in range(2)]
    errors = [job.communicate(timeout=120)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], errors
    assert len(list((tmp_path / "cache" / "volumes").glob("*/*"))) == 3
    assert not list((tmp_path / "cache" / "partial").glob("*"))
    assert again(cohort, tmp_path, built) == []


def test_the_second_to_finish_uses_what_is_there(cohort: Cohort, tmp_path: Path) -> None:
    cache, patient = VolumeCache(tmp_path / "cache"), cohort.patients[0]
    prepared = preparation_of(cohort, toy_dataset(tmp_path)).prepare(patient, ["tumour"])
    cache.add("ab12", prepared)
    first = (cache.folder("ab12") / "image.npy").stat().st_ino
    cache.add("ab12", prepared)
    assert (cache.folder("ab12") / "image.npy").stat().st_ino == first
    assert not list((tmp_path / "cache" / "partial").glob("*"))


def test_killed_half_way(cohort: Cohort, tmp_path: Path, built: list[str]) -> None:
    job = start(tmp_path, cohort, 0.3)
    assert job.stdout is not None
    for _ in range(5):  # in the middle of the second patient's files
        assert job.stdout.readline() == "writing\n"
    job.send_signal(signal.SIGKILL)
    job.wait()
    whole = len(list((tmp_path / "cache" / "volumes").glob("*/*")))
    assert whole in (1, 2)
    assert list((tmp_path / "cache" / "partial").glob("*"))
    assert len(again(cohort, tmp_path, built)) == 3 - whole
    assert again(cohort, tmp_path, built) == []


def test_only_what_died_long_ago_is_swept(tmp_path: Path) -> None:
    for name, age in (("living", 0), ("dead", 7200)):
        folder = tmp_path / "partial" / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age, time.time() - age))
    VolumeCache(tmp_path).sweep()
    assert [folder.name for folder in (tmp_path / "partial").iterdir()] == ["living"]
