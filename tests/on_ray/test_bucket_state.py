"""Where the store is a bucket, what a run keeps lies beside it: another machine, and a laptop, go on from there.

The bucket is one of a real S3 server (moto).
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from branchpoint.commands.cli import app
from branchpoint.execution.attempt import execute
from branchpoint.execution.held_out import evaluate_run
from branchpoint.execution.run_spec import Outcome, RunSpec, Setup
from branchpoint.io.storage import Bucket, joined
from branchpoint.networks import build
from branchpoint.store import Store
from branchpoint.training.state import checkpoint
from branchpoint.training.state.checkpoint import Checkpoints
from branchpoint.training.state.warm_start import read_weights, start_from
from tests.training.flat_cohort import DISC, LARGE, FlatCohort, flat_config

CONFIG = flat_config(DISC, LARGE, epochs=4)
SPEC = RunSpec("0001", CONFIG, stage="final")


def flat(path: Path) -> FlatCohort:
    return FlatCohort()


def on(machine: Path, store: str) -> Setup:
    """Of a worker on a machine with a disk of its own."""
    return Setup(
        study="a-b",
        store=store,
        folder=machine,
        prepared=machine,
        open_cohort=flat,
        keep_network=True,
        checkpoint_seconds=0.0,
    )


def run_until(epoch: int, setup: Setup) -> None:
    def interrupt(reached: int, value: float) -> None:
        if reached == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(SPEC, setup, interrupt)


def epochs_of(outcome: Outcome, store: str) -> list[tuple[int, int]]:
    assert outcome.state == "COMPLETE", outcome.traceback
    rows = Store(store).epochs("a-b").to_pylist()
    return [(row["attempt"], row["epoch"]) for row in rows]


@pytest.fixture
def store(bucket: str) -> str:
    return joined(bucket, "results")


def test_a_run_goes_on_on_another_machine(store: str, tmp_path: Path) -> None:
    first, second, laptop = (tmp_path / name for name in ("first", "second", "laptop"))
    run_until(2, on(first, store))
    kept = Bucket(store) / ".state/a-b/runs/0001"
    assert [name[:11] for name in (kept / "checkpoints").names()] == ["epoch-00001", "epoch-00002"]
    outcome = execute(SPEC, on(second, store), lambda *_: None)
    assert epochs_of(outcome, store) == [(1, 1), (1, 2), (2, 2), (2, 3), (2, 4)], "from the last checkpoint"
    assert kept.names() == ["attempt-001", "attempt-002", "config.json", "network.pt", "validation.npz"]
    assert not first.exists()
    assert not second.exists()

    whole = execute(SPEC, replace(on(tmp_path / "alone", str(tmp_path / "results")), study="a-b"), lambda *_: None)
    unbroken, broken = (read_weights(str(place)) for place in (tmp_path / "alone/runs/0001", kept))
    assert (whole.value, whole.epochs) == (outcome.value, outcome.epochs)
    assert all(torch.equal(tensor, broken.weights[name]) for name, tensor in unbroken.weights.items())

    # A laptop predicts patients with what the bucket holds.
    got = CliRunner().invoke(
        app, ["weights", "--store", store, "--study", "a-b", "--out", str(laptop)], catch_exceptions=False
    )
    assert got.output.split() == ["weights:", str(laptop / "0001")]
    source = read_weights(laptop / "0001")
    assert source.config is not None
    network = build(source.config)
    network.load_state_dict(dict(source.weights))
    with torch.no_grad():
        predicted = network.eval()(FlatCohort(seed=7).batch([0, 1]).inputs)
    assert predicted["large"].shape[0] == 2
    test = evaluate_run(SPEC, on(laptop, store))
    assert "test.npz" in kept.names()
    assert test.keys() == evaluate_run(SPEC, on(second, store)).keys() == {"disc", "large"}


def test_weights_in_a_bucket_are_where_a_run_starts(store: str, tmp_path: Path) -> None:
    run_until(2, on(tmp_path, store))
    run = joined(store, ".state/a-b/runs/0001")
    (newest,) = (Bucket(run) / "checkpoints").names()[-1:]
    for where in (run, joined(run, "checkpoints"), joined(run, f"checkpoints/{newest}")):
        assert "nothing drawn anew" in start_from(where, build(CONFIG))
    with pytest.raises(ValueError, match="holds neither a checkpoint nor"):
        start_from(joined(store, "nowhere"), build(CONFIG))
    with pytest.raises(ValueError, match="no such file"):
        start_from(joined(run, "weights.pt"), build(CONFIG))
    missing = CliRunner().invoke(app, ["weights", "--store", store, "--study", "a-b", "--out", str(tmp_path)])
    assert isinstance(missing.exception, ValueError)
    assert re.search("kept no weights: its finished finalists are none", str(missing.exception))


def test_a_killed_upload_shows_nothing(bucket: str) -> None:
    """A process is killed while it uploads a checkpoint in parts; the one before stays the newest."""
    script = f"""
        import os, signal, threading, time, torch
        from branchpoint.io.storage import Bucket
        from branchpoint.training.state.checkpoint import Checkpoints
        checkpoints = Checkpoints(Bucket({bucket!r}) / "run", "a")
        checkpoints.save(1, {{"weights": torch.arange(5.0)}})
        threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGKILL)).start()
        for _ in range(100):
            checkpoints.save(2, {{"weights": torch.zeros(20_000_000)}})
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, timeout=200)
    assert died.returncode == -signal.SIGKILL, died.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = Checkpoints(Bucket(bucket) / "run", "a").newest()
    assert state is not None
    assert state["epoch"] in (1, 2)
    assert len(state["weights"]) == {1: 5, 2: 20_000_000}[state["epoch"]]


def test_damaged_and_old_objects(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Bucket(bucket) / "run"
    checkpoints = Checkpoints(place, "a")
    assert checkpoints.newest() is None
    for epoch in range(1, 5):
        checkpoints.save(epoch, {"weights": torch.full((3,), float(epoch))})
    older, newest = place.names()
    assert (older[:11], newest[:11]) == ("epoch-00003", "epoch-00004")
    place.write(newest, place.read(newest)[:-7])
    with pytest.warns(UserWarning, match="is damaged"):
        state: Any = checkpoints.newest()
    assert state["weights"].tolist() == [3.0] * 3
    checkpoints.save(4, {"weights": torch.zeros(1)})
    assert len(place.names()) == 2
    with pytest.raises(ValueError, match="belongs to run a, not to b"):
        Checkpoints(place, "b").newest()
    assert checkpoint.newest_in(place) == place.names()[-1]
