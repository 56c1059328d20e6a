"""Checkpoints survive interruption and damage."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from branchpoint.training.state.checkpoint import Checkpoints


def saved(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.pt"))


def test_round_trip_keeps_the_newest_two(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", "a")
    assert checkpoints.newest() is None
    for epoch in range(1, 5):
        checkpoints.save(epoch, {"weights": {"w": torch.full((3,), float(epoch))}, "history": [(epoch, {"loss": 1.0})]})
    assert [path.name[:11] for path in saved(tmp_path / "run")] == ["epoch-00003", "epoch-00004"]
    state = checkpoints.newest()
    assert state is not None
    assert state["epoch"] == 4
    assert state["weights"]["w"].tolist() == [4.0] * 3
    assert state["history"] == [(4, {"loss": 1.0})]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_newest_falls_back_with_a_warning(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path, "a")
    for epoch in (1, 2):
        checkpoints.save(epoch, {"weights": torch.arange(100.0)})
    newest = saved(tmp_path)[-1]
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    newest.write_bytes({"truncated": content[:-7], "flipped": content, "empty": b""}[damage])
    with pytest.warns(UserWarning, match="is damaged"):
        state = checkpoints.newest()
    assert state is not None
    assert state["epoch"] == 1
    checkpoints.save(2, {"weights": torch.zeros(1)})
    state = checkpoints.newest()
    assert state is not None
    assert state["epoch"] == 2
    assert len(saved(tmp_path)) == 2, "the damaged file is gone"


def test_both_damaged_starts_anew(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "a")
    for epoch in (1, 2):
        checkpoints.save(epoch, {})
    for path in saved(tmp_path):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        assert checkpoints.newest() is None
    checkpoints.save(1, {})
    state = checkpoints.newest()
    assert state is not None
    assert state["epoch"] == 1


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "a").save(1, {})
    with pytest.raises(ValueError, match="belongs to run a, not to b"):
        Checkpoints(tmp_path, "b").newest()


def test_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, "a")
    checkpoints.save(1, {})
    before = sorted(tmp_path.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(2, {})
    assert sorted(tmp_path.iterdir()) == before


def test_killed_at_any_moment_leaves_a_readable_checkpoint(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import sys, torch
        from pathlib import Path
        from branchpoint.training.state.checkpoint import Checkpoints
        checkpoints, epoch = Checkpoints(Path({str(tmp_path)!r}), "a"), 0
        while True:
            epoch += 1
            checkpoints.save(epoch, {{"weights": torch.full((300_000,), float(epoch))}})
            print(epoch, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(3):
        done = int(process.stdout.readline())
    time.sleep(0.037)
    process.send_signal(signal.SIGKILL)
    done = max([done, *(int(line) for line in process.stdout.read().split())])
    process.wait()
    (tmp_path / ".epoch-00009-abc.tmp").write_bytes(b"half")
    state = Checkpoints(tmp_path, "a").newest()
    assert state is not None
    assert state["epoch"] in (done, done + 1)
    assert (state["weights"] == state["epoch"]).all()
    assert not list(tmp_path.glob(".*")), "nothing half-written stays"
