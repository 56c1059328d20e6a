"""The state of a study: journal, locks, attempts, checkpoints, weights of finalists.

It lies in a folder that every worker sees. Where the results store is a bucket, what runs keep (attempts, checkpoints,
weights) lies beside it there, and the folder is the driver's alone. Results are in the store alone. What lies here
makes a study resumable; with it lost, the results stay.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from branchpoint.config import DatasetConfig
from branchpoint.datasets.content import Content, changes
from branchpoint.io.locks import LockHeldError, exclusive
from branchpoint.io.names import check_name
from branchpoint.io.storage import Bucket, Disk, Place, is_uri, write_atomically


def home_folder(given: Path | None) -> Path:
    """Where results, cache and state go: ``given``, else ``$BRANCHPOINT_HOME``, else this folder.

    A job submitted with ``--working-dir`` runs in an unpacked copy that Ray deletes later: ``~/.branchpoint`` then.
    """
    if given or os.environ.get("BRANCHPOINT_HOME"):
        return Path(given or os.environ["BRANCHPOINT_HOME"]).expanduser().resolve()
    here = Path.cwd()
    unpacked = any(part.startswith("_ray_pkg_") for part in here.parts)
    return Path.home() / ".branchpoint" if unpacked else here


def store_and_state(store: str | None, home: Path, study: str) -> tuple[str, Path]:
    """URI of the results store, and the state folder of ``study``: beside a local store, in ``home`` else.

    Args:
        store: folder or URI; ``None``: ``results`` in ``home``.
        home: of :func:`home_folder`.
        study: name of the study.

    Raises:
        ValueError: ``study`` is not one portable path component.
    """
    check_name(study)
    if store is not None and is_uri(store):
        return store, home / ".state" / study
    folder = Path(store or home / "results").expanduser().resolve()
    return str(folder), folder / ".state" / study


def default_study(dataset: DatasetConfig) -> str:
    """Name of a study of ``dataset`` that is given none: dataset and release, such as ``hecktor-2021``."""
    name = "-".join(filter(None, (dataset.name, dataset.release)))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


DRIVER_LOCK = "driver.lock"
"""Held by the process that runs the study."""
PLAN = "plan.json"
"""Stage to how many runs it will have."""


class StudyFolder:
    """``path``: absolute, one for each study; made where it is missing."""

    def __init__(self, path: Path) -> None:
        if not path.is_absolute():
            raise ValueError(f"state folder {path}: must be an absolute path: workers run in other folders")
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @property
    def journal(self) -> Path:
        """Optuna's journal."""
        return self.path / "journal.log"

    @property
    def ray(self) -> Path:
        """What Ray Tune writes; of no use after the run."""
        return self.path / "ray"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps a second driver out; freed by the system when this process dies, however it dies.

        Raises:
            ValueError: another driver holds it.
        """
        with ExitStack() as held:
            try:
                held.enter_context(exclusive(self.path / DRIVER_LOCK, wait=False))
            except LockHeldError as other:
                raise ValueError(
                    f"study {self.path.name!r} is being run by {other.holder}; "
                    "wait for it, end it, or give another --study name"
                ) from None
            yield

    def remember(self, settings: Mapping[str, Any], part: str = "study") -> None:
        """Write down ``settings`` (plain values) of ``part`` at the first start; compare them at every later one.

        Raises:
            ValueError: a setting differs, so the study would mix two searches; the message names it.
        """
        file = self.path / f"{part}.json"
        wanted = json.loads(json.dumps(settings))
        if not file.exists():
            write_atomically(file, json.dumps(wanted, indent=1, sort_keys=True))
            return
        changes = list(_differences(json.loads(file.read_text()), wanted, ""))
        if changes:
            raise ValueError(
                f"{part} {self.path.name!r} was begun with other settings: {'; '.join(changes[:5])}. "
                "Give the same settings to go on with it, or another --study name to begin anew"
            )

    def begun(self, part: str) -> bool:
        """Whether the settings of ``part`` were written down at an earlier start."""
        return (self.path / f"{part}.json").exists()

    def plan(self, stage: str, runs: int) -> None:
        """Write down how many runs ``stage`` will have, for those who ask how far the study is."""
        file = self.path / PLAN
        known = json.loads(file.read_text()) if file.exists() else {}
        write_atomically(file, json.dumps({**known, stage: runs}))

    def remember_data(self, content: Content) -> None:
        """Write down what the data hold at the first start; refuse others at every later one.

        Raises:
            ValueError: labels, files or patients changed, so that trials would not have learned from the same data.
        """
        file = self.path / "data.json"
        if not file.exists():
            write_atomically(file, json.dumps(content, sort_keys=True))
            return
        if changed := changes(json.loads(file.read_text()), content):
            raise ValueError(
                f"the data changed since study {self.path.name!r} began: {'; '.join(changed)}. Its trials learned from "
                "the data as they were and cannot be compared with new ones: give another --study name to begin anew "
                "with these data, or restore the earlier ones to go on"
            )


NETWORK = "network.pt"
"""Weights of the best epoch, with their Config beside them; kept for finalists."""


class RunFolder:
    """What one run (trial, or fold of a finalist) keeps between its attempts.

    Args:
        place: on a disk that every worker sees, or in a bucket.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def checkpoints(self) -> Path | Bucket:
        """Where the training loop keeps its checkpoints."""
        place = self.place / "checkpoints"
        return place.path if isinstance(place, Disk) else place

    @property
    def has_network(self) -> bool:
        """Whether weights were kept."""
        return self.place.holds(NETWORK)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Waits while another process (left over from a killed driver) still runs this run.

        A bucket has no locks: there a process that was cut off may end beside its successor, as an earlier attempt.
        """
        if isinstance(self.place, Bucket):
            yield
            return
        with exclusive(self.place.path / "run.lock"):
            yield

    @property
    def attempts(self) -> int:
        """How often the run was started."""
        return sum(name.startswith("attempt-") for name in self.place.names())

    def begin_attempt(self) -> int:
        """Count one more start, and return the count. Call it under :meth:`lock`."""
        attempt = self.attempts + 1
        self.place.write(f"attempt-{attempt:03d}", socket.gethostname().encode())
        return attempt

    def drop_checkpoints(self) -> None:
        """The run has ended: nothing will resume from them."""
        if isinstance(self.checkpoints, Path):
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            return
        for name in self.checkpoints.names():
            self.checkpoints.remove(name)


def run_folder(state: Path, store: str, study: str, run: str) -> RunFolder:
    """The folder of ``run``: in ``state``, or beside the ``store`` where that is a bucket."""
    if is_uri(store):
        return RunFolder(Bucket(store) / f".state/{quote(study, safe='')}/runs/{quote(run, safe='')}")
    return RunFolder(Disk(state / "runs" / run))


def _differences(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(set(old) | set(new)):
            yield from _differences(old.get(key), new.get(key), f"{place}.{key}" if place else key)
    elif old != new:
        yield f"{place} was {old!r}, now is {new!r}"
