"""Real processes on one store: many writers, kill -9 in mid-write, readers while files are replaced."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from branchpoint.store import EpochRecord, Store

WRITE_FOR_EVER = """
import itertools, sys
from branchpoint.store import EpochRecord, Store
uri, trial, first = sys.argv[1:]
writer = Store(uri).writer("s", merge_every=3)
for epoch in itertools.count(int(first)):
    writer.epoch(EpochRecord(study="s", trial=trial, epoch=epoch, metrics={"epoch": float(epoch)}))
    print(epoch, flush=True)
"""


def epochs_of(store: Store, trial: str) -> list[int]:
    rows = store.sql("SELECT epoch, metrics['epoch'] AS value FROM epochs WHERE trial = ? ORDER BY epoch", [trial])
    assert rows["epoch"].to_pylist() == rows["value"].to_pylist()
    return rows["epoch"].to_pylist()


def written_by_plain_readers(root: str) -> set[tuple[str, int]]:
    import duckdb
    import pandas as pd

    rows = duckdb.sql(f"SELECT trial, epoch FROM read_parquet('{root}/epochs/**/*.parquet')").fetchall()
    frame = pd.read_parquet(f"{root}/epochs")
    assert set(rows) == set(zip(frame["trial"], frame["epoch"], strict=True))
    return set(rows)


def test_kill_in_mid_write(tmp_path: Path) -> None:
    """Whatever was acknowledged is there; at most the one row in flight besides; every file is readable."""
    store, chance = Store(str(tmp_path)), random.Random(0)
    acknowledged = 0
    for _ in range(4):
        # The last epoch is run again, as after a restore.
        arguments = [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path), "0001", str(max(acknowledged, 1))]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.05, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        said = process.stdout.read().split()  # the first line may be the repeated epoch
        process.wait()
        acknowledged = int(said[-1]) if said else max(acknowledged, 1)
        present = epochs_of(store, "0001")
        assert present in ([*range(1, acknowledged + 1)], [*range(1, acknowledged + 2)])
        assert written_by_plain_readers(str(tmp_path)) == {("0001", epoch) for epoch in present}
        acknowledged = len(present)
    for path in tmp_path.rglob("*.parquet"):
        assert pq.read_table(path).num_rows > 0
    store.compact()  # also names the row in flight, if it was whole
    assert epochs_of(store, "0001") in (present, [*present, len(present) + 1])


def write_trial(uri: str, trial: str, epochs: int) -> None:
    writer = Store(uri).writer("s", merge_every=2)
    for epoch in range(1, epochs + 1):
        writer.epoch(EpochRecord(study="s", trial=trial, epoch=epoch, metrics={"epoch": float(epoch)}))
        if epoch % 3 == 0:
            writer.epoch(EpochRecord(study="s", trial="shared", epoch=epoch, metrics={"epoch": float(epoch)}))


def test_many_writers_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_trial, args=(str(tmp_path), f"{i}", 30)) for i in range(3)]
    for process in writers:
        process.start()
    store = Store(str(tmp_path))
    while any(process.is_alive() for process in writers):
        keys = store.epochs("s").select(["trial", "epoch"]).to_pylist()
        assert len({(key["trial"], key["epoch"]) for key in keys}) == len(keys)
    assert [process.exitcode for process in writers] == [0] * 3
    for i in range(3):
        assert epochs_of(store, f"{i}") == [*range(1, 31)]
    assert epochs_of(store, "shared") == [*range(3, 31, 3)]


def write_and_compact(uri: str, acknowledged: "multiprocessing.sharedctypes.Synchronized[int]", seconds: float) -> None:
    store = Store(uri)
    writer = store.writer("s", merge_every=0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        epoch = acknowledged.value + 1
        writer.epoch(EpochRecord(study="s", trial="0", epoch=epoch, metrics={"epoch": float(epoch)}))
        acknowledged.value = epoch
        if epoch % 2 == 0:
            store.compact("s")


def test_reading_while_files_are_replaced(tmp_path: Path) -> None:
    """Every read shows each row that was there when it began, once; one process compacts as fast as it can."""
    spawn = multiprocessing.get_context("spawn")
    acknowledged = spawn.Value("q", 0)
    process = spawn.Process(target=write_and_compact, args=(str(tmp_path), acknowledged, 2.0))
    process.start()
    store, reads = Store(str(tmp_path)), 0
    while process.is_alive():
        before = acknowledged.value
        present = store.epochs("s")["epoch"].to_pylist() if reads % 2 else epochs_of(store, "0")
        assert present == [*range(1, len(present) + 1)]
        assert before <= len(present) <= acknowledged.value + 1
        reads += 1
    assert process.exitcode == 0
    assert reads > 5
    assert epochs_of(store, "0") == [*range(1, acknowledged.value + 1)]


def test_forked_writer_goes_on_under_its_own_name(local_store: Store) -> None:
    writer = local_store.writer("s")
    writer.epoch(EpochRecord(study="s", trial="parent", epoch=1))
    child = os.fork()
    if child == 0:
        try:
            writer._clock = lambda: 5  # the same time in both
            writer.epoch(EpochRecord(study="s", trial="child", epoch=1))
            os._exit(0)
        finally:
            os._exit(1)
    writer._clock = lambda: 5
    writer.epoch(EpochRecord(study="s", trial="parent", epoch=2))
    assert os.waitpid(child, 0)[1] == 0
    assert local_store.epochs("s")["trial"].to_pylist() == ["child", "parent", "parent"]
