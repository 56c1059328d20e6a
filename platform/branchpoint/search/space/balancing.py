"""Parts of search spaces: how the losses or gradients of tasks that are learned together are combined."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from branchpoint.config import AnyTaskConfig, BalancingConfig, Config, NetworkConfig, balancing_config
from branchpoint.config.balancing import BALANCING_CONFIGS, GRADIENT_METHODS, LOSS_METHODS
from branchpoint.search.space.trial import Trial
from branchpoint.topology import Topology

KINDS = ("sum", "of losses", "of gradients")
NEEDS_NO_EXTRA = ("mgda", "nash_mtl", "excess_mtl")


def suggest_balancing(
    trial: Trial, base: Config, tasks: Sequence[AnyTaskConfig], network: NetworkConfig | None = None
) -> BalancingConfig:
    """How ``tasks`` are balanced: the plain sum, a weighting of losses, or a combination of gradients.

    Asked only where two or more tasks are trained and share something; else the base's.

    Parameters: ``balancing``, the kind of method, so that the plain sum is no rare choice among twenty;
    ``balancing_of_losses`` or ``balancing_of_gradients``, the method (of those whose packages are installed; dtp only
    where every metric lies in [0, 1]); the options of :func:`_suggest_options`.

    Args:
        network: that the tasks are learned by, where its topology varies; ``None``: the base's.
    """
    trained = [task.name for task in tasks if task.weight > 0]
    if len(trained) < 2 or not _share((network or base.network).topology, trained):
        return base.balancing
    kind = trial.suggest_categorical("balancing", KINDS)
    if kind == "sum":
        return balancing_config("sum")
    method: str = (
        trial.suggest_categorical("balancing_of_losses", loss_methods(base))
        if kind == "of losses"
        else trial.suggest_categorical(*gradient_methods())
    )
    return balancing_config(method, **_suggest_options(trial, method))


def loss_methods(base: Config) -> tuple[str, ...]:
    """Weightings of losses that suit the tasks of ``base``, without the plain sum."""
    bounded = all(task.bounded_metric for task in base.tasks)
    return tuple(
        method
        for method in LOSS_METHODS
        if method != "sum" and (bounded or not BALANCING_CONFIGS[method].needs_bounded_metrics)
    )


def gradient_methods() -> tuple[str, tuple[str, ...]]:
    """Name of the parameter, and the combinations of gradients that can be had here.

    With other packages the parameter is another one: a study's ranges must not change.
    """
    if find_spec("torchjd") is not None:
        return "balancing_of_gradients", GRADIENT_METHODS
    return "balancing_of_gradients_without_extra", NEEDS_NO_EXTRA


def _suggest_options(trial: Trial, method: str) -> dict[str, Any]:
    """Parameters: ``uncertainty_form``, ``stch_mu``, ``dwa_temperature``, ``gradnorm_alpha``, ``dtp_gamma``,
    ``famo_learning_rate``, ``cagrad_c``, ``aligned_mtl_scale``, ``fairgrad_alpha``, ``excess_mtl_step_size``, each with
    its method alone."""
    if method == "uncertainty":
        return {"form": trial.suggest_categorical("uncertainty_form", ["half", "full"])}
    if method == "stch":
        return {"mu": trial.suggest_float("stch_mu", 0.1, 2.0, log=True)}
    if method == "dwa":
        return {"temperature": trial.suggest_float("dwa_temperature", 0.5, 5.0, log=True)}
    if method == "gradnorm":
        return {"alpha": trial.suggest_float("gradnorm_alpha", 0.0, 3.0, step=0.5)}
    if method == "dtp":
        return {"gamma": trial.suggest_float("dtp_gamma", 0.5, 4.0, step=0.5)}
    if method == "famo":
        return {"learning_rate": trial.suggest_float("famo_learning_rate", 1e-3, 1e-1, log=True)}
    if method == "cagrad":
        return {"c": trial.suggest_float("cagrad_c", 0.1, 0.9, step=0.2)}
    if method == "aligned_mtl":
        return {"scale": trial.suggest_categorical("aligned_mtl_scale", ["min", "median", "rmse"])}
    if method == "fairgrad":
        return {"alpha": trial.suggest_float("fairgrad_alpha", 0.5, 8.0, log=True)}
    if method == "excess_mtl":
        return {"step_size": trial.suggest_float("excess_mtl_step_size", 1e-3, 1.0, log=True)}
    return {}


def _share(topology: Topology | None, trained: Sequence[str]) -> bool:
    """Whether a gradient of one of ``trained`` can reach what another one learns."""
    if topology is None:
        return True
    links = topology.exchanges or any(cascade.gradient for cascade in topology.cascades)
    return bool(links) or any(len(set(group) & set(trained)) > 1 for group in topology.encoder[0])
