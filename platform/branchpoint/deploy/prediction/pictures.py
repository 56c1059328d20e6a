"""Pictures of a prediction for the page: three planes of each modality with the outline, as PNG in a data URI."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from branchpoint.datasets.cohort import IGNORED

EDGE_PIXELS = 320
"""Longer edge of a plane on the page."""
COLOURS = ((255, 92, 57), (64, 196, 255), (255, 214, 10), (124, 252, 0), (255, 105, 250), (0, 230, 170))
"""Of the outlines of classes 1, 2, ...; they come again after the last."""
DASH = 6
"""Pixels of a dash of a true outline."""
TRUTH = (0, 200, 83)
"""Of the true outline of a single class; those of several are pale."""
_CT_HU = (-160.0, 240.0)
_PET_SUV = (0.0, 10.0)
_SHOWN = {"CT": "-160 to 240 HU", "PET": "SUV 0 to 10, dark is high"}
AXES = ("axial", "coronal", "sagittal")
SIDES = (("R", "L", "A", "P"), ("R", "L", "H", "F"), ("A", "P", "H", "F"))
"""Of an axial, a coronal and a sagittal plane: the patient's side at the left, right, top and bottom edge."""


def drawn_planes(
    image: np.ndarray,
    classes: np.ndarray,
    modality: str,
    low_high: tuple[float, float] | None,
    truth: np.ndarray | None = None,
) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Axial, coronal and sagittal plane through the largest cut of the foreground (or the middle).

    Args:
        image: (D, H, W) or (H, W[, 3]) in the modality's own units, on the prepared grid.
        classes: uint8 class ids on the same grid.
        modality: CT has a soft-tissue window, PET goes from SUV 0 to 10 in inverse grey.
        low_high: grey scale of other modalities; ``None``: from the 1st to the 99th percentile.
        truth: true class ids, which choose the planes where they are known and have foreground.

    Returns:
        Pixels uint8 (H, W, 3) of each plane, and what is known of it.
    """
    low, high = grey_scale(image, modality, low_high)
    if classes.ndim == 2:
        return [(_outlined(grey_plane(image, low, high, invert=False), classes, truth), {"name": modality})]
    found = []
    chooses = truth if truth is not None and truth.any() else classes
    shown = _SHOWN.get(modality, f"grey from {low:.4g} to {high:.4g}")
    for axis, name in enumerate(AXES):
        place = _best_plane(chooses, axis)
        grey = grey_plane(image.take(place, axis), low, high, invert=modality == "PET")
        ids, true = classes.take(place, axis), None if truth is None else truth.take(place, axis)
        if axis:  # head upwards
            grey, ids, true = grey[::-1], ids[::-1], None if true is None else true[::-1]
        view = {"name": f"{modality}, {name}", "shown": shown, "sides": SIDES[axis]}
        found.append((_outlined(grey, ids, true), view))
    return found


def in_own_units(
    stored: np.ndarray, scale: np.ndarray, offset: np.ndarray, preparation: Any
) -> dict[str, tuple[np.ndarray, tuple[float, float] | None]]:
    """Modality to its image in its own units, (D, H, W) or (H, W[, 3]), and its grey scale as of :func:`drawn_planes`.

    Args:
        stored: (C, [D,] H, W) as the cache keeps it; uint8 of pictures is shown as it is.
        scale: (C,), what a stored value of 1 is.
        offset: (C,), what a stored value of 0 is.
        preparation: names modalities and their channels.
    """
    found: dict[str, tuple[np.ndarray, tuple[float, float] | None]] = {}
    first = 0
    for modality, count in zip(preparation.modalities, preparation.channels, strict=True):
        channels = slice(first, first + count)
        first += count
        image: np.ndarray = stored[channels].astype(np.float32)
        grey = None
        if stored.dtype == np.uint8:
            image, grey = image / 255, (0.0, 1.0)
        else:
            shape = (-1, *[1] * (image.ndim - 1))
            image = image * scale[channels].reshape(shape) + offset[channels].reshape(shape)
        found[modality] = image[0] if count == 1 else image.transpose(1, 2, 0), grey
    return found


def grey_scale(image: np.ndarray, modality: str, low_high: tuple[float, float] | None) -> tuple[float, float]:
    """What is black and what is white, as :func:`planes` says."""
    low, high = {"CT": _CT_HU, "PET": _PET_SUV}.get(modality) or low_high or tuple(np.percentile(image, (1, 99)))
    return float(low), float(high)


def _best_plane(classes: np.ndarray, axis: int) -> int:
    counts = (classes > 0).sum(axis=tuple(other for other in range(3) if other != axis))
    return int(counts.argmax()) if counts.any() else classes.shape[axis] // 2


def grey_plane(plane: np.ndarray, low: float, high: float, *, invert: bool) -> np.ndarray:
    """uint8 (H, W, 3)."""
    scaled = np.clip((plane.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1) * 255
    grey = (255 - scaled if invert else scaled).astype(np.uint8)
    return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)


def _outlined(colour: np.ndarray, ids: np.ndarray, truth: np.ndarray | None) -> np.ndarray:
    """Outlines of the classes; beside a truth they are thicker, and those of the truth dashed, green of a single class.

    The truth lies on top, so that both are seen where they agree.
    """
    pixels, zoom = enlarged(colour)
    rows, columns = np.indices(pixels.shape[:2])
    dashes = (rows + columns) // DASH % 2 == 0
    single = max(int(masks[masks != IGNORED].max(initial=0)) for masks in (ids, truth) if masks is not None) < 2
    for masks, true in ((ids, False), (truth, True)):
        if masks is None:
            continue
        large = masks.repeat(zoom, axis=0).repeat(zoom, axis=1)
        for number in np.unique(large[(large > 0) & (large != IGNORED)]):
            edge = outline(large == number)
            if truth is not None:
                edge |= outline((large == number) & ~edge)
            colour_of = np.array(COLOURS[(int(number) - 1) % len(COLOURS)])
            if true:
                colour_of = np.array(TRUTH) if single else (colour_of + 2 * 255) // 3
            pixels[edge & dashes if true else edge] = colour_of
    return pixels


def enlarged(colour: np.ndarray) -> tuple[np.ndarray, int]:
    """uint8 (H, W, 3) as large as a plane on the page, and how many times larger it became."""
    from PIL import Image

    zoom = max(1, EDGE_PIXELS // max(colour.shape[:2]))
    size = (colour.shape[1] * zoom, colour.shape[0] * zoom)
    return np.array(Image.fromarray(np.ascontiguousarray(colour)).resize(size, Image.Resampling.BILINEAR)), zoom


def png_uri(pixels: np.ndarray) -> str:
    """uint8 (H, W, 3) as PNG in a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def outline(mask: np.ndarray) -> np.ndarray:
    """bool (H, W): pixels of ``mask`` with a neighbour outside it, beyond the edge included."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def histogram_svg(values: Sequence[float], mark: float, width: int = 320, height: int = 120) -> str:
    """Histogram of held-out patients' z with a line where the patient stands, as SVG."""
    counts, edges = np.histogram(values, bins=min(20, max(5, len(values) // 3)))
    left, right = min(edges[0], mark), max(edges[-1], mark)
    span = (right - left) or 1.0

    def x(value: float) -> float:
        return 8 + (value - left) / span * (width - 16)

    bars = "".join(
        f'<rect x="{x(a):.1f}" y="{height - 20 - c / max(counts.max(), 1) * (height - 40):.1f}" '
        f'width="{max(x(b) - x(a) - 1, 1):.1f}" height="{c / max(counts.max(), 1) * (height - 40):.1f}" class="bar"/>'
        for c, a, b in zip(counts, edges, edges[1:], strict=False)
    )
    label = f'<text x="{min(max(x(mark), 40), width - 40):.1f}" y="12" text-anchor="middle">this patient</text>'
    line = f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="16" y2="{height - 20}" class="mark"/>'
    axis = f'<line x1="8" x2="{width - 8}" y1="{height - 20}" y2="{height - 20}" class="axis"/>'
    what = f"risk (z) of {len(values)} held-out patients"
    below = f'<text x="{width / 2}" y="{height - 5}" text-anchor="middle">{what}</text>'
    return f'<svg viewBox="0 0 {width} {height}" role="img">{bars}{axis}{line}{label}{below}</svg>'


def kaplan_meier_svg(
    curves: dict[str, Any], group: str, patient: Sequence[tuple[float, float]] = (), width: int = 360, height: int = 220
) -> str:
    """Survival of the risk groups with numbers at risk each year, as SVG; the patient's group is drawn stronger.

    Args:
        curves: of the groups.
        group: the patient's.
        patient: (days, probability) of this patient, drawn as dots.
        width: in pixels.
        height: in pixels.
    """
    last = max((curve["times_days"][-1] for curve in curves.values()), default=365.25)
    years = last / 365.25
    bottom = height - 62

    def point(days: float, survival: float) -> str:
        return f"{34 + days / last * (width - 48):.1f},{8 + (1 - survival) * (bottom - 8):.1f}"

    parts = [f'<line x1="34" x2="{width - 14}" y1="{bottom}" y2="{bottom}" class="axis"/>']
    parts += [
        f'<text x="30" y="{12 + (1 - tick) * (bottom - 8):.1f}" text-anchor="end">{tick:.0%}</text>'
        for tick in (0, 0.5, 1)
    ]
    ticks = range(0, int(years) + 1, max(1, int(years) // 5))
    parts += [
        f'<text x="{34 + year * 365.25 / last * (width - 48):.1f}" y="{bottom + 12}" text-anchor="middle">{year}</text>'
        for year in ticks
    ]
    for row, (name, curve) in enumerate(curves.items()):
        steps = [point(0, 1)]
        before = 1.0
        for days, survival in zip(curve["times_days"], curve["survival"], strict=True):
            steps += [point(days, before), point(days, survival)]
            before = survival
        chosen = " chosen" if group.startswith(name) else ""
        parts.append(f'<polyline points="{" ".join(steps)}" class="km {name}{chosen}"/>')
        y = bottom + 28 + 13 * row
        parts.append(f'<text x="2" y="{y}" class="{name}">{name}</text>')
        for year in ticks:
            at_risk = _at_risk(curve, year * 365.25)
            x = 34 + year * 365.25 / last * (width - 48)
            parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{at_risk}</text>')
    for days, survival in patient:
        if days <= last:
            across, down = point(days, survival).split(",")
            parts.append(f'<circle cx="{across}" cy="{down}" r="4" class="dot"/>')
    what = "years, with numbers at risk" + ("; dots: this patient" if patient else "")
    parts.append(f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle">{what}</text>')
    return f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def _at_risk(curve: dict[str, Any], days: float) -> int:
    place = int(np.searchsorted(curve["times_days"], days, "left"))
    return int(curve["at_risk"][place]) if place < len(curve["at_risk"]) else 0
