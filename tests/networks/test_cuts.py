"""Gradients stop where a task's own part reads a trunk, and go on from there as if they had not."""

from dataclasses import replace

import pytest
import torch

from branchpoint import networks
from branchpoint.config import Config, DatasetConfig, NetworkConfig, SegmentationConfig, SurvivalConfig
from branchpoint.topology import Cascade, Topology

TASKS = (
    SegmentationConfig(name="a", target="a"),
    SegmentationConfig(name="b", target="b"),
    SurvivalConfig(name="c", target="c"),
)


def config(topology: Topology | None) -> Config:
    return Config(
        dataset=DatasetConfig(size_voxels=(8, 8)),
        tasks=TASKS,
        network=NetworkConfig(width=4, depth=3, topology=topology, dropout=0.0),
    )


def branching(depth: int) -> Topology:
    return Topology.branching("abc", "ab", depth, 3, 2)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_one_pass_from_the_leaves_is_the_whole_gradient(depth: int) -> None:
    network = networks.build(config(branching(depth)))
    image = {"image": torch.randn(2, 2, 8, 8)}
    whole = sum(output.square().sum() for output in network(image).values())
    expected = torch.autograd.grad(whole, list(network.parameters()))
    cuts = network.cut_trunks("abc")
    (trunk,) = cuts.trunks
    outputs = network(image)
    torch.testing.assert_close(sum(output.square().sum() for output in outputs.values()), whole)
    shared = {name for name, tasks in network.tasks_of_parameters().items() if len(tasks) > 1}
    own = {task: {n for n, tasks in network.tasks_of_parameters().items() if tasks == {task}} for task in "abc"}
    names = dict(network.named_parameters())
    for task, output in outputs.items():
        output.square().sum().backward()
        reached = {name for name, parameter in names.items() if parameter.grad is not None}
        assert not reached & shared, "stops at the trunk"
        assert own[task] <= reached
    pairs = cuts.pairs(trunk)
    torch.autograd.backward([features for features, _ in pairs], [leaf.grad for _, leaf in pairs])
    for (name, parameter), gradient in zip(names.items(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, msg=name)


def test_separate_trunks() -> None:
    groups = (("a", "c"), ("b",))
    apart = (("a",), ("b",))
    network = networks.build(config(Topology((groups,) * 3, (apart,) * 2)))
    assert network.cut_trunks("abc").trunks == [frozenset("ac")]
    assert network.cut_trunks("ab").trunks == []


@pytest.mark.parametrize(
    "topology",
    [
        None,  # a and b share their decoder, past the point where c leaves
        Topology(((("a", "b", "c"),), (("a",), ("b", "c")), (("a",), ("b",), ("c",))), (((("a",), ("b",))),) * 2),
        replace(branching(2), cascades=(Cascade(source="a", target="c", carries="logits"),)),
    ],
)
def test_what_parts_more_than_once_is_refused(topology: Topology | None) -> None:
    network = networks.build(config(topology))
    with pytest.raises(ValueError, match=r"use balancing\.gradients 'parameters'"):
        network.cut_trunks("abc")


def test_cascade_without_gradient_is_no_sharing() -> None:
    cascade = Cascade(source="a", target="c", carries="logits", gradient=False)
    network = networks.build(config(replace(branching(2), cascades=(cascade,))))
    assert network.cut_trunks("abc").trunks == [frozenset("abc")]


def test_no_leaves_without_gradients() -> None:
    network = networks.build(config(branching(2)))
    cuts = network.cut_trunks("abc")
    with torch.no_grad():
        network({"image": torch.randn(1, 2, 8, 8)})
    assert cuts.pairs(frozenset("abc")) == ()
