"""The page of one case: a single HTML file that needs no network, for people to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.reference import HORIZONS_DAYS
from branchpoint.deploy.prediction.heat import heat_planes
from branchpoint.deploy.prediction.pictures import (
    COLOURS,
    drawn_planes,
    histogram_svg,
    in_own_units,
    kaplan_meier_svg,
    png_uri,
)
from branchpoint.deploy.prediction.settings import Predicted

MOST_BYTES = 5 * 2**20


def write_page(predicted: Predicted, bundle: Bundle, path: Path) -> None:
    """Write the page.

    Args:
        predicted: the case.
        bundle: that predicted it, for the reference distributions.
        path: the HTML file.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    result = predicted.result
    masks = {name: one for name, one in result["tasks"].items() if one["kind"] == "segmentation"}
    html = environment.get_template("page.html.jinja").render(
        result=result,
        masks=masks,
        values={name: one for name, one in result["tasks"].items() if name not in masks},
        views=_views(predicted, bundle, list(masks)),
        explained=_explained(predicted, bundle),
        drawings={name: _drawings(one, bundle.reference.get(name)) for name, one in result["tasks"].items()},
        colours=["#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS],
        study=bundle.name,
    )
    path.write_text(html, encoding="utf-8")


def _views(predicted: Predicted, bundle: Bundle, masks: list[str]) -> list[dict[str, Any]]:
    """Pictures of each modality with the outlines of each mask, on the prepared grid."""
    ids = np.zeros(predicted.prepared.image.shape[1:], np.uint8)
    return [
        {"uri": png_uri(pixels), **view}
        for modality, (shown, grey) in _shown(predicted, bundle).items()
        for task in masks or [""]
        for pixels, view in drawn_planes(shown, predicted.ensemble.get(task, ids), modality, grey)
    ]


def _shown(predicted: Predicted, bundle: Bundle) -> dict[str, tuple[np.ndarray, tuple[float, float] | None]]:
    """Modality to its image on the prepared grid in its own units, (D, H, W) or (H, W[, 3]), and its grey scale."""
    prepared, preparation = predicted.prepared, bundle.preparation
    return in_own_units(prepared.image, prepared.scale, prepared.offset, preparation)


def _explained(predicted: Predicted, bundle: Bundle) -> list[dict[str, Any]]:
    """Pictures of the maps that explain a prediction, over the image that they belong to (or the first)."""
    images = _shown(predicted, bundle) if predicted.maps else {}
    views = []
    for one in predicted.maps.values():
        modality = one.modality or next(iter(images))
        image, grey = images[modality]
        views += heat_planes(image, one.prepared, f"{one.title}, {modality}", modality, grey)
    return views


def _drawings(one: dict[str, Any], reference: Any) -> dict[str, str]:
    """Histogram and Kaplan-Meier curves of a survival task; nothing else has any."""
    if one["kind"] != "survival" or not reference or one.get("z") is None:
        return {}
    z = float(np.mean(list(one["z"].values())))
    drawn = {"histogram": histogram_svg(reference["out_of_fold"]["z"], z)}
    if reference["kaplan_meier"]:
        at = [(days, one["survival"][when]["value"]) for when, days in HORIZONS_DAYS.items()]
        known = [(days, value) for days, value in at if value is not None]
        drawn["kaplan_meier"] = kaplan_meier_svg(reference["kaplan_meier"], one["group"], known)
    if reference["log_rank_p"] is not None:
        drawn["log_rank"] = f"{reference['log_rank_p']:.2g}"
    return drawn
