"""What a store promises, on every kind of file system."""

import math
import pickle
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from branchpoint.store import EpochRecord, FigureRecord, Store, StudyRecord, TrialRecord

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)


def trial(name: str, score: float | None = None, **values: object) -> TrialRecord:
    metrics = {} if score is None else {"validation/score": score, "validation/loss": -score}
    fields = {"study": "s", "trial": name, "state": "COMPLETE", "metrics": metrics, "config": f'{{"name":"{name}"}}'}
    return TrialRecord(**{**fields, **values})  # type: ignore[arg-type]


FULL_STUDY = StudyRecord(
    study="s",
    dataset="sts",
    release="1",
    config='{"a":1}',
    settings='{"trials":2}',
    excluded=("p 1", "p2"),
    versions={"torch": "2.6"},
    started=NOW,
)
FULL_TRIAL = trial(
    "0001",
    0.5,
    attempt=2,
    fingerprint="f",
    candidate="c",
    fold=3,
    seed=2**40,
    stage="final",
    reason="r",
    parameters=10**10,
    macs=10**12,
    peak_memory_bytes=2**35,
    epoch_seconds=1.5,
    gpu_seconds=2.5,
    versions={"torch": "2.6"},
    started=NOW,
    finished=NOW,
    notes=("age is missing",),
)
FULL_EPOCH = EpochRecord(study="s", trial="0001", attempt=2, epoch=7, metrics={"train/loss": math.inf}, seconds=0.25)
FULL_FIGURE = FigureRecord(
    study="s",
    candidate="c",
    label="best found",
    kind="model",
    split="test",
    fold=-1,
    task="t",
    metric="dice",
    value=0.5,
    low=0.25,
    high=0.75,
    n=30,
    error=0.125,
    p=0.5,
    p_adjusted=1.0,
    resampled="30 samples",
)


def as_row(record: object) -> dict[str, object]:
    """What the store gives back for ``record``: maps as pairs, tuples as lists."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return list(value.items())
        return list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in vars(record).items()}


def test_every_column_comes_back(store: Store) -> None:
    writer = store.writer("s")
    writer.study(FULL_STUDY)
    writer.trial(FULL_TRIAL)
    writer.epoch(FULL_EPOCH)
    writer.figures([FULL_FIGURE])
    assert store.studies().to_pylist() == [as_row(FULL_STUDY)]
    assert store.trials("s").to_pylist() == [as_row(FULL_TRIAL)]
    assert store.epochs("s").to_pylist() == [as_row(FULL_EPOCH)]
    assert store.figures("s").to_pylist() == [as_row(FULL_FIGURE)]
    assert store.trials("s").schema.field("started").type == pa.timestamp("us", "UTC")


def test_empty_store_has_empty_tables(store: Store) -> None:
    assert [table.num_rows for table in (store.studies(), store.trials(), store.epochs("x"), store.figures())] == [
        0
    ] * 4
    assert store.sql("SELECT count(*) AS n FROM trials").to_pylist() == [{"n": 0}]
    with pytest.raises(ValueError, match=r"there is no results store at .*results: no such folder"):
        store.best("x", "validation/score")


@pytest.mark.parametrize("compact", [False, True])
def test_written_again_replaces(store: Store, compact: bool) -> None:
    writer = store.writer("s")
    for loss in (3.0, 2.0, 1.0):
        writer.epoch(EpochRecord(study="s", trial="0001", epoch=1, metrics={"loss": loss}))
        store.writer("s").trial(trial("0001", -loss))  # a new process each time
        if compact:
            store.compact()
    assert store.epochs("s")["metrics"].to_pylist() == [[("loss", 1.0)]]
    assert store.trials("s")["metrics"].to_pylist()[0][0] == ("validation/score", -1.0)
    writer.figures([FigureRecord(study="s", label="x", task="t", metric="m", value=value) for value in (1.0, 2.0)])
    assert store.figures("s")["value"].to_pylist() == [2.0]


def test_latest_attempt_stands_for_the_trial(store: Store) -> None:
    writer = store.writer("s")
    writer.trial(trial("0001", 0.9, attempt=1))
    writer.trial(trial("0001", attempt=2, state="FAILED", reason="out of memory"))
    writer.trial(trial("0001", 0.8, attempt=1))  # a late word of the first attempt
    writer.trial(trial("0002", 0.1))
    assert store.trials("s")["attempt"].to_pylist() == [2, 1]
    assert store.trials("s", attempts="all")["attempt"].to_pylist() == [1, 2, 1]
    assert store.sql("SELECT trial, attempt FROM trials ORDER BY 1").to_pylist() == [
        {"trial": "0001", "attempt": 2},
        {"trial": "0002", "attempt": 1},
    ]
    assert store.sql("SELECT count(*) AS n FROM attempts").to_pylist() == [{"n": 3}]
    assert [row["trial"] for row in store.best("s", "validation/score", top=5)] == ["0002"]


@pytest.mark.parametrize("compact", [False, True])
def test_best(store: Store, compact: bool) -> None:
    writer = store.writer("s")
    for name, score in {"a": 0.1, "b": math.nan, "c": 0.7, "d": math.inf, "e": 0.7, "f": 0.3}.items():
        writer.trial(trial(name, score))
    writer.trial(trial("g", 0.99, state="PRUNED", reason="behind"))
    writer.trial(trial("h", 0.98, state="RUNNING"))
    writer.trial(trial("i", 0.6, stage="final"))
    if compact:
        store.compact()
    best = store.best("s", "validation/score", top=3)
    assert [(row["trial"], row["value"]) for row in best] == [("c", 0.7), ("e", 0.7), ("i", 0.6)]
    assert best[0]["config"] == {"name": "c"}
    assert best[0]["metrics"] == {"validation/score": 0.7, "validation/loss": -0.7}
    assert [row["trial"] for row in store.best("s", "validation/score", top=9)] == ["c", "e", "i", "f", "a"]
    assert [row["trial"] for row in store.best("s", "validation/score", top=2, maximize=False)] == ["a", "f"]
    assert [row["trial"] for row in store.best("s", "validation/score", stage="final")] == ["i"]
    with pytest.raises(ValueError, match="has metric 'score'; they have validation/loss, validation/score"):
        store.best("s", "score")
    with pytest.raises(ValueError, match=r"no trials of study 'other' .* there are: s"):
        store.best("other", "validation/score")


def test_best_without_a_complete_trial_is_empty(store: Store) -> None:
    store.writer("s").trial(trial("a", 0.5, state="RUNNING"))
    assert store.best("s", "validation/score") == []


def test_studies_stay_apart(store: Store) -> None:
    names = ["s", "s.1", "s-1", "t_hidden", "ab"]
    for i, name in enumerate(names):
        store.writer(name).trial(trial("0001", float(i), study=name))
    store.compact()
    for i, name in enumerate(names):
        assert store.trials(name)["study"].to_pylist() == [name]
        assert store.best(name, "validation/score")[0]["value"] == i
    assert sorted(store.trials()["study"].to_pylist()) == sorted(names)
    with pytest.raises(ValueError, match=r"no trials of study 'other' .* there are: ab, s, s-1, s.1, t_hidden"):
        store.best("other", "validation/score")


def test_columns(store: Store) -> None:
    store.writer("s").trial(trial("0001", 0.5))
    assert store.trials("s", columns=["state"]).column_names == ["study", "trial", "attempt", "state"]
    with pytest.raises(ValueError, match="column 'stat': table trials has study, trial"):
        store.trials("s", columns=["stat"])


def test_sql_parameters_and_errors(store: Store) -> None:
    store.writer("s").trial(trial("0001", 0.5))
    query = "SELECT metrics['validation/score'] AS score FROM trials WHERE study = ?"
    assert store.sql(query, ["s"]).to_pylist() == [{"score": 0.5}]
    with pytest.raises(ValueError, match=r'cannot be answered: .*"nonsense" not found'):
        store.sql("SELECT nonsense FROM trials")


def test_store_and_writer_travel_to_other_processes(store: Store) -> None:
    if "Mock" in type(store._files.place.fs).__name__:
        pytest.skip("a file system in memory belongs to one process")
    writer = store.writer("s")
    copies = [pickle.loads(pickle.dumps(writer)) for _ in range(2)]
    for i, copy in enumerate([writer, *copies]):
        copy.trial(trial(f"{i}", 0.5))
    assert len({copy._origin for copy in [writer, *copies]}) == 3
    assert pickle.loads(pickle.dumps(store)).trials("s").num_rows == 3


def test_writer_refuses_rows_it_cannot_keep(store: Store) -> None:
    writer = store.writer("s")
    with pytest.raises(ValueError, match="'other' given to the writer of 's'"):
        writer.trial(trial("0001", study="other"))
    with pytest.raises(ValueError, match="EpochRecord among rows of 'trials'"):
        writer.append([trial("0001"), EpochRecord(study="s", trial="0001", epoch=1)])
    writer.append([])
    assert store.trials().num_rows == 0
    with pytest.raises(ValueError, match=r"study is 'xxx.*1 to 100 letters"):
        store.writer("x" * 300)


def test_many_rows_in_one_call_equal_many_calls(store: Store) -> None:
    """Some 100 rows are compressed and sorted, one is written bare: both read alike."""
    records = [trial(f"{i % 60:04d}", i / 7) for i in range(100)]
    store.writer("s").append(records)
    writer = store.writer("t")
    for record in records[40:]:  # those that hold
        writer.trial(trial(record.trial, record.metrics["validation/score"], study="t"))
    rows, others = store.trials("s"), store.trials("t")
    assert rows["trial"].to_pylist() == [f"{i:04d}" for i in range(60)]
    assert rows["metrics"][39].as_py()[0] == ("validation/score", 99 / 7)
    assert rows.drop_columns("study").to_pylist() == others.drop_columns("study").to_pylist()
    best, other = (store.best(study, "validation/score", top=3) for study in "st")
    assert [row["trial"] for row in best] == [row["trial"] for row in other] == ["0039", "0038", "0037"]
