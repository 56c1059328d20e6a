"""Drivers, trials and workers of a search are killed at random, hundreds of times: each trial is accounted for once."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from branchpoint.search.suggest.journal import open_journal
from branchpoint.store import Store
from tests.processes import kill_one, start, wait_until, workers
from tests.search.kills_driver import every_point
from tests.search.search_toys import toy_value

DRIVER = Path(__file__).parent / "kills_driver.py"
EPOCHS = [1, 2, 3, 4, 5, 6]
SECONDS = 0.3
"""Of an epoch."""
START_SECONDS = 600
"""Of a driver with its Ray, at most: on a machine with six processes for each core two minutes were seen."""
KINDS = {"driver": 0.25, "trial": 0.5, "worker": 0.25}

Driver = subprocess.Popen[str]


class Running:
    """A search on its way: which drivers live, how many epochs were run, and who was killed."""

    def __init__(self, folder: Path, widths: int, ray_folder: Path) -> None:
        self.folder, self.widths, self.ray_folder = folder, widths, ray_folder
        self.store = Store(str(folder / "results"))
        self.chance = random.Random(0)
        self.kills: Counter[str] = Counter()
        self.killed: set[int] = set()
        self.struck: set[str] = set()

    def start(self) -> Driver:
        self.struck.clear()
        return start(DRIVER, self.folder, self.widths, SECONDS, ray_folder=self.ray_folder)

    def lines(self, name: str) -> dict[str, list[str]]:
        """Of the notes ``name`` of each trial."""
        return {
            path.parent.name: path.read_text().split("\n")[:-1] for path in self.folder.glob(f"state/runs/*/{name}")
        }

    @property
    def epochs_run(self) -> int:
        return sum(map(len, self.lines("epochs-run.txt").values()))

    def trial_processes(self) -> dict[int, str]:
        """Processes that run a trial, without those whose trial lost one since its driver began.

        A run whose worker dies twice under one driver is FAILED, as it may itself be what kills it.
        """
        living = set(workers(self.ray_folder))
        begun = {int(lines[-1]): name for name, lines in self.lines("processes.txt").items() if lines}
        return {number: name for number, name in begun.items() if number in living and name not in self.struck}

    def strike(self, driver: Driver) -> None:
        """Kill the driver, a process that runs a trial, or any worker."""
        (kind,) = self.chance.choices([*KINDS], [*KINDS.values()])
        running = self.trial_processes()
        spared = {
            int(lines[-1]) for name, lines in self.lines("processes.txt").items() if lines and name in self.struck
        }
        candidates = {
            "driver": [driver.pid],
            "trial": list(running),
            "worker": list(set(workers(self.ray_folder)) - spared),
        }[kind]
        number = kill_one(candidates, self.chance)
        if number is None:
            return
        self.kills[kind] += 1
        self.killed.add(number)
        self.struck |= {running[number]} if number in running else set()

    def wait_for_epochs(self, drivers: list[Driver]) -> None:
        """A few more epochs, or the end of a driver."""
        wanted = self.epochs_run + self.chance.randint(1, 9)
        wait_until(
            lambda: self.epochs_run >= wanted or any(driver.poll() is not None for driver in drivers),
            seconds=START_SECONDS,
        )


def finish(driver: Driver) -> None:
    said, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, said


def outcomes(store: Store) -> dict[str, Any]:
    """Fingerprint to the value of a complete trial."""
    rows = store.trials("killed").to_pylist(maps_as_pydicts="strict")
    return {row["fingerprint"]: row["metrics"]["validation/score"] for row in rows if row["state"] == "COMPLETE"}


def check_accounts(run: Running, undisturbed: dict[str, Any]) -> None:
    """Every trial once, in a true state, with each of its epochs; the best one as if nothing had happened."""
    rows = run.store.trials("killed").to_pylist(maps_as_pydicts="strict")
    states = Counter(row["state"] for row in rows)
    print(f"{dict(run.kills)} killed; {dict(states)}; {run.epochs_run} epochs run for {len(rows)} trials of 6")
    assert len(rows) == len({row["fingerprint"] for row in rows}) == len(undisturbed)
    assert set(states) <= {"COMPLETE", "FAILED"}
    begun = {name: {int(line) for line in lines} for name, lines in run.lines("processes.txt").items()}
    for row in rows:
        if row["state"] == "FAILED":
            assert row["reason"].startswith("worker died")
            assert begun[row["trial"]] & run.killed
    assert states["FAILED"] <= run.kills.total() // 20, "only those whose worker was killed twice under one driver"
    found = outcomes(run.store)
    assert found == {name: value for name, value in undisturbed.items() if name in found}
    assert run.store.best("killed", "validation/score")[0]["value"] == max(undisturbed.values())
    check_epochs(run, [row["trial"] for row in rows if row["state"] == "COMPLETE"])
    assert run.store.left_out == {}
    check_journal(run, rows)


def check_epochs(run: Running, complete: list[str]) -> None:
    kept: dict[str, list[int]] = {}
    for row in run.store.epochs("killed", columns=[]).to_pylist():
        kept.setdefault(row["trial"], []).append(row["epoch"])
    assert all(sorted(set(kept[name])) == EPOCHS for name in complete)
    repeated = sum(len(epochs) - len(set(epochs)) for epochs in kept.values())
    assert repeated <= 2 * run.kills.total(), "at most the epoch under way of the two runs under way"


def check_journal(run: Running, rows: list[dict[str, Any]]) -> None:
    study = optuna.load_study(study_name="killed", storage=open_journal(run.folder / "state" / "journal.log"))
    told = {f"{trial.number:04d}": trial for trial in study.get_trials()}
    for row in rows:
        trial = told[row["trial"]]
        assert trial.state.name == ("COMPLETE" if row["state"] == "COMPLETE" else "FAIL")
        if row["state"] == "COMPLETE":
            assert trial.value == row["metrics"]["validation/score"]


@pytest.fixture
def undisturbed(request: pytest.FixtureRequest, tmp_path: Path, ray_folder: Path) -> dict[str, Any]:
    """The same search in peace, in epochs that take no time."""
    finish(start(DRIVER, tmp_path / "peace", request.param, 0.0, ray_folder=ray_folder))
    values = outcomes(Store(str(tmp_path / "peace" / "results")))
    study = every_point(tmp_path / "peace", request.param, 0.0)
    assert len(values) == study.trials
    assert max(values.values()) == max(
        toy_value(study.space(optuna.trial.FixedTrial(dict(point)), study.base)) for point in study.points
    )
    return values


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("undisturbed", "kills"), [(50, 200)], indirect=["undisturbed"])
def test_200_kills_of_driver_trial_and_worker(
    undisturbed: dict[str, Any], kills: int, tmp_path: Path, ray_folder: Path
) -> None:
    run, began = Running(tmp_path / "kills", 50, ray_folder), time.monotonic()
    driver = run.start()
    while run.kills.total() < kills:
        run.wait_for_epochs([driver])
        if driver.poll() == 0:
            break
        if driver.poll() is None:
            run.strike(driver)
        if driver.poll() is not None or driver.pid in run.killed:
            said, _ = driver.communicate()
            assert driver.pid in run.killed, said
            print(f"{time.monotonic() - began:.0f} s: {dict(run.kills)}, {run.epochs_run} epochs run", flush=True)
            driver = run.start()
    finish(driver)
    assert run.kills.total() == kills, "the search ended too early"
    check_accounts(run, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(("undisturbed", "kills"), [(15, 50)], indirect=["undisturbed"])
def test_50_kills_of_two_drivers_on_one_study(
    undisturbed: dict[str, Any], kills: int, tmp_path: Path, ray_folder: Path
) -> None:
    """One runs the study and refuses the other, which tries again and takes over as soon as the first is killed."""
    run = Running(tmp_path / "kills", 15, ray_folder)
    drivers = [run.start(), run.start()]
    refused = 0
    while all(driver.returncode != 0 for driver in drivers):
        run.wait_for_epochs(drivers)
        for place, driver in enumerate(drivers):
            if driver.poll() not in (None, 0):
                said, _ = driver.communicate()
                assert driver.pid in run.killed or "is being run by process" in said, said
                refused += driver.pid not in run.killed
                time.sleep(1)
                drivers[place] = run.start()
        if run.kills.total() < kills:
            number = kill_one([driver.pid for driver in drivers if driver.poll() is None], run.chance)
            run.kills["one of two drivers"] += number is not None
            run.killed |= {number} if number else set()
    for driver in drivers:
        said, _ = driver.communicate(timeout=600)
        assert driver.returncode == 0 or "is being run by process" in said, said
    print(f"{refused} times a driver was refused")
    assert run.kills.total() == kills, "the search ended too early"
    assert refused
    check_accounts(run, undisturbed)
