"""Studies that the server holds: each has folders of its own, one is predicted at a time, and all are removed again."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.options import PredictOptions
from branchpoint.deploy.prediction.output import FAILED
from branchpoint.deploy.serving.study import Study
from branchpoint.deploy.serving.temporary import new_folder, remove_left_overs
from branchpoint.deploy.serving.uploads import Limits, place_below, too_large
from branchpoint.deploy.serving.worker import Request, Worker


class Studies:
    """All studies of a server.

    Args:
        worker: predicts.
        limits: on each study.
        most: how many are held at once.
        keep_s: how long one is kept after something happened to it.
        timeout_s: how long a prediction may take.
        say: takes one line for each study that ended, without names.
    """

    def __init__(
        self,
        worker: Worker,
        limits: Limits,
        *,
        most: int = 16,
        keep_s: float = 3600,
        timeout_s: float = 3600,
        say: Callable[[str], None] = print,
    ) -> None:
        self.limits, self._worker, self._most, self._say = limits, worker, most, say
        self._keep_s, self._timeout_s = keep_s, timeout_s
        self._held: dict[str, Study] = {}
        self._count = 0
        self._waiting: asyncio.Queue[Study] = asyncio.Queue()
        remove_left_overs()
        self._root = new_folder()

    def __iter__(self) -> Any:
        return iter(list(self._held.values()))

    def get(self, identifier: str) -> Study | None:
        """The study, or ``None``."""
        return self._held.get(identifier)

    def open(self, label: str, options: PredictOptions, covariates: Mapping[str, str | None]) -> Study:
        """A new study without files.

        Raises:
            CaseError: too many are held already.
        """
        if len(self._held) >= self._most:
            raise CaseError("full", f"{self._most} studies are held already", "delete some, or try again later")
        self._count += 1
        identifier = secrets.token_hex(16)
        study = Study(
            id=identifier,
            number=self._count,
            label=label or f"study-{self._count}",
            folder=self._root / identifier,
            options=options,
            covariates=covariates,
        )
        study.upload.mkdir(parents=True)
        self._held[identifier] = study
        return study

    async def receive(self, study: Study, name: str, modality: str, parts: Any) -> None:
        """Write one file that arrives in ``parts``.

        Raises:
            CaseError: its name or size breaks a rule.
        """
        if study.state != "uploading":
            raise CaseError("started", "the prediction was started already", "send the files as another study")
        if study.files >= self.limits.files:
            raise CaseError("too-many-files", f"more than {self.limits.files} files", "give the series needed alone")
        path, before = place_below(study.upload, name), study.received
        try:
            with path.open("wb") as file:
                async for part in parts:
                    study.received += len(part)
                    if study.received > self.limits.bytes:
                        raise too_large(self.limits)
                    file.write(part)
        except BaseException as problem:
            path.unlink(missing_ok=True)
            study.received = before
            if isinstance(problem, OSError):
                raise CaseError("no-space", f"the file could not be kept: {problem.strerror}", "free space") from None
            raise
        study.files += 1
        if modality:
            study.images[modality] = path
        study.touched = time.monotonic()

    def start(self, study: Study) -> None:
        """Queue the prediction.

        Raises:
            CaseError: nothing was sent, or it was started already.
        """
        if study.state != "uploading":
            raise CaseError("started", "the prediction was started already", "look at its page")
        if not study.files:
            raise CaseError("no-files", "no file was sent", "send a study first")
        study.state = "waiting"
        self._waiting.put_nowait(study)

    def ahead(self, study: Study) -> int:
        """How many studies are predicted before this one."""
        return sum(other.state in ("waiting", "running") and other.number < study.number for other in self)

    def delete(self, study: Study) -> None:
        """Remove the study and its files; one that is being predicted goes when that has ended."""
        self._held.pop(study.id, None)
        if study.state != "running":
            shutil.rmtree(study.folder, ignore_errors=True)

    async def work(self) -> None:
        """Predict what waits, one after the other, for ever."""
        while True:
            study = await self._waiting.get()
            if study.id in self._held:
                await self._predict(study)

    async def _predict(self, study: Study) -> None:
        study.state = "running"
        begun = time.monotonic()
        request = Request(
            id=study.label,
            upload=study.upload,
            out=study.folder / "out",
            options=study.options,
            covariates=study.covariates,
            images=study.images,
            limits=self.limits,
        )
        done = await asyncio.to_thread(self._worker.run, request, self._timeout_s)
        shutil.rmtree(study.upload, ignore_errors=True)
        study.failure = {} if done else self._failure(study)
        study.state, study.touched = ("done" if done else "failed"), time.monotonic()
        if study.id not in self._held:
            shutil.rmtree(study.folder, ignore_errors=True)
        how = "done" if done else f"failed ({study.failure['rule']})"
        self._say(f"study {study.number}: {how} in {time.monotonic() - begun:.1f} s")

    def _failure(self, study: Study) -> dict[str, str]:
        """Why it failed, without the folders of this machine."""
        text = (study.folder / "out" / FAILED / f"{study.label}.json").read_text()
        for folder in (study.upload, study.folder):
            text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), "the study")
        found: dict[str, str] = json.loads(text)
        return found

    async def expire(self, every_s: float = 20) -> None:
        """Remove studies that nobody touched for long, for ever."""
        while True:
            await asyncio.sleep(every_s)
            for study in self:
                if study.state not in ("waiting", "running") and time.monotonic() - study.touched > self._keep_s:
                    self.delete(study)
                    self._say(f"study {study.number}: removed")

    def close(self) -> None:
        """End the worker and remove all files."""
        self._worker.stop()
        shutil.rmtree(self._root, ignore_errors=True)
