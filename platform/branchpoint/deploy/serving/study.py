"""One study that the server holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from branchpoint.deploy.prediction.options import PredictOptions

State = Literal["uploading", "waiting", "running", "done", "failed"]


@dataclass(kw_only=True)
class Study:
    """What was sent for one patient, and what came of it.

    Attributes:
        id: secret enough not to be guessed; part of its address.
        number: for the log, which has no names.
        label: what the sender calls it; name of the case.
        folder: of its files and results; nothing else is in it.
        options, covariates: as in :class:`Request`.
        images: modality to file, where the sender said which is which.
        state: where it is.
        received, files: bytes and files so far.
        touched: when something last happened, in seconds of the monotonic clock.
        failure: rule, what was found, what to do; of a failed study.
    """

    id: str
    number: int
    label: str
    folder: Path
    options: PredictOptions = field(default_factory=PredictOptions)
    covariates: Mapping[str, str | None] = field(default_factory=dict)
    images: dict[str, Path] = field(default_factory=dict)
    state: State = "uploading"
    received: int = 0
    files: int = 0
    touched: float = field(default_factory=time.monotonic)
    failure: Mapping[str, str] = field(default_factory=dict)

    @property
    def upload(self) -> Path:
        """Folder of what was sent; gone once it was predicted."""
        return self.folder / "upload"

    @property
    def results(self) -> Path:
        """Folder of the results."""
        return self.folder / "out" / self.label

    def result_files(self) -> dict[str, Path]:
        """Name to path of each result."""
        found = self.results.iterdir() if self.state == "done" and self.results.is_dir() else ()
        return {path.name: path for path in sorted(found) if path.is_file()}
