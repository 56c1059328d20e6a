"""Options of the command line, checked against the bundle, as :class:`Settings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.prediction.inputs import Reading
from branchpoint.deploy.prediction.settings import Settings


def settings_of(bundle: Bundle, given: Mapping[str, Any]) -> Settings:
    """Settings from the options of ``branchpoint predict``, by their names there.

    Raises:
        ValueError: an option has no such value; the message names the option.
    """
    modalities = bundle.preparation.modalities
    if given["grid"] not in ("", "each", *modalities):
        raise ValueError(f"--grid is {given['grid']!r}: give {', '.join(modalities)} or each")
    if given["locate"] not in ("", "tiles"):
        raise ValueError(f"--locate is {given['locate']!r}: the only way is tiles")
    settings = Settings(
        folds=tuple(int(part) for part in given["folds"].split(",") if part.strip()) or None,
        grid=given["grid"],
        center_mm=_center(given["center"]),
        locate=given["locate"],
        reading=Reading(series=_series(given["series"] or [], modalities), weight_kg=given["weight_kg"]),
        probabilities=given["probabilities"],
        dicom_seg=given["dicom_seg"],
        page=not given["no_page"],
        identify=given["identify"],
        device=_device(given["device"]),
    )
    bundle.chosen(settings.folds)
    return settings


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
