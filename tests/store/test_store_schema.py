"""Records that could not be understood later are refused."""

from datetime import UTC, datetime

import pytest

from branchpoint.store import STATES, EpochRecord, FigureRecord, StudyRecord, TrialRecord


@pytest.mark.parametrize("state", STATES)
def test_a_trial_that_did_not_finish_says_why(state: str) -> None:
    TrialRecord(study="s", trial="0", state=state, reason="out of memory")  # type: ignore[arg-type]
    if state in ("PRUNED", "FAILED", "INFEASIBLE"):
        with pytest.raises(ValueError, match=f"trial 0: reason is ' ': a {state} trial must say why"):
            TrialRecord(study="s", trial="0", state=state, reason=" ")  # type: ignore[arg-type]
    else:
        TrialRecord(study="s", trial="0", state=state)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"study": ""}, "study is ''"),
        ({"trial": 7}, "trial is 7: must be a non-empty text"),
        ({"attempt": -1}, "attempt is -1: must be a whole number"),
        ({"attempt": True}, "attempt is True: must be a whole number"),
        ({"state": "DONE"}, "state is 'DONE': must be one of RUNNING, COMPLETE"),
        ({"stage": "test"}, "stage is 'test': must be one of search, final"),
        ({"config": "{"}, "config is '{': must be the JSON text of an object"),
        ({"config": "[1]"}, "must be the JSON text of an object"),
        ({"config": None}, "config is None"),
        ({"metrics": {"dice": None}}, r"metrics\['dice'\] is None: must be a number"),
        ({"metrics": {"dice": "0.5"}}, r"metrics\['dice'\] is '0.5'"),
        ({"metrics": [("dice", 0.5)]}, "must map names to numbers"),
        ({"metrics": {"": 0.5}}, "metrics name is ''"),
        ({"started": datetime(2026, 1, 1)}, "must be a datetime with a time zone"),
    ],
)
def test_trial_problems_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrialRecord(**{"study": "s", "trial": "0", "state": "RUNNING", **values})  # type: ignore[arg-type]


def test_problems_of_other_records_are_named() -> None:
    with pytest.raises(ValueError, match="epoch is -1"):
        EpochRecord(study="s", trial="0", epoch=-1)
    with pytest.raises(ValueError, match="figure x: split is 'train'"):
        FigureRecord(study="s", label="x", split="train", task="t", metric="m", value=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"study.settings is 'nine'"):
        StudyRecord(study="s", settings="nine", started=datetime.now(UTC))
