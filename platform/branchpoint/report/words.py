"""Names of metrics as people say them: ``tumour/hd95`` is stored, "tumour: 95 % Hausdorff distance (mm)" is shown."""

from __future__ import annotations

METRICS = {
    "auc": "AUC",
    "brier": "Brier score",
    "c_index": "C-index",
    "dice": "Dice",
    "dice_aggregated": "Dice of all samples together",
    "ece": "expected calibration error",
    "explained": "share of variance explained",
    "hd95": "95 % Hausdorff distance (mm)",
    "ji": "Jaccard index",
    "ji_aggregated": "Jaccard index of all samples together",
    "kappa": "quadratic kappa",
    "mae": "mean absolute error",
    "miou": "mean IoU",
    "miou_aggregated": "mean IoU of all samples together",
    "mse": "mean squared error",
    "n": "labelled samples",
    "n_empty": "samples without a mask",
    "n_events": "events",
    "r2": "R²",
    "rmse": "root mean squared error",
    "surface_dice": "surface Dice",
}
"""Stored name of a metric to its name for readers. Other names are shown with spaces for underscores."""

_PARTS = {"train": "training", "validation": "validation", "test": "test"}


def metric_name(stored: str) -> str:
    """The name for readers of a stored metric: of a task, of a part of the data, or of both.

    Example:
        >>> metric_name("tumour/dice")
        'tumour: Dice'
        >>> metric_name("validation/survival/c_index")
        'survival: C-index (validation)'
        >>> metric_name("validation/score")
        'score (validation)'
    """
    first, *rest = stored.split("/")
    if not rest:
        return _word(first)
    if first in _PARTS:
        return f"{metric_name('/'.join(rest))} ({_PARTS[first]})"
    return f"{first}: {' '.join(map(_word, rest))}"


def _word(name: str) -> str:
    return METRICS.get(name, name.replace("_", " "))
