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

MEANINGS = {
    "auc": "AUC: how often a case has a higher probability than a non-case; 0.5 is chance, 1 perfect.",
    "balanced_accuracy": "Balanced accuracy: the share of right answers, the mean over classes.",
    "brier": "Brier score: squared distance of the probability from the truth; 0 is perfect.",
    "c_index": (
        "C-index: of two patients, how often the one with the earlier event has the higher predicted risk; 0.5 is "
        "chance, 1 perfect."
    ),
    "calibration_slope_2y": "Calibration slope: 1 is right; below 1, predictions are too extreme.",
    "dice": "Dice: how far the predicted outline and the true one cover each other; 0 is not at all, 1 perfect.",
    "ece": "Expected calibration error: mean distance between predicted and observed shares; 0 is perfect.",
    "explained": "Share of variance explained: 0 is what the mean gets, 1 perfect.",
    "hd95": "95 % Hausdorff distance: all but 5 % of both outlines are no farther apart than this.",
    "ji": "Jaccard index: shared area of both outlines over their joint area; 1 is perfect.",
    "kappa": "Quadratic kappa: agreement beyond chance, where distant grades count more; 0 is chance, 1 perfect.",
    "pr_auc": "Area under the precision-recall curve: chance is the share of cases.",
    "surface_dice": "Surface Dice: the share of both outlines within 2 mm of the other.",
    "uno_c": "Uno's C: the C-index corrected for who left the study early.",
}
"""Stored name of a metric to what it means, for readers without statistics."""

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
