"""From measured affinities to proposals, the store, the command and the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from branchpoint.affinity.matrices import MEASURES, WHOLE, Affinities, Matrix
from branchpoint.affinity.relations import (
    certain,
    propose,
    proposed_tree,
    sharing_trees,
    stage_affinities,
    write_relations,
)
from branchpoint.commands import cli
from branchpoint.commands.affinity import measure_relations
from branchpoint.config import (
    Config,
    DatasetConfig,
    NetworkConfig,
    OptimizerConfig,
    RegressionConfig,
    SegmentationConfig,
    SplitConfig,
    TrainingConfig,
)
from branchpoint.networks import estimate, stage_macs
from branchpoint.phantoms import make_phantom
from branchpoint.report import write_report
from branchpoint.store import Store
from branchpoint.topology import Topology

TASKS = ("b", "a", "c")


def config_of(*names: str, size: int = 16) -> Config:
    tasks = tuple(
        SegmentationConfig(name=n, target=n) if n == "a" else RegressionConfig(name=n, target=n) for n in names
    )
    return Config(
        dataset=DatasetConfig(name="folder", size_voxels=(size, size)),
        tasks=tasks,
        network=NetworkConfig(encoder="unet", width=2, depth=3, in_channels=1, hidden_features=4, unit="batchnorm"),
    )


def stripes_config(root: Path, epochs: int) -> Config:
    """Two tasks of the phantom of planted relations."""
    return Config(
        dataset=DatasetConfig(name="folder", root=str(root), release="", size_voxels=(16, 16)),
        tasks=tuple(RegressionConfig(name=n, target=n, center=0.5, scale=0.3) for n in ("columns", "rows")),
        network=config_of("b").network,
        optimizer=OptimizerConfig(learning_rate=0.01),
        training=TrainingConfig(epochs=epochs, batch_size=5, event_fraction=None, augmentation=None),
        split=SplitConfig(folds=2),
    )


def affinities_of(means: dict[str, np.ndarray], error: float = 0.01) -> Affinities:
    """The same matrices for each measure; NaN errors nowhere."""
    stages = tuple(stage for stage in means if stage != WHOLE)
    count = np.full((3, 3), 9)
    matrices = [
        Matrix(m, stage, mean, np.full((3, 3), error), count) for m in MEASURES for stage, mean in means.items()
    ]
    return Affinities(TASKS, stages, tuple(matrices), 9, 2.0, 1.0, 100)


def pulls(**entries: float) -> np.ndarray:
    """``ab=1.0``: what b does for a."""
    matrix = np.zeros((3, 3))
    for pair, value in entries.items():
        matrix[TASKS.index(pair[0]), TASKS.index(pair[1])] = value
    return matrix


FRIENDS = pulls(ab=0.5, ba=0.5, ac=-0.5, ca=-0.5, bc=-0.5, cb=-0.5)
STAGES = {"encoder 0": np.abs(FRIENDS), "encoder 1": FRIENDS, "encoder 2": FRIENDS}


def test_friends_stay_together_as_deep_as_they_help() -> None:
    found = propose(config_of(*TASKS), affinities_of({WHOLE: FRIENDS, **STAGES}))
    assert set(map(frozenset, found.grouping.groups)) == {frozenset("ab"), frozenset("c")}
    tree = found.tree.topology
    assert (tree.branching_point("a", "b"), tree.branching_point("a", "c"), tree.branching_point("b", "c")) == (3, 1, 1)


def test_what_is_uncertain_or_unknown_is_shared() -> None:
    """Errors as large as the means, and stages that were never measured."""
    for affinities in (affinities_of({WHOLE: FRIENDS, **STAGES}, error=0.4), affinities_of({WHOLE: FRIENDS})):
        assert propose(config_of(*TASKS), affinities).tree.topology.shares_all


def matrix_of(mean: list[list[float]], error: list[list[float]], count: int) -> Matrix:
    return Matrix("excess", WHOLE, np.array(mean), np.array(error), np.full((len(mean), len(mean)), count))


def test_only_means_told_from_zero_count() -> None:
    """Ten blocks: t above 2.26 would do for one pair by itself."""
    nan = float("nan")
    (found,) = certain([matrix_of([[9.0, 0.5], [nan, 0.1]], [[0.1, 0.1], [nan, nan]], 100)])
    assert found.tolist() == [[9.0, 0.5], [0.0, 0.0]]
    assert not certain([matrix_of([[0.0, 0.5], [0.5, 0.0]], [[0.1, 0.1], [0.1, 0.1]], 1)]).any(), "one measurement"


def test_false_discoveries_are_controlled_over_all_pairs_and_stages() -> None:
    """Without any relation, one in ten families of 5 x 30 pairs has a discovery (and three standard errors of 200
    families); single tests nearly always would. One strong relation is found beside many that are none."""
    rng = np.random.default_rng(0)

    def family() -> list[Matrix]:
        return [matrix_of(rng.standard_t(9, (6, 6)).tolist(), np.ones((6, 6)).tolist(), 100) for _ in range(5)]

    off = ~np.eye(6, dtype=bool)
    discoveries = [certain(family())[:, off].any() for _ in range(200)]
    assert np.mean(discoveries) <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 200)
    planted = family()
    planted[2].mean[0, 1] = 20.0
    found = certain(planted)
    assert found[2, 0, 1] == 20.0
    assert found[:, off].astype(bool).sum() == 1


def test_rows_and_columns_follow_the_tasks_of_the_topology() -> None:
    affinities = affinities_of({WHOLE: FRIENDS, "encoder 0": pulls(ac=1.0)})
    found = stage_affinities(affinities, sharing_trees(config_of(*TASKS), TASKS))
    assert found[0].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]], "a receives from c, sorted by name"


def test_a_budget_bounds_the_proposal() -> None:
    config = config_of(*TASKS)
    affinities = affinities_of({WHOLE: FRIENDS, **STAGES})
    one = propose(config, affinities, budget=1.0)
    assert one.tree.topology.shares_all
    assert one.tree.cost == sum(stage_macs(config))
    assert propose(config, affinities, budget=1.2).tree.cost <= 1.2 * sum(stage_macs(config))


def test_macs_of_stages_add_up_to_those_of_the_network() -> None:
    """What two separate networks cost more than one, heads apart, is every stage once more."""
    names = ("b", "c")
    shared = config_of(*names)
    apart = replace(shared, network=replace(shared.network, topology=Topology.separate(names, (), 3)))
    assert estimate(apart).macs - estimate(shared).macs == sum(stage_macs(shared)[:3])


def test_the_newest_tree_is_read_back(tmp_path: Path) -> None:
    store, config = Store(str(tmp_path / "results")), config_of(*TASKS)
    assert proposed_tree(store, "s") is None
    for means in (STAGES, {"encoder 0": FRIENDS}):
        affinities = affinities_of({WHOLE: FRIENDS, **means})
        proposals = propose(config, affinities)
        write_relations(store, "s", config, affinities, proposals)
        config = replace(config, seed=config.seed + 1)
    found = proposed_tree(store, "s")
    assert found is not None
    assert (found[0].seed, found[1]) == (1, proposals.tree.topology)
    rows = store.sql(
        "SELECT mean FROM affinities WHERE measure = 'excess' AND stage = 'all' AND recipient = 'a' AND source = 'c'"
    ).to_pylist()
    assert rows == [{"mean": -0.5}] * 2


def test_command_and_report(tmp_path: Path) -> None:
    """On a phantom's files: matrices and proposals in the store, a heat map and the tree in the report."""
    root = make_phantom("relations", tmp_path / "phantom", patients=24, progress=False)
    config = stripes_config(root, epochs=2)
    (tmp_path / "config.json").write_text(config.to_json())
    done = CliRunner().invoke(
        cli.app,
        [
            "affinity",
            "--config",
            str(tmp_path / "config.json"),
            "--store",
            str(tmp_path / "results"),
            "--study",
            "s",
            "--cache",
            str(tmp_path / "cache"),
            "--every",
            "1",
        ],
    )
    assert done.exit_code == 0, done.output
    for said in ("measurements of 2 tasks and 3 stages took", "proposed grouping:", "proposed tree:", "from columns"):
        assert said in done.output
    store = Store(str(tmp_path / "results"))
    assert store.affinities("s").num_rows == len(MEASURES) * 4 * 4
    kinds = [row["kind"] for row in store.proposals("s").to_pylist()]
    assert kinds == ["grouping", "grouping", "tree"]
    page = write_report(store, "s", tmp_path / "report.html").read_text()
    assert "Which tasks help each other" in page
    assert '"type":"heatmap"' in page.replace(" ", "")
    assert "Proposed tree" in page
    asked = CliRunner().invoke(
        cli.app, ["sql", "SELECT count(*) AS n FROM affinities", "--store", str(tmp_path / "results"), "--json"]
    )
    assert json.loads(asked.output) == [{"n": 48}]


def test_too_few_steps_are_refused(tmp_path: Path) -> None:
    root = make_phantom("relations", tmp_path / "phantom", patients=12, progress=False)
    config = stripes_config(root, epochs=1)
    with pytest.raises(ValueError, match=r"fewer than 10 steps: measure more often \(--every\)"):
        measure_relations(config, Store(str(tmp_path / "results")), "s", tmp_path / "cache")
