"""DistributedDataParallel takes any topology as it is, also where a task has no label on some worker."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.networks import build
from branchpoint.tasks import build_task
from branchpoint.topology import Cascade, Topology

TASKS = (
    SegmentationConfig(name="mask", target="mask"),
    ClassificationConfig(name="grade", target="grade", classes=2),
)


def config() -> Config:
    topology = Topology.branching(["mask", "grade"], ["mask"], 1, 3, 2)
    link = Cascade(source="mask", target="grade", carries="masked_features")
    network = NetworkConfig(
        in_channels=1, width=2, depth=3, hidden_features=3, dropout=0.0, topology=replace(topology, cascades=(link,))
    )
    return Config(dataset=DatasetConfig(size_voxels=(8, 8)), tasks=TASKS, network=network)


def train(rank: int, meeting: str, results: str) -> None:
    """Two steps on a worker; worker 1 has no label of ``grade``."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    network = DistributedDataParallel(build(config()))
    generator = torch.Generator().manual_seed(rank)
    targets = {"mask": torch.ones(2, 1, 8, 8, dtype=torch.uint8), "grade": torch.tensor([0, 1])}
    labelled = {"mask": torch.tensor([True, True]), "grade": torch.full((2,), rank == 0)}
    for _ in range(2):
        network.zero_grad()
        logits = network({"image": torch.randn(2, 1, 8, 8, generator=generator)})
        tasks = [build_task(task) for task in TASKS]
        sum(task.loss(logits[task.name], targets[task.name], labelled[task.name]) for task in tasks).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad
    torch.save(network.module.state_dict(), f"{results}/{rank}.pt")
    distributed.destroy_process_group()


def test_workers_stay_equal_without_looking_for_unused_parameters(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(train, (str(tmp_path / "meeting"), str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], value) for name, value in build(config()).state_dict().items())
