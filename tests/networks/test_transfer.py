"""A child network starts from its parent's weights."""

from dataclasses import replace

import pytest
import torch

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.networks import build, topology_of, transfer
from branchpoint.topology import Exchange, Topology

TASKS = (
    SegmentationConfig(name="tumour", target="tumour"),
    ClassificationConfig(name="grade", target="grade", classes=3),
)


def network(depth, seed, tasks=TASKS, **changes):
    names, dense = [task.name for task in tasks], [task.name for task in tasks if task.dense]
    topology = Topology.branching(names, dense, depth, 3, 2)
    settings = {"width": 2, "depth": 3, "hidden_features": 3, "dropout": 0.0, "topology": topology, **changes}
    config = Config(
        dataset=DatasetConfig(size_voxels=(8, 8)), tasks=tasks, network=NetworkConfig(**settings), seed=seed
    )
    return config, build(config).eval()


@pytest.mark.parametrize("parent_depth", range(6))
def test_a_child_that_shares_less_starts_as_its_parent(parent_depth):
    config, parent = network(parent_depth, seed=1)
    image = {"image": torch.randn(2, 2, 8, 8)}
    for depth in range(parent_depth + 1):
        _, child = network(depth, seed=2)
        assert transfer(parent.state_dict(), topology_of(config), child) == ()
        torch.testing.assert_close(child(image), parent(image))


def test_a_new_task_keeps_its_own_head():
    config, parent = network(3, seed=1, tasks=TASKS[:1])
    _, child = network(3, seed=2)
    kept = transfer(parent.state_dict(), topology_of(config), child)
    assert {name.split(".")[1] for name in kept} == {"grade"}
    assert torch.equal(child.state_dict()["encoder.0.0.0.body.conv.weight"], parent.encoder[0][0][0].body.conv.weight)


def test_a_parent_that_learned_other_tasks_gives_each_stage_that_it_has_once():
    """Two branches start from the one encoder of a pre-training; heads are new."""
    pretraining = (SegmentationConfig(name="organs", target="organs"),)
    config, parent = network(0, seed=1, tasks=pretraining)
    _, child = network(0, seed=2)
    kept = transfer(parent.state_dict(), topology_of(config), child)
    assert {name.split(".")[0] for name in kept} == {"heads"}
    own, given = child.state_dict(), parent.state_dict()
    for branch in (0, 1):
        name = f"encoder.0.{branch}.0.body.conv.weight"
        assert torch.equal(own[name], given["encoder.0.0.0.body.conv.weight"])
    config, parent = network(0, seed=1, tasks=(*pretraining, SegmentationConfig(name="vessels", target="vessels")))
    kept = transfer(parent.state_dict(), topology_of(config), network(0, seed=2)[1])
    assert "encoder.0.0.0.body.conv.weight" in kept, "of two encoders none is the right one"


def test_what_has_another_shape_is_left_alone():
    config, parent = network(5, seed=1)
    _, child = network(5, seed=2, hidden_features=4)
    kept = transfer(parent.state_dict(), topology_of(config), child)
    assert set(kept) == {"heads.grade.hidden.weight", "heads.grade.hidden.bias", "heads.grade.output.weight"}


def test_exchanges_of_the_same_unit_are_copied():
    link = Exchange(stage=1, source="grade", target="tumour", unit="cross_stitch")
    base = Topology.branching(["grade", "tumour"], ["tumour"], 0, 3, 2)
    config, parent = network(0, seed=1, topology=replace(base, exchanges=(link,)))
    _, child = network(0, seed=2, topology=replace(base, exchanges=(replace(link, both_ways=False),)))
    with torch.no_grad():
        parent.exchanges["1_1"].own.fill_(0.3)
    assert transfer(parent.state_dict(), topology_of(config), child) == ()
    assert child.exchanges["1_1"].own.unique().item() == pytest.approx(0.3)
