"""Options as they are typed, checked against the bundle, as :class:`Settings`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.prediction.inputs import Reading
from branchpoint.deploy.prediction.mirrored import mirrored_copies
from branchpoint.deploy.prediction.settings import BASELINES, METHODS, Explaining, Settings


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """Options of ``branchpoint predict``, by their names and with their texts there."""

    grid: str = ""
    locate: str = ""
    center: str = ""
    series: Sequence[str] | None = None
    weight_kg: float | None = None
    folds: str = ""
    probabilities: bool = False
    dicom_seg: bool = False
    tta: bool = False
    identify: bool = False
    no_page: bool = False
    device: str = "auto"


def settings_of(bundle: Bundle, given: PredictOptions, explaining: Explaining | None = None) -> Settings:
    """Settings from options.

    Args:
        bundle: opened.
        given: as typed.
        explaining: what is explained too.

    Raises:
        ValueError: an option has no such value; the message names the option.
    """
    modalities = bundle.preparation.modalities
    if given.grid not in ("", "each", *modalities):
        raise ValueError(f"--grid is {given.grid!r}: give {', '.join(modalities)} or each")
    if given.locate not in ("", "tiles"):
        raise ValueError(f"--locate is {given.locate!r}: the only way is tiles")
    settings = Settings(
        folds=tuple(int(part) for part in given.folds.split(",") if part.strip()) or None,
        grid=given.grid,
        center_mm=_center(given.center),
        locate="tiles" if given.locate else "",
        reading=Reading(series=_series(given.series or [], modalities), weight_kg=given.weight_kg),
        probabilities=given.probabilities,
        dicom_seg=given.dicom_seg,
        page=not given.no_page,
        mirrored=_mirrored(bundle) if given.tta else (),
        identify=given.identify,
        device=_device(given.device),
        explaining=explaining,
    )
    bundle.chosen(settings.folds)
    return settings


def explaining_of(
    bundle: Bundle, *, methods: Sequence[str], tasks: Sequence[str], label: str, baseline: str, grid: str
) -> Explaining:
    """What is to be explained, from the options of ``branchpoint explain``; no methods or tasks are all of them.

    Raises:
        ValueError: an option has no such value; the message names the option.
    """
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"--method is {method!r}: give {', '.join(METHODS)}")
    names = [task.name for task in bundle.tasks]
    for name in tasks:
        if name not in names:
            raise ValueError(f"--task is {name!r}: the bundle predicts {', '.join(names)}")
    labels = [label for task in bundle.tasks if not tasks or task.name in tasks for label in task.labels]
    if label and label not in labels:
        raise ValueError(f"--label is {label!r}: these tasks have {', '.join(labels) or 'no labels'}")
    if baseline not in BASELINES:
        raise ValueError(f"--baseline is {baseline!r}: give {', '.join(BASELINES)}")
    return Explaining(
        methods=tuple(methods) or METHODS,
        tasks=tuple(tasks),
        label=label,
        baseline=baseline,
        grid="" if grid == "each" else grid,
    )


def _mirrored(bundle: Bundle) -> tuple[tuple[int, ...], ...]:
    labels = [label for task in bundle.tasks for label in (task.name, *task.labels)]
    return tuple(mirrored_copies(bundle.config(bundle.networks[0]).training.augmentation, labels))


def _center(text: str) -> tuple[float, float, float] | None:
    if not text:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--center is {text!r}: give x,y,z in millimetres") from None
    return x, y, z


def _series(given: Sequence[str], modalities: Sequence[str]) -> dict[str, str]:
    chosen = {}
    for text in given:
        modality, _, name = text.partition("=")
        if modality not in modalities or not name:
            raise ValueError(f"--series is {text!r}: give MODALITY=UID with one of {', '.join(modalities)}")
        chosen[modality] = name
    return chosen


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device is {name!r}: this machine has no GPU that torch can use; give cpu")
    return str(torch.device(name))
