"""Names of metrics as people say them: ``tumour/hd95`` is stored, "tumour: 95 % Hausdorff distance (mm)" is shown."""

from __future__ import annotations

METRICS = {
    "auc": "AUC",
    "auc_2y": "AUC at two years",
    "brier": "Brier score",
    "brier_2y": "Brier score at two years",
    "brier_calibrated": "Brier score at the fitted temperature",
    "c_index": "C-index",
    "calibration_slope_2y": "calibration slope at two years",
    "d_calibration_p": "p of D-calibration",
    "dice": "Dice",
    "dice_aggregated": "Dice of all samples together",
    "ece": "expected calibration error",
    "ece_calibrated": "expected calibration error at the fitted temperature",
    "explained": "share of variance explained",
    "hd95": "95 % Hausdorff distance (mm)",
    "ibs": "integrated Brier score",
    "ibs_kaplan_meier": "integrated Brier score of Kaplan-Meier",
    "ipa_2y": "index of prediction accuracy at two years",
    "ji": "Jaccard index",
    "ji_aggregated": "Jaccard index of all samples together",
    "kappa": "quadratic kappa",
    "likelihood_ratio_p": "p of the likelihood-ratio test",
    "mae": "mean absolute error",
    "miou": "mean IoU",
    "miou_aggregated": "mean IoU of all samples together",
    "mse": "mean squared error",
    "n": "labelled samples",
    "n_empty": "samples without a mask",
    "n_events": "events",
    "one_calibration_p_2y": "p of calibration at two years",
    "pr_auc": "area under the precision-recall curve",
    "r2": "R²",
    "rmse": "root mean squared error",
    "sensitivity_at_specificity_90": "sensitivity at a specificity of 90 % on validation",
    "specificity_reached": "specificity of that threshold",
    "surface_dice": "surface Dice",
    "uno_c": "Uno's C",
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
