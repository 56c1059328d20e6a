"""Files that other programs and other versions read and write, and what compaction does to them."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import fs as pafs

from branchpoint.store import EpochRecord, Store, TrialRecord, compaction
from branchpoint.store.data_file import DataFile
from branchpoint.store.encoding import encode
from branchpoint.store.records import to_table
from branchpoint.store.schema import TRIALS
from branchpoint.store.writer import Writer


def trial(name: str, score: float = 0.5, **values: object) -> TrialRecord:
    return TrialRecord(**{"study": "s", "trial": name, "state": "COMPLETE", "metrics": {"m": score}, **values})  # type: ignore[arg-type]


def paths(store: Store, table: str = "trials") -> list[Path]:
    return [Path(file.path) for file in store._files.data_files(table)]


def test_plain_readers(local_store: Store, tmp_path: Path) -> None:
    for i in range(60):
        local_store.writer(f"study-{i % 2}").append([trial(f"{i:03d}", i / 4, study=f"study-{i % 2}")])
        if i == 30:
            local_store.compact()
    (tmp_path / "results/trials/study-0/.1-1-a.parquet.tmp").write_bytes(b"half a fi")
    glob = f"{tmp_path}/results/trials/**/*.parquet"
    rows = duckdb.sql(f"SELECT study, trial, metrics['m'] FROM read_parquet('{glob}') ORDER BY trial").fetchall()
    assert rows == [(f"study-{i % 2}", f"{i:03d}", i / 4) for i in range(60)]
    frame = pd.read_parquet(tmp_path / "results" / "trials").sort_values("trial")
    assert list(frame["trial"]) == [f"{i:03d}" for i in range(60)]
    assert str(frame["started"].dtype).endswith("UTC]")


def test_older_and_newer_files(local_store: Store) -> None:
    """Columns that an older version did not write are null; those of a newer one outlast a compaction."""
    local_store.writer("s", merge_every=0).trial(trial("present", 1.0))
    rows = to_table([trial("old", 3.0)], 7, "0" * 16)
    older = rows.drop_columns(["gpu_seconds", "versions", "stage"])
    newer = to_table([trial("new", 2.0)], 8, "0" * 16).append_column("carbon_grams", pa.array([12.5]))
    for ns, part in ((7, older), (8, newer)):
        local_store._files.put("trials", "s", ns, 1, "0" * 16, encode(part))
    for _ in range(2):
        assert local_store.trials("s")["trial"].to_pylist() == ["new", "old", "present"]
        assert local_store.trials("s")["stage"].to_pylist() == ["search", None, "search"]
        assert local_store.trials("s")["carbon_grams"].to_pylist() == [12.5, None, None]
        assert [row["trial"] for row in local_store.best("s", "m", top=3)] == ["old", "new", "present"]
        assert local_store.sql("SELECT count(*) n FROM trials WHERE stage = 'search'").to_pylist() == [{"n": 2}]
        local_store.compact()
    assert len(paths(local_store)) == 1


def test_writers_keep_the_number_of_files_small() -> None:
    store = Store("results", pafs._MockFileSystem(datetime.now(UTC)))
    writer = store.writer("s")
    counts = []
    for epoch in range(400):
        writer.epoch(EpochRecord(study="s", trial="0", epoch=epoch))
        counts.append(len(paths(store, "epochs")))
    assert max(counts) < 20
    assert store.epochs("s").num_rows == 400


@pytest.mark.parametrize(
    ("rows", "merged"),
    [
        ([1] * 7, 0),
        ([1] * 8, 8),
        ([1] * 8 + [8], 9),
        ([1] * 8 + [9], 8),
        ([1] * 8 + [8, 16, 32, 65], 11),
        ([8, 16, 32], 0),
        ([65_536] * 20, 0),
        ([65_536] * 20 + [60_000] * 2, 2),
        ([30_000] * 8, 3),
    ],
)
def test_what_is_due(rows: list[int], merged: int) -> None:
    files = [DataFile(i, count, f"{i}", "s", False) for i, count in enumerate(rows)]
    due = compaction.due(files)
    assert len(due) == merged
    assert sorted(file.rows for file in due) == sorted(rows)[:merged]


def test_compaction_after_a_crash_and_beside_another(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    files = local_store._files
    writer = local_store.writer("s", merge_every=0)
    for i in range(6):
        writer.trial(trial(f"{i % 3}", float(i)))
    group = files.data_files("trials", "s")
    with monkeypatch.context() as patch:  # killed before the old files were removed, twice
        patch.setattr(files, "delete", lambda gone: None)
        assert compaction.merge(files, TRIALS, group) is not None
        assert compaction.merge(files, TRIALS, group[:4]) is not None
    assert len(paths(local_store)) == 8
    assert local_store.trials("s")["metrics"].to_pylist() == [[("m", 3.0)], [("m", 4.0)], [("m", 5.0)]]
    assert [row["trial"] for row in local_store.best("s", "m", top=9)] == ["2", "1", "0"]
    local_store.compact()
    assert len(paths(local_store)) == 1
    assert compaction.merge(files, TRIALS, group) is None  # another one was faster
    assert local_store.trials("s").num_rows == 3


def test_failed_merge_does_not_fail_the_write(
    local_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(compaction, "compact", full)
    writer = local_store.writer("s", merge_every=1)
    writer.trial(trial("0"))
    assert local_store.trials("s").num_rows == 1
    assert "study 's': small files of trials were not merged: No space left on device" in caplog.text


def test_a_row_shows_when_its_file_is_on_the_disk(
    local_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written under a hidden name, synced once, renamed: in this order."""
    writer = local_store.writer("s", merge_every=0)
    writer.trial(trial("0"))
    visible: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: visible.append(len(list(tmp_path.rglob("*.parquet")))))
    writer.trial(trial("1"))
    assert visible == [1]
    assert local_store.trials("s").num_rows == 2


def test_failed_write_leaves_nothing(local_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError("No space left on device")

    writer = local_store.writer("s")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            writer.trial(trial("0"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    writer.trial(trial("0"))
    assert local_store.trials("s").num_rows == 1


def hide(path: Path, age_seconds: float, torn: bool = False) -> Path:
    """As a writer leaves a file that is killed, or loses power, before or after the last byte."""
    hidden = path.with_name(f".{path.name}.tmp")
    hidden.write_bytes(path.read_bytes()[: -20 if torn else None])
    path.unlink()
    os.utime(hidden, (time.time() - age_seconds, time.time() - age_seconds))
    return hidden


def test_what_a_killed_writer_left(local_store: Store) -> None:
    """Whole files get their names, torn ones go after a week; what is young may have a living writer."""
    writer = local_store.writer("s")
    for i in range(4):
        writer.trial(trial(f"{i}"))
    first, *others = paths(local_store)
    hide(first, 60)
    young, torn, _ = (hide(path, age, age != 1) for path, age in zip(others, (1, 60, 8 * 86_400), strict=True))
    for _ in range(2):
        assert local_store.trials("s")["trial"].to_pylist() == ["0"]
    assert {path for path in first.parent.glob(".*")} == {young, torn}
    late = Writer(local_store._files, "s", clock=lambda: 5)
    late.trial(trial("3", 0.75))
    os.utime(young, (0, 0))
    assert [row["trial"] for row in local_store.best("s", "m", top=9)] == ["3", "0", "1"]
    assert late._last_ns["trials"] > int(young.name[1:20])


def test_what_cannot_be_recovered_is_said(
    local_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    local_store.writer("s").trial(trial("0"))
    hidden = hide(paths(local_store)[0], 60)
    hidden.unlink()
    hidden.mkdir()  # what cannot be read or renamed, whoever asks
    os.utime(hidden, (0, 0))
    assert local_store.trials("s").num_rows == 0
    assert "holds rows that a killed writer left, but cannot be renamed" in caplog.text


def test_recovery_beside_a_living_writer(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may name a file that its writer, slower than any, is about to name: both mean the same."""
    writer = local_store.writer("s")
    writer.trial(trial("0"))
    monkeypatch.setattr("branchpoint.store.listing._DEAD_SECONDS", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: local_store.trials("s"))
        writer.trial(trial("1"))
    assert local_store.trials("s")["trial"].to_pylist() == ["0", "1"]


def test_clocks(local_store: Store) -> None:
    """A clock that stands still or goes back does not bring an older row to light."""
    first = Writer(local_store._files, "s", clock=lambda: 10**18)
    for score in (1.0, 2.0, 3.0):
        first.trial(trial("0", score))
    resumed = Writer(local_store._files, "s", clock=lambda: 10**17)
    resumed.trial(trial("0", 4.0))
    assert local_store.trials("s")["metrics"].to_pylist() == [[("m", 4.0)]]
    stamps = [file.written_ns for file in local_store._files.data_files("trials", "s")]
    assert stamps == [10**18 + i for i in range(4)]


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("merge_every", [0, 1])
def test_two_hosts_an_hour_apart(local_store: Store, ahead: int, merge_every: int) -> None:
    """Both wrote before, so that neither looks at the other's rows for the first time; the later call holds."""
    hour = 3600 * 10**9
    hosts = [
        Writer(local_store._files, "s", clock=lambda n=n: time.time_ns() + n * hour, merge_every=merge_every)
        for n in (ahead, 1 - ahead)
    ]
    for number, host in enumerate(hosts):
        host.trial(trial(f"other {number}"))
        host.epoch(EpochRecord(study="s", trial="0", epoch=5 + number))
    for step in range(6):
        host = hosts[step % 2]
        host.trial(trial("0", float(step), state="RUNNING" if step < 5 else "COMPLETE"))
        host.epoch(EpochRecord(study="s", trial="0", epoch=1, metrics={"m": float(step)}))
        (row,) = (row for row in local_store.trials("s").to_pylist() if row["trial"] == "0")
        assert row["metrics"] == [("m", float(step))]
        assert local_store.epochs("s")["metrics"].to_pylist()[0] == [("m", float(step))]
    assert local_store.best("s", "m")[0]["trial"] == "0"
    hosts[0].trial(trial("0", 9.0, attempt=2, state="RUNNING"))
    hosts[1].trial(trial("0", 7.0, attempt=1))  # a late word of the first attempt
    assert local_store.sql("SELECT attempt, state FROM trials WHERE trial = '0'").to_pylist() == [
        {"attempt": 2, "state": "RUNNING"}
    ]


def test_a_file_that_a_fast_clock_took_for_torn_is_written_again(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = local_store.writer("s", merge_every=0)
    writer.trial(trial("0"))
    folder = paths(local_store)[0].parent
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: [path.unlink() for path in folder.glob(".*.tmp")] and patch.undo())
        writer.trial(trial("1"))
    assert local_store.trials("s")["trial"].to_pylist() == ["0", "1"]


def test_listing_sees_a_file_that_replaces_others_while_it_lists(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory was half read when a compaction came: the new file is not in the listing, nor are the old ones."""
    files = local_store._files
    writer = local_store.writer("s", merge_every=0)
    for i in range(3):
        writer.trial(trial(f"{i}"))
    once, calls = files.lister._list_once, 0

    def torn(table: str, study: str | None) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            local_store_copy = Store(local_store.uri)
            local_store_copy.compact()
            return {}, []
        return once(table, study)

    monkeypatch.setattr(files.lister, "_list_once", torn)
    assert local_store.trials("s").num_rows == 3
    assert calls > 2
