"""What can never be scheduled is said before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray

from branchpoint.config import Config
from branchpoint.execution.resources import Resources, memory_limit, preflight
from branchpoint.on_ray import session as session_module
from branchpoint.on_ray.session import STARTS, machine_bytes, session
from branchpoint.search.suggest.feasibility import fits

LAPTOP = {"CPU": 2.0, "memory": 8e9}
GPU_NODE = {"CPU": 16.0, "GPU": 4.0, "memory": 64e9}


@pytest.mark.parametrize(
    ("resources", "nodes", "fit"),
    [
        (Resources(), [LAPTOP], 2),
        (Resources(cpus=2), [LAPTOP, GPU_NODE], 9),
        (Resources(cpus=4, gpus=1), [LAPTOP, GPU_NODE], 4),
        (Resources(cpus=1, gpus=0.25), [GPU_NODE], 16),
        (Resources(cpus=1, gpus=0.3), [{"CPU": 8.0, "GPU": 0.9}], 3),
        (Resources(concurrency=1), [LAPTOP], 1),
        (Resources(concurrency=100), [LAPTOP], 2),
        (Resources(workers=2), [LAPTOP], 1),
        (Resources(workers=3), [LAPTOP, LAPTOP], 1),
        (Resources(workers=4, gpus=0.5), [GPU_NODE], 2),
        (Resources(workers=2, cpus=4, gpus=1, concurrency=9), [GPU_NODE, GPU_NODE, LAPTOP], 4),
    ],
)
def test_how_many_runs_fit(resources: Resources, nodes: list[dict[str, float]], fit: int) -> None:
    assert preflight(resources, nodes) == fit


def test_what_no_node_can_hold_is_refused() -> None:
    """Two nodes of 2 GPUs never hold a run of 3, though they have 4 together."""
    nodes = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 16.0, "GPU": 2.0}]
    with pytest.raises(ValueError, match=r"asks for 1 CPU, 3 GPU, but the largest of 2 node\(s\) has 16 CPU, 2 GPU"):
        preflight(Resources(gpus=3), nodes)
    with pytest.raises(ValueError, match="has 2 CPU, 0 GPU"):
        preflight(Resources(gpus=1), [LAPTOP])


def test_too_many_workers_are_refused_with_what_would_fit() -> None:
    with pytest.raises(
        ValueError, match=r"asks for 3 workers with 2 CPU each.*2 node\(s\).* hold 2 of them.* ask for 2"
    ):
        preflight(Resources(workers=3, cpus=2), [LAPTOP, LAPTOP])
    with pytest.raises(ValueError, match=r"a worker asks for 3 CPU, but the largest of 2 node\(s\) has 2 CPU"):
        preflight(Resources(workers=2, cpus=3), [LAPTOP, LAPTOP])


@pytest.mark.parametrize("wrong", [{"cpus": 0}, {"workers": 0}, {"gpus": 1.5}, {"gpus": -1.0}, {"concurrency": 0}])
def test_impossible_requests(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
        Resources(**wrong)  # type: ignore[arg-type]


def test_memory_is_shared_by_the_runs_of_a_node() -> None:
    assert memory_limit(Resources(), [LAPTOP]) == 4e9
    assert memory_limit(Resources(concurrency=1), [LAPTOP]) == 8e9
    assert memory_limit(Resources(cpus=4), [LAPTOP, GPU_NODE]) == 16e9
    assert memory_limit(Resources(workers=2), [LAPTOP, LAPTOP]) == 4e9
    assert memory_limit(Resources(workers=1, concurrency=1), [LAPTOP]) == 8e9
    assert memory_limit(Resources(gpus=1), [GPU_NODE]) is None
    assert memory_limit(Resources(gpus=1, memory_gb=40), [GPU_NODE]) == 40e9


def test_memory_of_the_machine_or_its_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(session_module, "_CONTAINER_LIMITS", (limit, tmp_path / "absent"))
    total = psutil.virtual_memory().total
    assert machine_bytes() == total
    limit.write_text("max\n")
    assert machine_bytes() == total
    limit.write_text("1000000000\n")
    assert machine_bytes() == 1_000_000_000
    limit.write_text("9223372036854771712\n")
    assert machine_bytes() == total


def test_what_started_of_a_failed_ray_is_ended_before_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def init(**options: object) -> None:
        calls.append("init")
        raise RuntimeError("timed out")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    with pytest.raises(ConnectionError, match="did not start on this machine: timed out"), session("local"):
        pass
    assert calls == ["init", "shutdown"] * STARTS


def test_workers_and_parts_of_a_batch_need_less_memory(base: Config) -> None:
    """A batch of 10 by 1, 2 and 10 workers, or one sample at a time."""
    base = replace(base, network=replace(base.network, depth=3))
    needs = [fits(1.0, workers)(base) or "" for workers in (1, 2, 10)]
    assert [f"a batch of {samples}," in need for samples, need in zip((10, 5, 1), needs, strict=True)] == [True] * 3
    alone = replace(base, tasks=base.tasks[:1], training=replace(base.training, micro_batch=1))
    assert "a batch of 1, a run may use" in (fits(1.0)(alone) or "")


def test_a_growing_cluster_is_asked_for_what_the_user_says() -> None:
    growing = Resources(gpus=1, concurrency=16, growing=True)
    assert preflight(growing, [{"CPU": 0.0}]) == 16
    with pytest.raises(ValueError, match="how many runs are to be worked on at once"):
        Resources(growing=True)
