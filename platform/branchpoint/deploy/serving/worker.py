"""The process that predicts for the server: networks stay in memory, and a crash in a decoder ends it alone."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from branchpoint.datasets.preparation.image_files import is_picture, is_volume
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.dicom.instances import is_dicom_folder
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.cases import Case
from branchpoint.deploy.prediction.networks import Ensemble
from branchpoint.deploy.prediction.options import PredictOptions, settings_of
from branchpoint.deploy.prediction.output import write_failure
from branchpoint.deploy.prediction.runner import Predictor
from branchpoint.deploy.serving.uploads import Limits, check_sizes, unpack_archives


@dataclass(frozen=True, kw_only=True)
class Request:
    """One study to predict.

    Attributes:
        id: of the case.
        upload: folder of what was sent.
        out: folder of the results.
        options: of ``branchpoint predict``.
        covariates: clinical values by name.
        images: modality to file, where the sender said which is which.
        limits: on what the files hold.
    """

    id: str
    upload: Path
    out: Path
    options: PredictOptions = field(default_factory=PredictOptions)
    covariates: Mapping[str, str | None] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


class Worker:
    """Predicts one request at a time in a process of its own, which is started again after it died."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle
        self._process: Any = None
        self._pipe: Connection | None = None

    def run(self, request: Request, timeout_s: float) -> bool:
        """Predict; whether there is a result. Otherwise ``failed/<id>.json`` below ``request.out`` says why."""
        pipe = self._started()
        try:
            pipe.send(request)
            if pipe.poll(timeout_s):
                return bool(pipe.recv())
            problem = CaseError(
                "timeout", f"no result after {timeout_s / 60:.0f} min", "use branchpoint predict, which has no limit"
            )
        except (EOFError, OSError):
            problem = CaseError(
                "crashed", "the process that predicted ended", "a file is damaged, or the memory did not suffice"
            )
        self.stop()
        write_failure(request.id, problem, request.out)
        return False

    def stop(self) -> None:
        """End the process; the next request starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _started(self) -> Connection:
        if self._process is None or not self._process.is_alive() or self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(self._bundle, other), daemon=True)
            self._process.start()
            other.close()
        return self._pipe


def _serve(path: Path, pipe: Connection) -> None:
    """Answer requests until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends this process
    ensemble: Ensemble | None = None
    while True:
        try:
            request: Request = pipe.recv()
        except EOFError:
            return
        try:
            if ensemble is None:
                bundle = Bundle.open(path)
                settings = settings_of(bundle, request.options)
                ensemble = Ensemble(bundle, bundle.networks, settings.device)
            pipe.send(predict(request, ensemble))
        except Exception as problem:
            write_failure(request.id, problem, request.out)
            pipe.send(False)


def predict(request: Request, ensemble: Ensemble) -> bool:
    """Unpack, check and predict one study; whether there is a result."""
    unpack_archives(request.upload, request.limits)
    check_sizes(request.upload, request.limits)
    case = find_case(request, ensemble.bundle.preparation.modalities)
    settings = settings_of(ensemble.bundle, request.options)
    return Predictor(ensemble.bundle, request.out, settings, ensemble)(case).state != "failed"


def find_case(request: Request, modalities: tuple[str, ...]) -> Case:
    """The study among the files that were sent: DICOM, a picture, or an image for each modality.

    Raises:
        CaseError: the files are none of these, or it is open which is which.
    """
    case = Case(id=request.id, covariates=request.covariates, images=request.images)
    if request.images:
        return case
    if is_dicom_folder(request.upload):
        return replace(case, study=request.upload)
    files = [path for path in sorted(request.upload.rglob("*")) if is_volume(path) or is_picture(path)]
    if len(files) == 1 == len(modalities):
        return replace(case, images={modalities[0]: files[0]})
    images = {modality: [path for path in files if _names(path, modality)] for modality in modalities}
    if len(files) == len(modalities) and all(len(found) == 1 for found in images.values()):
        chosen = {modality: found[0] for modality, found in images.items()}
        if len(set(chosen.values())) == len(files):
            return replace(case, images=chosen)
    listed = ", ".join(path.name for path in files[:6]) or "no image"
    raise CaseError(
        "which-files",
        f"{len(files)} images were sent ({listed}), the bundle needs {', '.join(modalities)}",
        "send one study: a DICOM folder or .zip, or one file for each modality, in the field of its name",
    )


_OTHER_NAMES = {"PET": ("pet", "pt", "suv"), "CT": ("ct",), "MR": ("mr", "mri")}


def _names(path: Path, modality: str) -> bool:
    """Whether the file's name says that it is of ``modality``."""
    words = "".join(char if char.isalnum() else " " for char in path.name.lower()).split()
    return any(name in words for name in _OTHER_NAMES.get(modality.upper(), (modality.lower(),)))
