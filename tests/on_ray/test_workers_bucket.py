"""A run of two workers whose checkpoints lie in a bucket, of a real S3 server (moto), and one of them is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.execution.attempt import execute
from branchpoint.execution.resources import Resources
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.io.storage import Bucket
from branchpoint.on_ray.train_workers import with_workers
from branchpoint.store import Store
from branchpoint.training.loop import fit
from tests.on_ray.workers_toys import Mishaps, noted, open_spheres, require_free, spheres_config, two_cores


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_in_epoch_3_of_6_goes_on_from_the_bucket(tmp_path: Path, bucket: str) -> None:
    config = spheres_config(6)
    unbroken = fit(config, open_spheres(tmp_path), device="cpu")
    setup = Setup(
        study="two",
        store=bucket,
        folder=tmp_path / "state",
        prepared=tmp_path,
        open_cohort=open_spheres,
        keep_network=True,
        fit=Mishaps(tmp_path, kill=(1, 3)),
    )
    with two_cores():
        outcome = execute(RunSpec("0000", config), with_workers(setup, Resources(workers=2)), lambda *_: None)
        require_free()
    assert (outcome.state, outcome.reason) == ("COMPLETE", "")
    epochs = Store(bucket).epochs("two").to_pylist(maps_as_pydicts="strict")
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 4, 5, 6]
    for row, expected in zip(epochs, unbroken.history, strict=True):
        assert row["metrics"] == pytest.approx(dict(expected.metrics), rel=5e-4, abs=5e-5, nan_ok=True)
    for rank in (0, 1):
        ran = noted(tmp_path, rank)
        assert [epoch for epoch, _ in ran] in ([1, 2, 2, 3, 4, 5, 6], [1, 2, 1, 2, 3, 4, 5, 6]), "from a checkpoint"
    kept = sorted(Bucket(bucket).sizes(".state"))
    assert [name for name in kept if name.endswith("network.pt")], "the weights of the run"
    assert not [name for name in kept if "checkpoints/epoch" in name], "checkpoints go when the run has ended"
    assert not list((tmp_path / "state").rglob("*.pt")), "nothing of them was on a disk"
