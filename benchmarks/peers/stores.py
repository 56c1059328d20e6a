"""One face for stores of results: append a finished trial, hold many, find the best one from a new reader."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from branchpoint.store import EpochRecord, Store, TrialRecord

METRICS = (
    "train/loss",
    "validation/loss",
    "validation/score",
    "validation/tumour/dice",
    "validation/tumour/dice_aggregated",
    "validation/tumour/n_empty",
    "validation/survival/c_index",
)
SCORE = METRICS.index("validation/score")
FINAL_ROWS = 65_536

Reader = Callable[[], float]
"""The score of the best trial, with its row."""


class Trials:
    """Synthetic trials: seven metrics and a config of about 1 kB; every third one was stopped early."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.metrics = np.random.default_rng(seed).random((count, len(METRICS)))
        self.best = float(self.metrics[[self.is_complete(i) for i in range(count)], SCORE].max())

    @staticmethod
    def is_complete(number: int) -> bool:
        return number % 3 != 2

    def values(self, number: int) -> dict[str, float]:
        return dict(zip(METRICS, self.metrics[number].tolist(), strict=True))

    def config(self, number: int) -> str:
        rate = float(self.metrics[number, 0]) * 1e-2
        return json.dumps({"optimizer": {"learning_rate": rate}, "network": {"width": number % 64}, "rest": "x" * 900})


class Branchpoint:
    """This project's store: Parquet, each row synced."""

    name, synced = "branchpoint, trials", True

    def __init__(self, folder: Path, trials: Trials) -> None:
        self.folder, self.trials = folder, trials
        self.writer = Store(str(folder)).writer("study")

    def _record(self, number: int, state: Any) -> TrialRecord:
        reason = "" if state in ("RUNNING", "COMPLETE") else "behind the median"
        metrics = {} if state == "RUNNING" else self.trials.values(number)
        return TrialRecord(
            study="study",
            trial=f"{number:07d}",
            state=state,
            reason=reason,
            metrics=metrics,
            config=self.trials.config(number),
            candidate=f"{number:016x}",
            fold=0,
            seed=0,
            parameters=number,
            macs=number,
            epoch_seconds=1.0,
            versions={"torch": "2.6"},
        )

    def _final(self, number: int) -> TrialRecord:
        return self._record(number, "COMPLETE" if self.trials.is_complete(number) else "PRUNED")

    def write_trial(self, number: int) -> None:
        self.writer.trial(self._final(number))

    def fill(self, count: int) -> str:
        """Whole files of 65,536 rows, as merging leaves them, then one row at a time; below 10,000 trials each also
        was RUNNING first."""
        whole = count - count % FINAL_ROWS
        for start in range(0, whole, FINAL_ROWS):
            self.writer.append([self._final(number) for number in range(start, start + FINAL_ROWS)])
        for number in range(whole, count):
            if count < 10_000:
                self.writer.trial(self._record(number, "RUNNING"))
            self.write_trial(number)
        sizes = [path.name.split("-")[1] for path in sorted((self.folder / "trials" / "study").iterdir())]
        return f"{sizes.count(str(FINAL_ROWS))} files of 65,536 rows, {len(sizes)} in all"

    def reader(self) -> Reader:
        store = Store(str(self.folder))
        return lambda: float(store.best("study", METRICS[SCORE])[0]["value"])


class BranchpointEpochs(Branchpoint):
    """The same for a row of an epoch; nothing to rank."""

    name = "branchpoint, epochs"

    def write_trial(self, number: int) -> None:
        self.writer.epoch(EpochRecord(study="study", trial="0", epoch=number, metrics=self.trials.values(number)))


class OptunaJournal:
    """Optuna's JournalStorage on a file."""

    name, synced = "Optuna journal", True

    def __init__(self, folder: Path, trials: Trials) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.optuna, self.folder, self.trials = optuna, folder, trials
        self.study = optuna.create_study(study_name="study", storage=self._storage(), direction="maximize")

    def _storage(self) -> Any:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        return JournalStorage(JournalFileBackend(str(self.folder / "journal.log")))

    def write_trial(self, number: int) -> None:
        state = self.optuna.trial.TrialState.COMPLETE if self.trials.is_complete(number) else None
        attributes = {"config": self.trials.config(number), "metrics": self.trials.values(number)}
        self.study.add_trial(
            self.optuna.trial.create_trial(
                state=state or self.optuna.trial.TrialState.PRUNED,
                value=float(self.trials.metrics[number, SCORE]),
                user_attrs=attributes,
            )
        )

    def fill(self, count: int) -> str:
        """The lines that append writes, in one go."""
        self.write_trial(0)
        path = self.folder / "journal.log"
        template = json.loads(path.read_text().splitlines()[-1])
        with path.open("a") as lines:
            for number in range(1, count):
                state = 1 if self.trials.is_complete(number) else 2
                attributes = {"config": self.trials.config(number), "metrics": self.trials.values(number)}
                value = float(self.trials.metrics[number, SCORE])
                lines.write(json.dumps({**template, "state": state, "value": value, "user_attrs": attributes}) + "\n")
        return f"{path.stat().st_size / 1e6:.0f} MB"

    def reader(self) -> Reader:
        study: list[Any] = []

        def best() -> float:
            if not study:
                study.append(self.optuna.load_study(study_name="study", storage=self._storage()))
            return float(study[0].best_trial.value)

        return best


class OptunaSqlite(OptunaJournal):
    """Optuna's RDBStorage on SQLite."""

    name = "Optuna SQLite"

    def _storage(self) -> Any:
        return self.optuna.storages.RDBStorage(f"sqlite:///{self.folder}/optuna.db")

    def fill(self, count: int) -> str:
        """The rows that append writes, in one transaction."""
        self.write_trial(0)
        with sqlite3.connect(self.folder / "optuna.db") as base:
            (start,) = base.execute("SELECT datetime_start FROM trials").fetchone()
            numbers = range(1, count)
            states = {True: "COMPLETE", False: "PRUNED"}
            base.executemany(
                "INSERT INTO trials VALUES (?, ?, 1, ?, ?, ?)",
                ((n + 1, n, states[self.trials.is_complete(n)], start, start) for n in numbers),
            )
            base.executemany(
                "INSERT INTO trial_values VALUES (NULL, ?, 0, ?, 'FINITE')",
                ((n + 1, float(self.trials.metrics[n, SCORE])) for n in numbers),
            )
            base.executemany("INSERT INTO trial_user_attributes VALUES (NULL, ?, ?, ?)", self._attributes(numbers))
        return f"{(self.folder / 'optuna.db').stat().st_size / 1e6:.0f} MB"

    def _attributes(self, numbers: range) -> Iterator[tuple[int, str, str]]:
        for number in numbers:
            yield number + 1, "config", json.dumps(self.trials.config(number))
            yield number + 1, "metrics", json.dumps(self.trials.values(number))


class Delta:
    """A Delta Lake table with a column for each metric, compacted before it is read. It syncs nothing to the disk."""

    name, synced = "deltalake", False

    def __init__(self, folder: Path, trials: Trials) -> None:
        import deltalake

        self.deltalake, self.path, self.trials = deltalake, str(folder / "delta"), trials

    def _write(self, numbers: range) -> None:
        names = [name.replace("/", "_") for name in METRICS]
        columns: dict[str, Any] = dict(zip(names, self.trials.metrics[numbers.start : numbers.stop].T, strict=True))
        columns["trial"] = [f"{number:07d}" for number in numbers]
        columns["state"] = ["COMPLETE" if self.trials.is_complete(number) else "PRUNED" for number in numbers]
        columns["config"] = [self.trials.config(number) for number in numbers]
        self.deltalake.write_deltalake(self.path, pa.table(columns), mode="append")

    def write_trial(self, number: int) -> None:
        self._write(range(number, number + 1))

    def fill(self, count: int) -> str:
        """In commits of 65,536 rows (of one below 10,000 rows), then compacted."""
        step = FINAL_ROWS if count >= 10_000 else 1
        for start in range(0, count, step):
            self._write(range(start, min(start + step, count)))
        table = self.deltalake.DeltaTable(self.path)
        table.optimize.compact()
        return f"{len(table.file_uris())} files"

    def reader(self) -> Reader:
        query = "SELECT * FROM trials WHERE state = 'COMPLETE' ORDER BY validation_score DESC LIMIT 1"

        def best() -> float:
            table = self.deltalake.DeltaTable(self.path)
            rows = self.deltalake.QueryBuilder().register("trials", table).execute(query).read_all()
            return float(pa.table(rows)["validation_score"][0].as_py())

        return best


class Mlflow:
    """MLflow's client on SQLite."""

    name, synced = "MLflow SQLite", True

    def __init__(self, folder: Path, trials: Trials) -> None:
        os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        self.client_type, self.folder, self.trials = MlflowClient, folder, trials
        self.client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        self.experiment = self.client.create_experiment("study", artifact_location=str(folder / "artifacts"))

    def write_trial(self, number: int) -> None:
        from mlflow.entities import Metric, Param

        run = self.client.create_run(self.experiment).info.run_id
        metrics = [Metric(name, value, 0, 0) for name, value in self.trials.values(number).items()]
        self.client.log_batch(run, metrics=metrics, params=[Param("config", self.trials.config(number))])
        self.client.set_terminated(run, "FINISHED" if self.trials.is_complete(number) else "KILLED")

    def fill(self, count: int) -> str:
        """The rows that append writes, in one transaction, without the history of metrics, which a ranking does not
        read."""
        self.write_trial(0)
        numbers = range(1, count)
        with sqlite3.connect(self.folder / "mlflow.db") as base:
            template = list(base.execute("SELECT * FROM runs").fetchone())
            names = [column[1] for column in base.execute("PRAGMA table_info(runs)")]
            run, status = names.index("run_uuid"), names.index("status")

            def row(number: int) -> list[Any]:
                values = template.copy()
                values[run] = f"{number:032x}"
                values[status] = "FINISHED" if self.trials.is_complete(number) else "KILLED"
                return values

            base.executemany(f"INSERT INTO runs VALUES ({', '.join('?' * len(names))})", map(row, numbers))
            base.executemany(
                "INSERT INTO latest_metrics VALUES (?, ?, 0, 0, 0, ?)",
                ((name, value, f"{n:032x}") for n in numbers for name, value in self.trials.values(n).items()),
            )
            configs = (("config", self.trials.config(n), f"{n:032x}") for n in numbers)
            base.executemany("INSERT INTO params VALUES (?, ?, ?)", configs)
        return f"{(self.folder / 'mlflow.db').stat().st_size / 1e6:.0f} MB"

    def reader(self) -> Reader:
        client = self.client_type(f"sqlite:///{self.folder}/mlflow.db")
        order = [f"metrics.`{METRICS[SCORE]}` DESC"]

        def best() -> float:
            (run,) = client.search_runs(
                [self.experiment], "attributes.status = 'FINISHED'", order_by=order, max_results=1
            )
            return float(run.data.metrics[METRICS[SCORE]])

        return best


PEERS = (OptunaJournal, OptunaSqlite, Delta, Mlflow)
