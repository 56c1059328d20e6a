"""Trees from networks of two tasks, on a store of made-up trials."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from branchpoint.affinity.pairs import PairQualities, pair_qualities, propose_from_pairs
from branchpoint.affinity.relations import sharing_trees
from branchpoint.affinity.sharing_tree import tree_cost
from branchpoint.config import Config, DatasetConfig, NetworkConfig, RegressionConfig, SegmentationConfig
from branchpoint.networks import stage_macs
from branchpoint.store import Store, TrialRecord
from branchpoint.topology import Cascade, Topology

NAMES = ("a", "b", "c", "d")
PRIMARY = {"a": "dice", "b": "r2", "c": "r2", "d": "dice"}


@pytest.fixture
def config() -> Config:
    tasks = tuple(
        SegmentationConfig(name=n, target=n) if n in "ad" else RegressionConfig(name=n, target=n) for n in NAMES
    )
    network = NetworkConfig(encoder="unet", width=2, depth=3, in_channels=1)
    return Config(dataset=DatasetConfig(name="folder", release="", size_voxels=(16, 16)), tasks=tasks, network=network)


def write_pair(
    store: Store, config: Config, pair: tuple[str, str], depth: int, values: tuple[float, float], **changes: Any
) -> None:
    """A trial of two tasks that part at ``depth``."""
    trees = sharing_trees(config, pair)
    decoded = trees.decoded
    tasks = tuple(task for task in config.tasks if task.name in pair)
    topology = Topology.branching(
        pair, decoded, min(depth, trees.encoder + trees.decoder), trees.encoder, trees.decoder
    )
    topology = replace(topology, **changes.pop("topology", {}))
    own = replace(config, tasks=tasks, network=replace(config.network, topology=topology))
    metrics = {f"validation/{name}/{PRIMARY[name]}": value for name, value in zip(pair, values, strict=True)}
    count = store.trials("s").num_rows
    record = TrialRecord(study="s", trial=f"{count:04d}", state="COMPLETE", config=own.to_json(), metrics=metrics)
    store.writer("s").trial(replace(record, **changes))


def most(config: Config, pair: tuple[str, str]) -> int:
    """Stages that two tasks can share."""
    trees = sharing_trees(config, pair)
    return trees.encoder + (trees.decoder if set(pair) <= set(trees.decoded) else 0)


def share(r2: float) -> float:
    """What an R2 gives to a score."""
    return max(r2 / (2 - r2), 0.0)


@pytest.mark.parametrize("budget", [float("inf"), 1.6])
def test_the_best_tree_is_that_of_brute_force(tmp_path: Path, config: Config, budget: float) -> None:
    store, generator = Store(str(tmp_path / "results")), np.random.default_rng(3)
    for pair in combinations(NAMES, 2):
        for depth in range(most(config, pair) + 1):
            write_pair(store, config, pair, depth, tuple(generator.uniform(0.4, 0.9, 2)))
    qualities, found = propose_from_pairs(store, "s", config, budget)
    assert qualities.unknown == []
    macs = stage_macs(config)
    trees = [tree for tree in qualities.trees if tree_cost(tree, macs) <= budget * sum(macs)]
    assert len(trees) > 10
    best = max(sum(qualities.predict(tree).values()) for tree in trees)
    assert sum(qualities.predict(found.topology).values()) == pytest.approx(best, abs=1e-12)
    apart = qualities.predict(Topology.separate(NAMES, qualities.trees.decoded, 3, qualities.trees.decoder))
    assert found.gain == pytest.approx(best - sum(apart.values()), abs=1e-12)
    (row,) = store.proposals("s").to_pylist()
    assert (row["kind"], row["evidence"], row["note"]) == (
        "tree",
        "pairs",
        f"predicted from {store.trials('s').num_rows} trained networks of two tasks",
    )


def test_a_tasks_quality_is_the_mean_over_its_partners(tmp_path: Path, config: Config) -> None:
    store = Store(str(tmp_path / "results"))
    write_pair(store, config, ("b", "c"), 3, (0.5, 0.6))
    write_pair(store, config, ("b", "c"), 3, (0.7, 0.6))  # averaged with the one before
    write_pair(store, config, ("b", "c"), 0, (0.3, 0.2))
    write_pair(store, config, ("a", "b"), 2, (0.8, 0.4))
    qualities = pair_qualities(store, "s", config)
    shared = Topology.shared(NAMES, qualities.trees.decoded, 3, qualities.trees.decoder)
    found = qualities.predict(shared)
    assert found["b"] == pytest.approx(((share(0.5) + share(0.7)) / 2 + share(0.4)) / 2)
    assert (found["c"], found["a"]) == pytest.approx((share(0.6), 0.8))
    assert np.isnan(found["d"])
    assert qualities.unknown == ["a+c", "a+d", "b+d", "c+d"]
    place = NAMES.index("b"), NAMES.index("c")
    apart, together = share(0.3), (share(0.5) + share(0.7)) / 2
    np.testing.assert_allclose(qualities.quality[place][:4], np.linspace(apart, together, 4))
    assert qualities.trials[place][:4].tolist() == [1, 0, 0, 2]


def test_other_trials_do_not_count(tmp_path: Path, config: Config) -> None:
    store, pair = Store(str(tmp_path / "results")), ("a", "b")
    write_pair(store, config, pair, 1, (0.9, 0.9), state="PRUNED", reason="slow")
    write_pair(store, replace(config, network=replace(config.network, depth=2)), pair, 1, (0.9, 0.9))
    write_pair(store, replace(config, dataset=replace(config.dataset, release="x")), pair, 1, (0.9, 0.9))
    write_pair(store, replace(config, split=replace(config.split, fold=1)), pair, 1, (0.9, 0.9))  # tested elsewhere
    passed = {"cascades": (Cascade(source="a", target="b", carries="features"),)}
    write_pair(store, config, pair, 1, (0.9, 0.9), topology=passed)
    with pytest.raises(ValueError, match="holds no complete trial that trains two of a, b, c, d alone"):
        pair_qualities(store, "s", config)


def test_nothing_known_is_shared(config: Config) -> None:
    trees = sharing_trees(config, NAMES)
    stages = trees.encoder + trees.decoder
    empty = PairQualities(trees, np.full((4, 4, stages + 1), np.nan), np.zeros((4, 4, stages + 1), int))
    assert empty.best(stage_macs(config)).topology.shares_all
