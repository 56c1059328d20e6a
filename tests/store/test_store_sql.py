"""SQL reads the store and nothing else, and says what is wrong with a query."""

import contextlib
import os
import socket
from pathlib import Path

import pytest

from branchpoint.store import EpochRecord, Store, TrialRecord


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "results"))
    writer = store.writer("s", merge_every=0)
    for number in range(3):
        row = {"study": "s", "trial": f"{number}", "metrics": {"m": number / 2}}
        writer.trial(TrialRecord(state="RUNNING", **row))  # type: ignore[arg-type]
        writer.trial(TrialRecord(state="COMPLETE", **row))  # type: ignore[arg-type]
    writer.append([EpochRecord(study="s", trial="1", epoch=n, metrics={"loss": 1 / n}) for n in range(1, 101)])
    return store


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT trial, metrics['m'] AS m FROM trials ORDER BY m DESC LIMIT 1", [{"trial": "2", "m": 1.0}]),
        ("SELECT count(*) AS n FROM attempts WHERE state = 'COMPLETE'", [{"n": 3}]),
        ("FROM epochs SELECT round(avg(metrics['loss']), 3) AS loss", [{"loss": 0.052}]),
        ("WITH x AS (SELECT trial FROM trials) SELECT count(*) AS n FROM x JOIN epochs USING (trial)", [{"n": 100}]),
        ("SELECT max(epoch) AS n FROM epochs WHERE trial = '1' AND epoch < 50;", [{"n": 49}]),
        ("SELECT epoch FROM epochs EXCEPT SELECT epoch FROM epochs WHERE epoch > 1 -- a remark", [{"epoch": 1}]),
        ("VALUES (1)", [{"col0": 1}]),
        (
            "SHOW TABLES",
            [
                {"name": name}
                for name in sorted(["studies", "trials", "attempts", "epochs", "figures", "affinities", "proposals"])
            ],
        ),
        (
            "PIVOT (SELECT state, epoch FROM epochs JOIN trials USING (trial)) ON state USING max(epoch)",
            [{"COMPLETE": 100}],
        ),
    ],
)
def test_what_reads_is_answered(filled: Store, query: str, rows: list[dict[str, object]]) -> None:
    assert filled.sql(query).to_pylist() == rows


def test_describing_and_explaining(filled: Store) -> None:
    assert "metrics" in filled.sql("DESCRIBE trials")["column_name"].to_pylist()
    assert filled.sql("SUMMARIZE trials").num_rows > 10
    assert filled.sql("EXPLAIN SELECT * FROM trials").num_rows >= 1


WRITING = [
    "COPY trials TO '{out}'",
    "COPY (SELECT 1) TO '{out}' (FORMAT parquet)",
    "COPY trials FROM '{secret}'",
    "COPY FROM DATABASE memory TO memory",
    "ATTACH '{out}'",
    "ATTACH ':memory:' AS other",
    "ATTACH '{secret}' (TYPE sqlite)",
    "DETACH memory",
    "USE memory",
    "EXPORT DATABASE '{out}'",
    "IMPORT DATABASE '{out}'",
    "INSTALL httpfs",
    "FORCE INSTALL httpfs FROM 'http://127.0.0.1:9'",
    "LOAD httpfs",
    "LOAD '{secret}'",
    "UPDATE EXTENSIONS",
    "CREATE TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW trials AS SELECT 1",
    "CREATE SECRET x (TYPE s3)",
    "CREATE MACRO f(x) AS x",
    "DROP VIEW trials",
    "INSERT INTO trials VALUES (1)",
    "DELETE FROM trials",
    "UPDATE trials SET state = 'x'",
    "ALTER VIEW trials RENAME TO t",
    "TRUNCATE trials",
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "SET lock_configuration = false",
    "SET temp_directory = '{folder}'",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA profiling_output = '{out}'",
    "PRAGMA temp_directory = '{folder}'",
    "PRAGMA database_list",
    "PRAGMA import_database('{folder}')",
    "CALL enable_logging()",
    "CALL pragma_version()",
    "CHECKPOINT",
    "BEGIN TRANSACTION",
    "PREPARE p AS COPY trials TO '{out}'",
    "EXECUTE p",
    "VACUUM",
    "ANALYZE",
    "SELECT 1; COPY trials TO '{out}'",
    "SELECT 1; SELECT 2",
    "COPY trials TO '{out}'; SELECT 1",
    "EXPLAIN ANALYZE COPY trials TO '{out}'",
    "",
    "   -- nothing",
]
READING_ELSEWHERE = [
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_csv_auto('{secret}')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM read_json('{secret}')",
    "SELECT * FROM read_json_objects('{secret}')",
    "SELECT * FROM read_ndjson('{secret}')",
    "SELECT * FROM read_parquet('{own}')",
    "SELECT * FROM parquet_scan('{own}')",
    "SELECT * FROM parquet_metadata('{own}')",
    "SELECT * FROM parquet_schema('{own}')",
    "SELECT * FROM parquet_kv_metadata('{own}')",
    "SELECT * FROM parquet_file_metadata('{own}')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM '{own}'",
    "SELECT * FROM 'http://127.0.0.1:{port}/x.parquet'",
    "SELECT * FROM read_csv('http://127.0.0.1:{port}/x')",
    "SELECT * FROM read_text('file://{secret}')",
    "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')",
    "SELECT * FROM query_table('{secret}')",
    "SELECT (SELECT content FROM read_text('{secret}')) FROM trials",
    "WITH x AS MATERIALIZED (SELECT * FROM read_text('{secret}')) SELECT * FROM x",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''{secret}'')'))",
    "SELECT getenv('HOME')",
    "SELECT * FROM sqlite_scan('{secret}', 'x')",
    "SELECT * FROM postgres_scan('', '', '')",
    "SELECT * FROM iceberg_scan('{folder}')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "EXPLAIN ANALYZE SELECT * FROM read_text('{secret}')",
    "DESCRIBE SELECT * FROM read_text('{secret}')",
    "SUMMARIZE SELECT * FROM read_csv('{secret}')",
]
INTERNAL = [
    f"SELECT * FROM {name}"
    for name in (
        *("files", "listing", "listed", "named", "tables", "view", "clean", "dirty", "parts", "self", "found"),
        *("trials_rows", "trials_files", "connection", "relation", "query", "os", "VIEWS", "parameters", "dataset"),
    )
]


@pytest.mark.parametrize("query", WRITING + READING_ELSEWHERE + INTERNAL)
def test_what_writes_or_reads_elsewhere_is_refused(filled: Store, tmp_path: Path, query: str) -> None:
    files, listing = [{"a": 1}], [1]  # names of variables around the call are no tables either
    secret, folder = tmp_path / "secret.csv", tmp_path / "folder"
    secret.write_text("a,b\n1,hunter2\n")
    folder.mkdir()
    own = next((tmp_path / "results/trials/s").glob("*.parquet"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0)
        port = server.getsockname()[1]
        with pytest.raises(ValueError, match="the SQL query cannot be answered") as refusal:
            filled.sql(query.format(out=tmp_path / "out", secret=secret, folder=folder, own=own, port=port))
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "hunter2" not in str(refusal.value)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (len(files), len(listing)) == (1, 1)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM enable_logging(storage = 'file', storage_path = '{out}')",
        "SELECT * FROM enable_profile(save_location = '{out}')",
        "SELECT * FROM checkpoint()",
        "SELECT * FROM force_checkpoint()",
        "SELECT write_log('x')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_temporary_files()",
        "SELECT set_config('lock_configuration', 'false', false)",
    ],
)
def test_functions_with_effects_have_none(filled: Store, tmp_path: Path, query: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with contextlib.suppress(ValueError):
        filled.sql(query.format(out=tmp_path / "out"))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELEC trial FROM trials", "syntax error"),
        ("SELECT trail FROM trials", "trail"),
        ("SELECT * FROM trial", "trial"),
        ("SELECT trial FROM trials WHERE", "syntax error"),
        ("SELECT trial + 1 FROM trials GROUP BY", "syntax"),
        ("SELECT CAST(trial AS DATE) FROM trials", "Could not convert|invalid date|Conversion"),
        ("SELECT 'unclosed FROM trials", "unterminated|syntax"),
        ("SELECT ? FROM trials", "1|parameter"),
        ("SELECT repeat('x', 1000000000000)", "."),
        ("\0", "."),
        ("SELECT * FROM \ud800", "."),
    ],
)
def test_mistakes_are_messages(filled: Store, query: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"(?s)the SQL query cannot be answered: .*({named})"):
        filled.sql(query)
    assert filled.left_out == {}


def test_parameters_are_values(filled: Store) -> None:
    hostile = "'; COPY trials TO 'x'; --"
    assert filled.sql("SELECT trial FROM trials WHERE trial = ?", [hostile]).num_rows == 0
    assert not os.path.exists("x")
    with pytest.raises(ValueError, match="cannot be answered"):
        filled.sql("SELECT trial FROM trials WHERE trial = ?", ["1", "2"])
