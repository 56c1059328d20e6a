"""Survival: one log-hazard per sample, Cox partial likelihood, concordance index."""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from branchpoint.config import SurvivalConfig
from branchpoint.tasks.base import Summary, Task, select

Array = TypeVar("Array", np.ndarray, Tensor)
TIED_LOG_HAZARDS = 1e-8
"""Log-hazards this close count as tied, as in scikit-survival."""


def cox_loss(
    log_hazard: Tensor,
    time_days: Tensor,
    event: Tensor,
    labelled: Tensor | None = None,
    *,
    ties: Literal["breslow", "efron"] = "breslow",
) -> Tensor:
    """Negative Cox partial log-likelihood, the mean over events (Andrearczyk et al. 2021, eq. 2).

    The risk set of an event at T holds every labelled sample whose time is at least T, itself included. Breslow
    leaves tied events in each other's risk sets whole, as the paper does; Efron (1977) weights the r-th of m tied
    events' hazards by 1 - r/m. Both are one log-sum-exp for each event, so no hazard is ever exponentiated by
    itself: the loss and its gradient stay finite for log-hazards of any finite size. Memory is O(B^2).

    A batch without events gives zero that hangs on the graph, with zero gradients: distributed workers that wait
    for gradients do not hang. R's ``coxph`` reports the sum, that is minus this loss times the number of events.

    Args:
        log_hazard: (B,), float of any precision; half precision is computed in float32.
        time_days: (B,), time to event or censoring.
        event: (B,), 1 or True where the event happened, 0 where censored.
        labelled: bool (B,); the others count neither as events nor as at risk. ``None``: all.
        ties: how events at the same time are treated.

    Raises:
        ValueError: the shapes differ, or ``ties`` is unknown.
    """
    if log_hazard.ndim != 1 or not log_hazard.shape == time_days.shape == event.shape:
        shapes = f"{tuple(log_hazard.shape)}, {tuple(time_days.shape)} and {tuple(event.shape)}"
        raise ValueError(f"log_hazard, time_days and event have shapes {shapes}: give three of shape (B,)")
    if ties not in ("breslow", "efron"):
        raise ValueError(f"ties is {ties!r}: give 'breslow' or 'efron'")
    if log_hazard.dtype != torch.float64:
        log_hazard = log_hazard.float()
    known = torch.ones_like(event, dtype=torch.bool) if labelled is None else labelled
    died = event.bool() & known
    at_risk = (time_days[None, :] >= time_days[:, None]) & known[None, :]
    terms = log_hazard.expand(len(log_hazard), -1)
    if ties == "efron":
        terms = terms + _efron_log_weights(time_days, died)
    # Rows without an event are not used: constants there keep their gradient zero rather than NaN.
    terms = terms.masked_fill(~at_risk, -torch.inf).masked_fill(~died[:, None], 0.0)
    log_likelihood = torch.where(died, log_hazard - terms.logsumexp(dim=1), 0.0)
    return -log_likelihood.sum() / died.sum().clamp(min=1)


def _efron_log_weights(time_days: Tensor, died: Tensor) -> Tensor:
    """(B, B): log(1 - r/m) where column j is one of the m events tied with event i, the r-th of them; else 0."""
    tied = (time_days[None, :] == time_days[:, None]) & died[:, None] & died[None, :]
    rank = tied.tril(diagonal=-1).sum(dim=1)
    fraction = rank / tied.sum(dim=1).clamp(min=1)
    return torch.where(tied, torch.log1p(-fraction)[:, None], 0.0)


def ranking_loss(log_hazard: Tensor, time_days: Tensor, event: Tensor, labelled: Tensor | None = None) -> Tensor:
    """Mean over comparable pairs of -log2 sigmoid(h_i - h_j), where i had the event before j's time.

    One minus the lower bound of the C-index of Steck et al. 2007 ("On ranking in survival analysis: bounds on the
    concordance index"): 1 - C is at most this loss. Pairs are those of :func:`comparable_pairs`. Without one, it is a
    zero that hangs on the graph. Memory is O(B^2).

    Args:
        log_hazard: (B,), float of any precision; half precision is computed in float32.
        time_days: (B,), time to event or censoring.
        event: (B,), 1 or True where the event happened, 0 where censored.
        labelled: bool (B,); the others are in no pair. ``None``: all.
    """
    if log_hazard.dtype != torch.float64:
        log_hazard = log_hazard.float()
    known = torch.ones_like(event, dtype=torch.bool) if labelled is None else labelled
    died = event.bool() & known
    pairs = _comparable(time_days, died) & known[None, :]
    losses = -functional.logsigmoid(log_hazard[:, None] - log_hazard[None, :]) / math.log(2)
    return torch.where(pairs, losses, 0.0).sum() / pairs.sum().clamp(min=1)


def comparable_pairs(time_days: np.ndarray, event: np.ndarray, fold: np.ndarray | None = None) -> np.ndarray:
    """bool (N, N): sample i had the event before j's time, or at the time at which j was censored.

    Two events at the same time are not comparable. Where ``fold`` (N,) is given, pairs across folds are not either:
    their log-hazards come from different models, each with a baseline of its own.
    """
    pairs = _comparable(time_days, event.astype(bool))
    return pairs if fold is None else pairs & (fold[:, None] == fold[None, :])


def _comparable(time_days: Array, died: Array) -> Array:
    """As :func:`comparable_pairs`, of bool (N,) ``died``, in NumPy and in torch."""
    earlier = time_days[:, None] < time_days[None, :]
    tied = time_days[:, None] == time_days[None, :]
    return died[:, None] & (earlier | (tied & ~died[None, :]))


def concordant_pairs(log_hazard: np.ndarray) -> np.ndarray:
    """float (N, N): 1 where i has the higher log-hazard than j, 0.5 where they tie, else 0."""
    difference = log_hazard[:, None].astype(np.float64) - log_hazard[None, :]
    return np.where(np.abs(difference) <= TIED_LOG_HAZARDS, 0.5, (difference > 0).astype(np.float64))


def concordance_index(
    log_hazard: np.ndarray, time_days: np.ndarray, event: np.ndarray, fold: np.ndarray | None = None
) -> float:
    """Harrell's C-index: the share of comparable pairs in which the earlier event has the higher log-hazard.

    Tied log-hazards count one half. For finite log-hazards this is also the HECKTOR challenge's score. Counted by
    scikit-survival where it is installed, else (a machine with torch alone) from the pair matrices.

    Args:
        log_hazard: (N,), high risk is high.
        time_days: (N,).
        event: (N,), 0 or 1.
        fold: (N,), where samples of several folds are pooled: see :func:`comparable_pairs`.

    Returns:
        NaN where there is no comparable pair, or a log-hazard is not finite.
    """
    if not np.isfinite(log_hazard).all():
        return float("nan")
    folds = [np.arange(len(event))] if fold is None else [np.flatnonzero(fold == value) for value in np.unique(fold)]
    counts = [_count_pairs(log_hazard[rows], time_days[rows], event[rows].astype(bool)) for rows in folds]
    concordant, comparable = np.sum(counts, axis=0) if counts else (0.0, 0.0)
    return float(concordant / comparable) if comparable else float("nan")


def _count_pairs(log_hazard: np.ndarray, time_days: np.ndarray, event: np.ndarray) -> tuple[float, float]:
    comparable = comparable_pairs(time_days, event)
    if not comparable.any():
        return 0.0, 0.0
    try:
        from sksurv.metrics import concordance_index_censored
    except ImportError:
        return float((comparable * concordant_pairs(log_hazard)).sum()), float(comparable.sum())
    _, concordant, discordant, tied, _ = concordance_index_censored(
        event, time_days, log_hazard.astype(np.float64), tied_tol=TIED_LOG_HAZARDS
    )
    return float(concordant + 0.5 * tied), float(concordant + discordant + tied)


class SurvivalTask(Task):
    """Time to an event, right-censored; the head gives one log-hazard.

    Metrics: ``c_index``, and ``n_events`` among the labelled samples (how much the C-index rests on).
    """

    config_class = SurvivalConfig
    config: SurvivalConfig
    outputs = 1
    primary_metric = "c_index"
    chance = 0.5

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """:func:`cox_loss` or :func:`ranking_loss` of logits (B, 1) and target (B, 2), time in days and event."""
        if self.config.loss == "ranking":
            return ranking_loss(logits[:, 0], target[:, 0], target[:, 1], labelled)
        return cox_loss(logits[:, 0], target[:, 0], target[:, 1], labelled, ties=self.config.ties)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """``log_hazard``, ``time_days``, ``event`` and ``labelled``, each (B,)."""
        return {
            "log_hazard": logits[:, 0].float(),
            "time_days": target[:, 0],
            "event": target[:, 1] > 0.5,
            "labelled": labelled,
        }

    def metrics(self, summary: Summary) -> dict[str, float]:
        """``c_index`` and ``n_events``; pairs within a fold alone where the summary has ``fold``."""
        known = select(summary, summary["labelled"])
        c_index = concordance_index(known["log_hazard"], known["time_days"], known["event"], known.get("fold"))
        return {"c_index": c_index, "n_events": float(known["event"].sum())}

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """``c_index`` of each resample: two (R, N) x (N, N) products with the pair matrices of all samples."""
        labelled, log_hazard = summary["labelled"], summary["log_hazard"]
        if not np.isfinite(log_hazard[labelled]).all():
            return {"c_index": np.full(len(counts), np.nan)}
        comparable = comparable_pairs(summary["time_days"], summary["event"], summary.get("fold"))
        concordant = concordant_pairs(np.where(labelled, log_hazard, 0.0))
        weights = counts.astype(np.float64) * labelled
        with np.errstate(invalid="ignore", divide="ignore"):
            pairs = ((weights @ comparable) * weights).sum(1)
            return {"c_index": ((weights @ (comparable * concordant)) * weights).sum(1) / pairs}
