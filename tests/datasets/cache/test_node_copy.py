"""A prepared cohort reaches a node once, however many processes ask for it and whichever of them is killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from branchpoint.datasets.cache import node_copy
from branchpoint.datasets.cache.node_copy import LOG, SETTING, local_manifest, node_cache, upload
from branchpoint.datasets.prepared import PreparedCohort, prepare
from branchpoint.io.storage import Bucket, joined
from tests.datasets.scans import toy_dataset, write_cohort

PROCESSES = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    root = tmp_path_factory.mktemp("toy")
    return prepare(write_cohort(root / "raw", 4), toy_dataset(root), root / "cache", workers=2, progress=False)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The node's own folder."""
    monkeypatch.setenv(SETTING, str(tmp_path / "node"))
    return tmp_path / "node"


@dataclass(frozen=True)
class Slow:
    """Files of another node, in small pieces; notes each file that was read to its end, and stops within ``stuck``."""

    root: Path
    notes: Path
    seconds: float = 0.0
    stuck: str = "no file"

    def pieces(self, name: str) -> Iterator[bytes]:
        content = (self.root / name).read_bytes()
        for start in range(0, len(content), 5000):
            time.sleep(3600 if self.stuck in name and start else self.seconds)
            yield content[start : start + 5000]
        with self.notes.open("a") as file:
            file.write(f"{name}\n")

    def done(self) -> None:
        """Nothing to end."""

    def read(self) -> list[str]:
        return self.notes.read_text().split() if self.notes.exists() else []


def elsewhere(manifest: Path) -> Path:
    """The manifest's path on a disk that is not here."""
    return Path("/not/here/cohorts") / manifest.name


def started(target: Callable[..., Any], *arguments: Any) -> Any:
    process = PROCESSES.Process(target=target, args=arguments)
    process.start()
    return process


def log(cache: Path, word: str) -> int:
    return (cache / LOG).read_text().count(word) if (cache / LOG).exists() else 0


def same_batches(one: PreparedCohort, other: PreparedCohort) -> None:
    rows = [*range(len(one))]
    for name, tensor in one.batch(rows).inputs.items():
        assert np.array_equal(tensor, other.batch(rows).inputs[name])


def test_a_cohort_that_is_seen_is_not_fetched(prepared: PreparedCohort, cache: Path, tmp_path: Path) -> None:
    source = Slow(prepared.path.parents[1], tmp_path / "notes")
    assert local_manifest(prepared.path, source) == prepared.path
    assert not cache.exists()


def test_one_of_many_processes_fetches(prepared: PreparedCohort, cache: Path, tmp_path: Path) -> None:
    source = Slow(prepared.path.parents[1], tmp_path / "notes", seconds=0.02)
    asking = [started(local_manifest, elsewhere(prepared.path), source) for _ in range(5)]
    for process in asking:
        process.join()
        assert process.exitcode == 0
    assert (log(cache, " begun"), log(cache, " complete")) == (1, 1)
    assert len(source.read()) == len(set(source.read())), "no file was read twice"
    copy = local_manifest(elsewhere(prepared.path))
    assert copy.is_relative_to(cache)
    same_batches(prepared, PreparedCohort.open(copy))
    assert cache.stat().st_mode & 0o077 == 0, "nobody else on the machine may read it"


def test_whoever_is_killed_leaves_nothing_half_done(prepared: PreparedCohort, cache: Path, tmp_path: Path) -> None:
    """The fetching process is killed in the middle of a volume; one that waits goes on with what is missing."""
    last = json.loads(prepared.path.read_text())["patients"][-1]["volume"]
    source = Slow(prepared.path.parents[1], tmp_path / "notes")
    first = started(local_manifest, elsewhere(prepared.path), replace(source, stuck=f"{last}/image.npy"))
    while sum("image" in name for name in source.read()) < 3:
        time.sleep(0.005)
    second = started(local_manifest, elsewhere(prepared.path), source)
    time.sleep(0.1)
    assert second.is_alive(), "it waits for the first"
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    second.join()
    assert len(source.read()) == len(set(source.read())) + 2, "only the manifest and the torn volume's record again"
    assert second.exitcode == 0
    assert (log(cache, " begun"), log(cache, " complete")) == (2, 1)
    same_batches(prepared, PreparedCohort.open(local_manifest(elsewhere(prepared.path))))


def test_a_second_cohort_shares_volumes(prepared: PreparedCohort, cache: Path, tmp_path: Path) -> None:
    source = Slow(prepared.path.parents[1], tmp_path / "notes")
    local_manifest(elsewhere(prepared.path), source)
    fewer = prepared.path.with_name("toy-1-fewer.json")
    manifest = json.loads(prepared.path.read_text())
    fewer.write_text(json.dumps({**manifest, "patients": manifest["patients"][:2]}))
    before = len(source.read())
    local_manifest(elsewhere(fewer), source)
    assert source.read()[before:] == ["cohorts/toy-1-fewer.json"]


def test_torn_and_absent_sources(prepared: PreparedCohort, cache: Path, tmp_path: Path) -> None:
    class Torn(Slow):
        def pieces(self, name: str) -> Iterator[bytes]:
            whole = b"".join(super().pieces(name))
            yield whole[:-1] if "image" in name else whole

    with pytest.raises(OSError, match=r"of .* bytes of image.npy came"):
        local_manifest(elsewhere(prepared.path), Torn(prepared.path.parents[1], tmp_path / "notes"))
    assert not (cache / "cohorts").exists()
    with pytest.raises(ValueError, match=r"no such file on .*; prepare the dataset first"):
        local_manifest(elsewhere(prepared.path))


def test_a_full_disk_is_refused_at_once(
    prepared: PreparedCohort, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_copy.shutil, "disk_usage", lambda path: _Usage(1000))
    with pytest.raises(ValueError, match=f"set {SETTING} to a folder on a larger disk"):
        local_manifest(elsewhere(prepared.path), Slow(prepared.path.parents[1], tmp_path / "notes"))


@dataclass
class _Usage:
    free: int


def test_a_folder_of_somebody_else_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(ValueError, match="belongs to another user"):
        node_cache()


def test_by_way_of_a_bucket(prepared: PreparedCohort, cache: Path, bucket: str) -> None:
    """Uploaded once, to a real S3 server; a node that sees nothing else gets the same cohort."""
    place = Bucket(joined(bucket, "our/cohorts"))
    assert upload(prepared.path, place) > 1000
    assert upload(prepared.path, place) == 0
    assert place.holds(f"cohorts/{prepared.path.name}")
    same_batches(prepared, PreparedCohort.open(local_manifest(elsewhere(prepared.path), place)))
    torn = next(name for name in place.sizes("volumes") if name.endswith("image.npy"))
    place.write(torn, b"torn")
    assert upload(prepared.path, place) > 1000, "what is not whole is put there again"
