"""What a sender says about a study: a label, options and clinical values, checked before any file is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from branchpoint.datasets.clinical_texts import ordinal
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.prediction.cases import Case, check_ids
from branchpoint.deploy.prediction.options import PredictOptions, settings_of

_LONGEST_LABEL = 80


@dataclass(frozen=True)
class About:
    """What is known of a study beside its files.

    Attributes:
        label: on the page; empty for a number.
        options: of ``branchpoint predict``.
        covariates: clinical values as they were given; ``None`` where missing.
    """

    label: str
    options: PredictOptions
    covariates: dict[str, str | None]


def read_about(given: Mapping[str, Any], bundle: Bundle, device: str) -> About:
    """From the plain values of the page's form.

    Raises:
        ValueError: a value is wrong; the message names it.
    """
    label = str(given.get("label") or "").strip()
    if len(label) > _LONGEST_LABEL or not (label or "x").isprintable():
        raise ValueError(f"the label has more than {_LONGEST_LABEL} characters, or ones that cannot be printed")
    check_ids([Case(id=label or "study")])
    options = predict_options(given.get("options") or {}, device)
    settings_of(bundle, options)
    covariates = {str(name): str(value).strip() or None for name, value in (given.get("covariates") or {}).items()}
    known = {one["name"] for one in bundle.preprocessing["covariates"]}
    for name, value in covariates.items():
        if name not in known or (value is not None and math.isnan(ordinal(value))):
            raise ValueError(f"{name} is {value!r}: give a number, a stage, or leave it empty")
    return About(label, options, covariates)


def predict_options(given: Mapping[str, Any], device: str) -> PredictOptions:
    """Options of ``branchpoint predict``: those that the page offers, and the others as they are there."""
    text = {name: str(given.get(name) or "").strip() for name in ("center", "locate", "series", "weight_kg")}
    return PredictOptions(
        locate=text["locate"],
        center=text["center"],
        series=[part.strip() for part in text["series"].split(",") if part.strip()],
        weight_kg=float(text["weight_kg"]) if text["weight_kg"] else None,
        device=device,
    )
