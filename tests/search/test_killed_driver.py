"""A driver is killed in mid-search with SIGKILL and started again: nothing is lost, repeated or doubled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from branchpoint.store import Store
from tests.processes import ray_processes, start, wait_until
from tests.search.search_driver import toy_study
from tests.search.search_toys import epochs_run

DRIVER = Path(__file__).parent / "search_driver.py"


def rows(store: Store) -> dict[str, dict[str, Any]]:
    return {row["trial"]: row for row in store.trials("killed").to_pylist(maps_as_pydicts="strict")}


@pytest.mark.timeout(400)
def test_killed_driver_goes_on(tmp_path: Path, ray_folder: Path) -> None:
    store = Store(str(tmp_path / "results"))

    def in_mid_search() -> bool:
        states = {name: row["state"] for name, row in rows(store).items()}
        underway = [name for name, state in states.items() if state == "RUNNING" and epochs_so_far(tmp_path, name) >= 2]
        return list(states.values()).count("COMPLETE") >= 2 and bool(underway)

    driver = start(DRIVER, tmp_path, ray_folder=ray_folder)
    wait_until(in_mid_search, driver)
    driver.kill()
    driver.communicate()
    wait_until(lambda: not ray_processes(ray_folder))
    before = rows(store)
    finished = {name for name, row in before.items() if row["state"] == "COMPLETE"}
    interrupted = set(before) - finished
    assert len(finished) >= 2
    assert interrupted

    again = start(DRIVER, tmp_path, ray_folder=ray_folder)
    output, _ = again.communicate(timeout=200)
    assert again.returncode == 0, output
    assert "going on after" in output
    after = rows(store)
    assert {row["state"] for row in after.values()} == {"COMPLETE"}
    assert len(after) == len({row["fingerprint"] for row in after.values()}) == toy_study(tmp_path).trials
    for name in finished:
        assert after[name] == before[name], "a finished trial is left as it was"
        assert epochs_run(tmp_path / "state", name) == [1, 2, 3, 4, 5, 6]
    for name in interrupted:
        assert after[name]["attempt"] == 2
        ran = epochs_run(tmp_path / "state", name)
        assert sorted(set(ran)) == [1, 2, 3, 4, 5, 6]
        assert len(ran) <= 7, "at most the epoch that was being reported is run again"
    attempts = store.trials("killed", attempts="all")
    assert attempts.num_rows == len(after) + len(interrupted)


def epochs_so_far(folder: Path, trial: str) -> int:
    state = folder / "state"
    return len(epochs_run(state, trial)) if (state / "runs" / trial / "epochs-run.txt").exists() else 0
