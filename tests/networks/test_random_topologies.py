"""Properties of built networks over random topologies."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.networks import build, estimate
from branchpoint.topology import Cascade, Exchange, SharingTrees, Topology
from tests.topology.topology_strategies import topologies

TASKS = (
    SegmentationConfig(name="a", target="a"),
    SegmentationConfig(name="b", target="b", foreground_classes=2),
    ClassificationConfig(name="c", target="c", classes=3),
    ClassificationConfig(name="d", target="d", classes=2),
)
SIZE = (8, 8)
TREES = SharingTrees("abcd", "ab", 3, 2)
DECODED = SharingTrees("abcd", "abc", 3, 2)


def config(topology, **changes):
    network = NetworkConfig(width=2, depth=3, hidden_features=3, dropout=0.0, unit="instancenorm", topology=topology)
    return Config(dataset=DatasetConfig(size_voxels=SIZE), tasks=TASKS, network=network, **changes)


def inputs(batch=2, size=SIZE):
    return {
        "image": torch.randn(batch, 2, *size, generator=torch.Generator().manual_seed(0)),
        "intensity_offset": torch.zeros(batch, 2),
        "intensity_scale": torch.ones(batch, 2),
        "voxel_ml": torch.ones(batch),
    }


def buildable(topology):
    """Measurements and masked features go from masks to image-level tasks; a and b give masks, c and d do not."""
    numbers = [link for link in topology.cascades if link.carries in ("masked_features", "measurements")]
    return all(link.source in "ab" and link.target in "cd" for link in numbers)


random_topologies = st.sampled_from([TREES, DECODED]).flatmap(topologies).filter(buildable)
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@few
@given(random_topologies)
def test_built_and_trained(topology):
    network = build(config(topology))
    logits = network(inputs())
    assert {name: tuple(value.shape) for name, value in logits.items()} == {
        "a": (2, 1, *SIZE),
        "b": (2, 3, *SIZE),
        "c": (2, 3),
        "d": (2, 2),
    }
    sum(value.square().sum() for value in logits.values()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@settings(few, max_examples=3)
@given(random_topologies)
def test_estimated_without_being_built(topology):
    assert estimate(config(topology)).parameters == sum(p.numel() for p in build(config(topology)).parameters())


@few
@given(random_topologies)
def test_outputs_depend_on_their_own_path_alone(topology):
    network = build(config(topology))
    tasks_of = network.tasks_of_parameters()
    assert set(tasks_of) == {name for name, _ in network.named_parameters()}
    logits = network(inputs())
    parameters = dict(network.named_parameters())
    for task, value in logits.items():
        gradients = torch.autograd.grad(
            value.square().sum(), list(parameters.values()), allow_unused=True, retain_graph=True
        )
        reached = {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
        allowed = {name for name, tasks in tasks_of.items() if task in tasks}
        cut = any(not link.gradient for link in topology.cascades)
        assert reached <= allowed if cut else reached == allowed


@few
@given(random_topologies)
def test_a_batch_without_labels_gives_every_parameter_a_zero_gradient(topology):
    """What DistributedDataParallel needs to work without find_unused_parameters."""
    network = build(config(topology))
    logits = network(inputs())
    (logits["a"].square().sum() + sum(0 * logits[task].sum() for task in "bcd")).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@few
@given(random_topologies)
def test_equal_topologies_and_seeds_give_equal_outputs(topology):
    again = Topology(topology.encoder, topology.decoder, topology.cascades[::-1], topology.exchanges[::-1])
    first, second = build(config(topology, seed=3))(inputs()), build(config(again, seed=3))(inputs())
    assert all(torch.equal(first[task], second[task]) for task in first)


@pytest.mark.parametrize("depth", range(6))
def test_two_tasks_are_independent_of_each_others_branches(depth):
    network = build(config(Topology.branching("abcd", "ab", depth, 3, 2)))
    before = network(inputs())
    with torch.no_grad():
        for name, tasks in network.tasks_of_parameters().items():
            if tasks == {"b"}:
                network.get_parameter(name).add_(1.0)
    after = network(inputs())
    assert not torch.equal(before["b"], after["b"])
    assert all(torch.equal(before[task], after[task]) for task in "acd")


EVERYTHING = replace(
    Topology.branching("abcd", "ab", 1, 3, 2),
    cascades=(
        Cascade(source="a", target="c", carries="measurements"),
        Cascade(source="a", target="c", carries="masked_features"),
        Cascade(source="c", target="d", carries="logits"),
        Cascade(source="b", target="a", carries="probabilities", stage=4),
    ),
    exchanges=(
        Exchange(stage=1, source="a", target="b", unit="cross_stitch"),
        Exchange(stage=2, source="d", target="a", unit="attention", both_ways=False),
        Exchange(stage=2, source="b", target="c", unit="nddr", both_ways=False),
        Exchange(stage=1, source="c", target="d", unit="concatenation"),
    ),
)


@pytest.mark.parametrize("size", [SIZE, (8, 8, 8)])
def test_export_accepts_the_network(size):
    network = build(replace(config(EVERYTHING), dataset=DatasetConfig(size_voxels=size))).eval()
    batch = torch.export.Dim("batch", min=2, max=8)
    dynamic = ({name: {0: batch} for name in inputs()},)
    program = torch.export.export(network, (inputs(3, size),), dynamic_shapes=dynamic)
    for given_inputs in (inputs(3, size), inputs(5, size)):
        torch.testing.assert_close(program.module()(given_inputs), network(given_inputs))


def test_compile_accepts_the_network():
    network = build(config(EVERYTHING))
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    logits = compiled(inputs())
    torch.testing.assert_close(logits, network(inputs()))
    sum(value.sum() for value in logits.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
