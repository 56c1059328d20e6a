"""Any order of writes, re-writes, resumed writers and compactions against a plain dictionary."""

import itertools
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pyarrow import fs as pafs

from branchpoint.store import EpochRecord, Store, TrialRecord, compaction
from branchpoint.store.records import STATES_WITH_REASON
from branchpoint.store.schema import TABLES

STUDIES = st.sampled_from(["s", "t"])
TRIALS = st.sampled_from(["0", "1", "2", "3"])
SCORES = st.one_of(st.sampled_from([0.5, math.nan, math.inf, -0.0]), st.floats(-1, 1))


class StoreAgainstDictionary(RuleBasedStateMachine):
    """The clock is stuck or goes backwards whenever a writer is opened; within one writer it is the writer's affair."""

    @initialize(small=st.booleans())
    def open(self, small: bool) -> None:
        # Tiny limits put the code for many and for large files to work on a few rows.
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(compaction, "FINAL_ROWS", 6 if small else compaction.FINAL_ROWS)
        self.patch.setattr("branchpoint.store.encoding.ROW_GROUP_ROWS", 2)
        self.patch.setattr("branchpoint.store.encoding.PLAIN_ROWS", 1 if small else 64)
        self.store = Store("results", pafs._MockFileSystem(datetime.now(UTC)))
        self.times = itertools.cycle([5, 5, 3, 9, 9, 1])
        self.writers = {study: self.store.writer(study, merge_every=0) for study in "st"}
        self.trials: dict[tuple[str, str, int], dict[str, Any]] = {}
        self.epochs: dict[tuple[str, str, int, int], float] = {}

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()

    @rule(study=STUDIES, merge_every=st.sampled_from([0, 1, 3]))
    def resume(self, study: str, merge_every: int) -> None:
        self.writers[study] = self.store.writer(study, merge_every=merge_every)
        self.writers[study]._clock = lambda: next(self.times)

    @rule(
        study=STUDIES,
        trial=TRIALS,
        attempt=st.integers(1, 2),
        score=SCORES,
        state=st.sampled_from(["RUNNING", "COMPLETE", "COMPLETE", "FAILED"]),
    )
    def write_trial(self, study: str, trial: str, attempt: int, score: float, state: Any) -> None:
        reason = "why" if state in STATES_WITH_REASON else ""
        row = {"state": state, "reason": reason, "metrics": {"m": score}}
        self.writers[study].trial(TrialRecord(study=study, trial=trial, attempt=attempt, **row))
        self.trials[study, trial, attempt] = row

    @rule(study=STUDIES, trial=TRIALS, epochs=st.lists(st.tuples(st.integers(1, 4), SCORES), max_size=5))
    def write_epochs(self, study: str, trial: str, epochs: list[tuple[int, float]]) -> None:
        records = [EpochRecord(study=study, trial=trial, epoch=epoch, metrics={"m": score}) for epoch, score in epochs]
        self.writers[study].append(records)
        self.epochs |= {(study, trial, 1, epoch): score for epoch, score in epochs}

    @rule(fan_in=st.integers(2, 4), study=STUDIES, table=st.sampled_from(["trials", "epochs"]))
    def compact(self, fan_in: int, study: str, table: str) -> None:
        compaction.compact(self.store._files, TABLES[table], study, fan_in)

    @rule(study=STUDIES, table=st.sampled_from(["trials", "epochs"]))
    def crash_while_compacting(self, study: str, table: str) -> None:
        files = self.store._files
        group = files.data_files(table, study)
        if len(group) > 1:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(files, "delete", lambda gone: None)
                compaction.merge(files, TABLES[table], group)

    @invariant()
    def tables_are_the_dictionary(self) -> None:
        if not hasattr(self, "store"):
            return
        rows = self.store.trials(attempts="all").to_pylist()
        assert [(row["study"], row["trial"], row["attempt"]) for row in rows] == sorted(self.trials)
        for row in rows:
            expected = self.trials[row["study"], row["trial"], row["attempt"]]
            assert (row["state"], row["reason"]) == (expected["state"], expected["reason"])
            assert repr(dict(row["metrics"])) == repr(expected["metrics"])
        found = {
            (row["study"], row["trial"], row["attempt"], row["epoch"]): dict(row["metrics"])["m"]
            for row in self.store.epochs().to_pylist()
        }
        assert repr(found) == repr(dict(sorted(self.epochs.items())))

    @rule(study=STUDIES, top=st.integers(1, 5), maximize=st.booleans())
    def best(self, study: str, top: int, maximize: bool) -> None:
        latest = {trial: row for (owner, trial, _), row in sorted(self.trials.items()) if owner == study}
        if not latest:
            return
        values = [(row["metrics"]["m"], trial) for trial, row in latest.items() if row["state"] == "COMPLETE"]
        ranked = sorted((-value if maximize else value, trial) for value, trial in values if math.isfinite(value))
        found = self.store.best(study, "m", top=top, maximize=maximize)
        assert [row["trial"] for row in found] == [trial for _, trial in ranked[:top]]

    @rule()
    def sql_agrees(self) -> None:
        counts = "SELECT (SELECT count(*) FROM trials) t, (SELECT count(*) FROM attempts) a, count(*) e FROM epochs"
        trials = {key[:2] for key in self.trials}
        expected = {"t": len(trials), "a": len(self.trials), "e": len(self.epochs)}
        assert self.store.sql(counts).to_pylist() == [expected]


TestStoreAgainstDictionary = StoreAgainstDictionary.TestCase
TestStoreAgainstDictionary.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
