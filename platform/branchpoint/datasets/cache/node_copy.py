"""A prepared cohort on a node that does not see the disk it was prepared on: fetched once, used by every run there.

The copy has the layout of the cache it comes from (:mod:`branchpoint.datasets.cache.store`): each volume is filled in a
folder of its own, synced and renamed, and the manifest comes last, so that a cohort is complete or absent whenever the
fetching process dies; whoever fetches next goes on with the volumes that are missing. Names tell the contents, so that
a copy is never out of date.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from branchpoint.datasets.cache.store import VolumeCache
from branchpoint.io.locks import exclusive
from branchpoint.io.storage import Bucket, write_atomically

LOG = "fetches.log"
"""In the node's cache: a line when a fetch begins, and one when it is complete."""
SETTING = "BRANCHPOINT_NODE_CACHE"
_THREADS = 4
_SPARE_BYTES = 256 * 1024**2


class Source(Protocol):
    """Where the files of a prepared cohort come from; names are relative to the folder of its cache."""

    def pieces(self, name: str) -> Iterator[bytes]:
        """Content of a file, in order."""

    def done(self) -> None:
        """This process needs nothing more."""

    def __hash__(self) -> int: ...


def local_manifest(manifest: Path, source: Source | None = None) -> Path:
    """``manifest`` where this node sees it, else that of the node's copy, fetched from ``source`` if need be.

    Processes that ask at the same time wait for one fetch.

    Raises:
        ValueError: there is nowhere to fetch it from, or no room for it.
    """
    if manifest.exists():
        return manifest
    cache = node_cache()
    copy = cache / "cohorts" / manifest.name
    if copy.exists():
        return copy
    if source is None:
        here = os.uname().nodename
        raise ValueError(f"prepared cohort {manifest}: no such file on {here}; prepare the dataset first")
    with exclusive(cache / f"{manifest.stem}.lock"):
        if not copy.exists():
            _fetch(manifest.name, source, cache)
            source.done()
    return copy


def node_cache() -> Path:
    """This node's folder of copies: ``$BRANCHPOINT_NODE_CACHE``, or one of this user's own among temporary files.

    Raises:
        ValueError: the folder belongs to somebody else, who could read or change what is put there.
    """
    given = os.environ.get(SETTING)
    cache = Path(given) if given else Path(tempfile.gettempdir()) / f"branchpoint-{os.getuid()}"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise ValueError(f"{cache} belongs to another user: set {SETTING} to a folder of your own on this node's disk")
    return cache


def upload(manifest: Path, bucket: Bucket) -> int:
    """Put the cohort into ``bucket``, the manifest last; what is there already is left. Gives the bytes that went."""
    names = [f"cohorts/{manifest.name}", *_files(json.loads(manifest.read_text()))]
    there, root = bucket.sizes(), manifest.parents[1]
    missing = [name for name in names if there.get(name) != (root / name).stat().st_size]

    def put(name: str) -> int:
        content = (root / name).read_bytes()
        bucket.write(name, content)
        return len(content)

    if not missing:
        return 0
    with ThreadPoolExecutor(_THREADS) as pool:
        return sum(pool.map(put, [name for name in missing if name != names[0]])) + put(names[0])


def _files(manifest: Mapping[str, Any]) -> Iterator[str]:
    for patient in manifest["patients"]:
        yield from (f"volumes/{patient['volume']}/{name}" for name in (*patient["bytes"], "record.json"))


def _fetch(name: str, source: Source, cache: Path) -> None:
    begun = time.monotonic()
    _log(cache, f"{name} begun")
    text = b"".join(source.pieces(f"cohorts/{name}")).decode()
    volumes = VolumeCache(cache)
    volumes.sweep()
    sizes = {
        patient["volume"].rsplit("/", 1)[1]: sum(patient["bytes"].values()) for patient in json.loads(text)["patients"]
    }
    missing = {key: size for key, size in sizes.items() if not volumes.holds(key)}
    _require_room(cache, sum(missing.values()), name)

    def copy(key: str) -> None:
        volumes.copy(key, lambda file: source.pieces(f"volumes/{key[:2]}/{key}/{file}"))

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(copy, missing))
    write_atomically(cache / "cohorts" / name, text)
    megabytes, seconds = sum(missing.values()) / 1e6, time.monotonic() - begun
    _log(cache, f"{name} complete: {len(missing)} volumes, {megabytes:.1f} MB in {seconds:.1f} s")


def _require_room(cache: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(cache).free
    if needed + _SPARE_BYTES > free:
        raise ValueError(
            f"cohort {name} needs {needed / 1e9:.2f} GB in {cache} on {os.uname().nodename}, where {free / 1e9:.2f} GB "
            f"are free: set {SETTING} to a folder on a larger disk of the nodes"
        )


def _log(cache: Path, text: str) -> None:
    with (cache / LOG).open("a") as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} process {os.getpid()}: {text}\n")
