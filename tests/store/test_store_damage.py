"""Foreign, older, newer and damaged Parquet beside ours: left out, named, and in nobody's way."""

import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from branchpoint.store import EpochRecord, Store, StudyRecord, TrialRecord, encoding
from branchpoint.store.records import to_table
from branchpoint.store.schema import SCHEMA_VERSION, TRIALS

VERSIONS = Path(__file__).parent / "versions"
GOOD = [TrialRecord(study="s", trial=f"{n}", state="COMPLETE", metrics={"m": float(n)}) for n in range(3)]


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "results"))
    writer = store.writer("s", merge_every=0)
    writer.study(StudyRecord(study="s"))
    for record in GOOD:
        writer.trial(record)
    writer.append([EpochRecord(study="s", trial="1", epoch=n, metrics={"loss": 1 / n}) for n in range(1, 101)])
    return store


def intruder(store: Store, name: str = f"{7:019d}-1-{'f' * 16}.parquet") -> Path:
    return Path(store.uri) / "trials" / "s" / name


def rows(**changes: object) -> pa.Table:
    """One row that would win everything, with columns changed."""
    record = TrialRecord(study="s", trial="9", state="COMPLETE", metrics={"m": 99.0})
    table = to_table([record], 7, "f" * 16)
    for name, column in changes.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, column)
    return table


def stated(table: pa.Table, version: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, store_schema=False) as out:
        out.write_table(table)
        out.add_key_value_metadata({"branchpoint.schema": version})
    return sink.getvalue().to_pybytes()


def foreign(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


WHOLE = encoding.encode(rows()).to_pybytes()
VALUE = WHOLE.index(struct.pack("<d", 99.0))
CHECKED = f"{7:019d}-1-{'f' * 16}-{zlib.crc32(WHOLE):08x}.parquet"
INTRUDERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "zeros": (b"\0" * 4096, "damaged"),
    "text": (b"study,trial\ns,9\n", "damaged"),
    "html": (b"<html><body>404</body></html>", "damaged"),
    "half": (WHOLE[: len(WHOLE) // 2], "damaged"),
    "one byte short": (WHOLE[:-1], "damaged"),
    "one byte long": (WHOLE + b"\0", "damaged"),
    "no footer": (WHOLE[:-200], "damaged"),
    "page flipped": (bytes([*WHOLE[:VALUE], WHOLE[VALUE] ^ 1, *WHOLE[VALUE + 1 :]]), "damaged"),
    "other columns": (foreign(pa.table({"a": [1]})), "no column study, trial, attempt"),
    "no columns": (foreign(pa.table({})), "no column study"),
    "no trial": (foreign(rows().drop_columns(["trial"])), "no column trial"),
    "no time": (foreign(rows().drop_columns(["written_ns"])), "no column written_ns"),
    "null trial": (foreign(rows(trial=pa.array([None], pa.string()))), "a row has no trial"),
    "null attempt": (foreign(rows(attempt=pa.array([None], pa.int32()))), "a row has no attempt"),
    "null time": (foreign(rows(written_ns=pa.array([None], pa.int64()))), "a row has no written_ns"),
    "null study": (foreign(rows(study=pa.array([None], pa.string()))), "rows of study"),
    "another study": (foreign(rows(study=pa.array(["t"]))), "rows of study 't' in the folder of 's'"),
    "metrics a number": (foreign(rows(metrics=pa.array([1.0]))), "column metrics has type double"),
    "metrics of texts": (
        foreign(rows(metrics=pa.array([[("m", "high")]], pa.map_(pa.string(), pa.string())))),
        "column metrics",
    ),
    "state a number": (foreign(rows(state=pa.array([[1]]))), "column state has type list"),
    "attempt a word": (foreign(rows(attempt=pa.array(["first"]))), "column attempt"),
    "attempt huge": (foreign(rows(attempt=pa.array([2**40]))), "column attempt"),
    "not UTF-8": (foreign(rows(reason=pa.array([b"\xff\xfe"]).view(pa.string()))), "damaged"),
    "newer": (stated(rows(), str(SCHEMA_VERSION + 1)), r"a newer Branchpoint wrote it \(schema version 3"),
    "version a word": (stated(rows(), "new"), "schema version is"),
}


def survives(store: Store) -> None:
    """Every kind of query gives what the files of ours hold."""
    assert [row["trial"] for row in store.best("s", "m", top=9)] == ["2", "1", "0"]
    assert store.trials("s")["trial"].to_pylist() == ["0", "1", "2"]
    assert store.trials(attempts="all").num_rows == 3
    assert store.sql("SELECT count(*) AS n, max(metrics['m']) AS m FROM trials").to_pylist() == [{"n": 3, "m": 2.0}]
    assert (store.epochs("s").num_rows, store.studies().num_rows) == (100, 1)


@pytest.mark.parametrize("kind", INTRUDERS)
def test_what_cannot_be_used_is_left_out_and_named(filled: Store, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    content, reason = INTRUDERS[kind]
    path = intruder(filled, CHECKED) if kind == "page flipped" else intruder(filled)
    path.write_bytes(content)
    survives(filled)
    survives(Store(filled.uri))
    (named,) = filled.left_out.items()
    assert named[0] == str(path)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(named[1])
    assert caplog.text.count(f"left out: {path}: ") == 2  # once for each Store
    filled.compact()
    assert path.read_bytes() == content
    survives(Store(filled.uri))
    path.write_bytes(WHOLE)  # restored
    assert filled.best("s", "m")[0]["value"] == 99.0
    assert filled.left_out == {}


@pytest.mark.parametrize("query", ["best", "trials", "sql", "epochs", "compact", "write"])
def test_each_query_meets_it_first(filled: Store, query: str) -> None:
    for table in ("trials", "epochs"):
        for number, content in enumerate((WHOLE[:-200], stated(rows(), "99"), b"")):
            (Path(filled.uri) / table / "s" / f"{7:019d}-1-{number:016x}.parquet").write_bytes(content)
    fresh = Store(filled.uri)
    work: dict[str, Callable[[], object]] = {
        "best": lambda: fresh.best("s", "m"),
        "trials": lambda: fresh.trials(),
        "sql": lambda: fresh.sql("SELECT * FROM trials, epochs"),
        "epochs": lambda: fresh.epochs("s"),
        "compact": lambda: fresh.compact(),
        "write": lambda: fresh.writer("s", merge_every=1).trial(GOOD[0]),
    }
    work[query]()
    assert len(fresh.left_out) >= (1 if query == "write" else 3)
    survives(fresh)


@pytest.mark.parametrize(
    "name",
    ["mine.parquet", f"{'9' * 19}-1-{'f' * 16}.parquet", "1-1-f.parquet", "sub/x.parquet", "folder.parquet/"],
)
def test_foreign_names(filled: Store, name: str) -> None:
    path = intruder(filled, name)
    if name.endswith("/"):
        path.mkdir()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(WHOLE)
    survives(filled)
    assert str(path) in filled.left_out
    filled.writer("s").trial(replace(GOOD[0]))
    survives(filled)


@pytest.mark.parametrize("absent", ["config", "state", "finished", "started", "metrics", "stage", "notes", "versions"])
@pytest.mark.parametrize("how", ["column", "value"])
def test_rows_without_a_value_stop_nothing(filled: Store, absent: str, how: str) -> None:
    kept = rows(metrics=pa.array([[("m", -1.0)]], TRIALS.schema.field("metrics").type))
    table = kept.drop_columns([absent])
    if how == "value":
        table = kept.set_column(kept.column_names.index(absent), absent, pa.nulls(1, TRIALS.schema.field(absent).type))
    intruder(filled).write_bytes(foreign(table))
    found = filled.best("s", "m", top=9)
    assert [row["trial"] for row in found][:3] == ["2", "1", "0"]
    assert len(found) == (3 if absent in ("state", "metrics") else 4)
    assert filled.trials("s").num_rows == 4
    assert filled.sql("SELECT count(*) AS n FROM trials").to_pylist() == [{"n": 4}]
    assert filled.left_out == {}
    filled.compact()
    assert filled.trials("s").num_rows == 4


@pytest.mark.parametrize("config", ["", "{", "[1]", "null", "not JSON"])
def test_a_row_whose_config_is_none(filled: Store, config: str) -> None:
    intruder(filled).write_bytes(foreign(rows(config=pa.array([config]))))
    assert filled.best("s", "m")[0]["config"] == {}


def test_no_flipped_byte_changes_a_result(filled: Store) -> None:
    """Each 13th byte of a file of one row, and of one of 100 rows: the same answer, or the file is named."""
    filled.compact()
    for table in ("trials", "epochs"):
        (path,) = (Path(filled.uri) / table / "s").glob("*.parquet")
        whole = path.read_bytes()
        expected = (filled.trials("s"), filled.epochs("s"))
        for place in range(0, len(whole), 13):
            path.write_bytes(bytes([*whole[:place], whole[place] ^ 0x10, *whole[place + 1 :]]))
            fresh = Store(filled.uri)
            found = (fresh.trials("s"), fresh.epochs("s"))
            assert found == expected or list(fresh.left_out) == [str(path)], f"{table}: byte {place}"
        path.write_bytes(whole)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_files_of_every_version(version: int, tmp_path: Path) -> None:
    """Written by ``versions/make.py`` with the Branchpoint of that time."""
    folder = tmp_path / "results"
    shutil.copytree(VERSIONS / str(version), folder)
    store = Store(str(folder))
    for _ in range(2):
        assert [row["trial"] for row in store.best("kept", "validation/score", top=9)] == ["1", "0"]
        best = store.best("kept", "validation/score")[0]
        assert (best["config"], best["value"], best["finished"].hour) == ({"number": 1}, 0.75, 12)
        assert store.trials("kept")["state"].to_pylist() == ["COMPLETE", "COMPLETE", "FAILED"]
        assert store.studies().to_pylist()[0]["excluded"] == ["P7"]
        assert store.epochs("kept")["metrics"].to_pylist()[9] == [("loss", 0.1)]
        counts = [store.figures().num_rows, store.affinities().num_rows, store.proposals().num_rows]
        assert counts == [1, 1, 1]
        assert store.sql("SELECT count(*) AS n FROM attempts JOIN epochs USING (study)").to_pylist() == [{"n": 400}]
        store.writer("kept", merge_every=0).epoch(EpochRecord(study="kept", trial="1", epoch=10, metrics={"loss": 0.1}))
        store.compact()
    assert store.left_out == {}


def test_all_versions_in_one_store(tmp_path: Path) -> None:
    for version in VERSIONS.iterdir():
        if version.is_dir() and version.name.isdigit():
            shutil.copytree(version, tmp_path, dirs_exist_ok=True)
    store = Store(str(tmp_path))
    assert [row["trial"] for row in store.best("kept", "validation/score", top=9)] == ["1", "0"]
    store.compact()
    assert store.trials("kept").num_rows == 3
    assert store.epochs("kept").num_rows == 100


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    absent = Store(str(tmp_path / "typo"))
    for ask in (lambda: absent.best("s", "m"), absent.require):
        with pytest.raises(ValueError, match=r"there is no results store at .*typo: no such folder"):
            ask()
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="file is a file: the results store is a folder"):
        Store(str(file)).require()
