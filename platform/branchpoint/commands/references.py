"""Which networks a study trains for comparison, and what share of its time they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from branchpoint.config import AnyTaskConfig, Config
from branchpoint.search.final import Finals
from branchpoint.search.finalists import Finalist
from branchpoint.search.space.extended import SpaceOfStudy
from branchpoint.search.space.parts import learned, main_tasks
from branchpoint.search.space.points import config_at
from branchpoint.search.study import Candidate
from branchpoint.store import Store

REFERENCES = ("none", "few", "all")
MOST_ALONE = 3


def reference_configs(space: SpaceOfStudy, base: Config, which: str) -> dict[str, Config]:
    """Label to Config of the networks that are trained on all folds beside the best found.

    Args:
        space: of the study.
        base: what all candidates share.
        which: ``all`` published configurations; ``few``: the network that shares everything, and tasks alone, at most
            three of them, those that count most first; ``none``.

    Raises:
        ValueError: ``which`` is none of these.
    """
    if which not in REFERENCES:
        raise ValueError(f"--references is {which!r}: must be one of {', '.join(REFERENCES)}")
    published = {label: config_at(space.space, base, point) for label, point in space.published(base).items()}
    if which == "all":
        return published
    if which == "none":
        return {}
    alone = {label: task.importance for label, config in published.items() if (task := _alone(config))}
    kept = sorted(alone, key=lambda label: -alone[label])[:MOST_ALONE]
    shared = [label for label, config in published.items() if _plain(config) and label not in alone][:1]
    return {label: config for label, config in published.items() if label in (*shared, *kept)}


def _plain(config: Config) -> bool:
    """Whether no auxiliary task is learned."""
    return not any(task.auxiliary for task in learned(config.tasks))


def _alone(config: Config) -> AnyTaskConfig | None:
    """The one task that ``config`` learns; ``None`` where it learns several."""
    trained = main_tasks(learned(config.tasks))
    return trained[0] if len(trained) == 1 and _plain(config) else None


def training_shares(store: Store, finals: Finals, candidates: Sequence[Candidate]) -> str:
    """How the time of training was spent, in words: on the search, on its finalists, and on networks for comparison.

    A network for comparison that the search found, too, counts as a finalist.
    """
    found = _run_names(replace(finals, published={}).finalists(candidates))
    compared = _run_names(finals.finalists([])) - found
    seconds = {"search": 0.0, "finalists": 0.0, "references": 0.0}
    for row in store.epochs(finals.study.name, columns=["seconds"]).to_pylist():
        name = row["trial"]
        part = "finalists" if name in found else "references" if name in compared else "search"
        seconds[part] += row["seconds"] or 0.0
    total = sum(seconds.values())
    shares = ", ".join(f"{part} {value / max(total, 1e-9):.0%}" for part, value in seconds.items())
    return f"training took {total:,.0f} s: {shares}"


def _run_names(finalists: Sequence[Finalist]) -> set[str]:
    """Names of all runs of ``finalists``, in the store."""
    return {spec.name for finalist in finalists for spec in finalist.specs()}
