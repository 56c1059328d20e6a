"""Sends a prepared cohort to nodes that do not see its disk, through Ray's object store, in pieces.

A small actor on the driver's node puts a piece into the object store when the first node asks for it; other nodes take
it from there or from one another. The first process that misses the cohort starts the actor, so that none exists where
every node sees the cohort.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import ObjectLostError, RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from branchpoint.datasets.cache.node_copy import Source, local_manifest, upload
from branchpoint.io.storage import PIECE_BYTES, Bucket

KEPT_PIECES = 16
"""Pieces that stay in the object store for nodes that ask a little later; a later request reads the file again."""
_TRIES = 10
_servers: dict[DriverSource, Any] = {}
"""Handles of this process; Ray ends an actor once no handle to it is left."""


class CohortServer:
    """Serves the files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._kept: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def piece(self, name: str, offset: int) -> tuple[int, list[Any]]:
        """Size of a file in bytes, and a reference to ``PIECE_BYTES`` of it from ``offset``."""
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder):
            raise ValueError(f"{name}: lies outside of {self.folder}")
        if (name, offset) not in self._kept:
            with path.open("rb") as file:
                self._kept[name, offset] = ray.put(np.fromfile(file, np.uint8, PIECE_BYTES, offset=offset))
        self._kept.move_to_end((name, offset))
        while len(self._kept) > KEPT_PIECES:
            self._kept.popitem(last=False)
        return path.stat().st_size, [self._kept[name, offset]]


@dataclass(frozen=True)
class DriverSource:
    """A :class:`~branchpoint.datasets.cache.node_copy.Source`: the cohort of ``manifest``, which ``node`` sees."""

    manifest: Path
    node: str

    def pieces(self, name: str) -> Iterator[Any]:
        """Content of a file, in order."""
        offset, size = 0, 1
        while offset < size:
            size, piece = self._piece(name, offset)
            yield piece
            offset += PIECE_BYTES

    def done(self) -> None:
        """Let the server end, which releases what it holds in the object store."""
        _servers.pop(self, None)

    def _piece(self, name: str, offset: int) -> tuple[int, memoryview]:
        """A piece of a file. The server dies with the process that started it; then this one starts another."""
        for left in reversed(range(_TRIES)):
            try:
                size, (reference,) = ray.get(self._server().piece.remote(name, offset))
                return size, memoryview(ray.get(reference))
            except (RayActorError, ObjectLostError):
                _servers.pop(self, None)
                if not left:
                    raise
                time.sleep(0.2)
        raise AssertionError("unreachable")

    def _server(self) -> Any:
        if self not in _servers:
            actor: Any = ray.remote(num_cpus=0)(CohortServer)
            there = NodeAffinitySchedulingStrategy(self.node, soft=False)
            options = {"name": f"cohort-{self.manifest.stem}", "get_if_exists": True, "scheduling_strategy": there}
            _servers[self] = actor.options(**options).remote(self.manifest.parents[1])
        return _servers[self]


def cohort_here(manifest: Path, bucket: str | None) -> Path:
    """The manifest of the prepared cohort as the driver sees it; with a ``bucket``, the cohort is uploaded there.

    Raises:
        ValueError: the cohort is neither here nor in the bucket.
    """
    if bucket is None:
        return local_manifest(manifest)
    here = local_manifest(manifest, Bucket(bucket))
    sent = upload(here, Bucket(bucket))
    if sent:
        print(f"cohort {here.stem}: {sent / 1e6:.1f} MB went to {bucket.partition('?')[0]}", flush=True)
    return here


def cohort_source(manifest: Path, bucket: str | None) -> Source | None:
    """The source from which nodes that do not see ``manifest`` fetch the cohort; ``None`` without other nodes."""
    if bucket is not None:
        return Bucket(bucket)
    if not ray.is_initialized():
        return None
    return DriverSource(local_manifest(manifest), ray.get_runtime_context().get_node_id())
