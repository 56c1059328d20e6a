"""A run that has ended waits for those that were handed out, but not for ever."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from branchpoint.on_ray import start_barrier
from branchpoint.on_ray.start_barrier import StartBarrier


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_barrier, "_timed_out", False)


def test_waits_until_all_have_begun(tmp_path: Path) -> None:
    start = StartBarrier(tmp_path)
    assert start.wait(), "nothing was handed out"
    start.handed_out("0000")
    start.handed_out("0001")
    start.begun("0000")
    late = threading.Timer(0.3, start.begun, ["0001"])
    began = time.monotonic()
    late.start()
    assert start.wait(seconds=30)
    assert 0.2 < time.monotonic() - began < 20


def test_waits_for_the_full_time_only_once(tmp_path: Path) -> None:
    start = StartBarrier(tmp_path)
    start.handed_out("0000")
    assert not start.wait(seconds=0.2)
    began = time.monotonic()
    assert not start.wait(seconds=30)
    assert time.monotonic() - began < 5
