"""Whole searches on a Ray of this machine's own, with a training loop that only counts."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray as ray_package

from branchpoint.config import Config
from branchpoint.execution.halving import HalvingConfig
from branchpoint.execution.resources import Resources
from branchpoint.io.storage import PIECE_BYTES
from branchpoint.on_ray.cohort_server import cohort_source
from branchpoint.on_ray.session import LOCAL_OBJECT_STORE_BYTES, living_nodes, machine_bytes, session
from branchpoint.search.study import Study
from branchpoint.store import Store
from tests.search.search_toys import ToyFit, epochs_run, narrow_space, toy_space, toy_value


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[None]:
    temp_dir = Path(tempfile.mkdtemp(prefix="bp"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        with session("local", cpus=2, temp_dir=temp_dir):
            yield
    shutil.rmtree(temp_dir, ignore_errors=True)


def make_study(tmp_path: Path, base: Config, fit: ToyFit, **changes: Any) -> Study:
    settings: dict[str, Any] = {
        "trials": 8,
        "space": toy_space,
        "halving": None,
        "resources": Resources(concurrency=2),
        **changes,
    }
    return Study(
        name="toy",
        base=base,
        prepared=tmp_path,
        store=str(tmp_path / "results"),
        state=tmp_path / "state",
        hooks={"fit": fit, "open_cohort": str},
        **settings,
    )


def rows(study: Study) -> dict[str, dict[str, Any]]:
    found = Store(study.store).trials(study.name).to_pylist(maps_as_pydicts="strict")
    return {row["trial"]: row for row in found}


def test_runs_share_the_memory_of_the_machine_and_not_what_was_free() -> None:
    """What Ray found free when it started would differ at the next start, and with it what is feasible."""
    (node,) = living_nodes()
    assert node["memory"] == machine_bytes() - LOCAL_OBJECT_STORE_BYTES


def test_search_finds_the_best_and_stores_everything(tmp_path: Path, base: Config) -> None:
    points = [{"width": 2, "depth": 2}, {"width": 7, "depth": 4 - 1}]
    study = make_study(tmp_path, base, ToyFit(), points=points, trials=12)
    best = study.run(top=2)
    found = {name: row for name, row in rows(study).items() if row["state"] != "INFEASIBLE"}
    assert len(found) == 12
    assert {row["state"] for row in found.values()} == {"COMPLETE"}
    values = [toy_value(Config.from_json(row["config"])) for row in found.values()]
    assert [candidate.value for candidate in best] == sorted(values, reverse=True)[:2]
    first = found["0000"]
    assert Config.from_json(first["config"]).network.width == 2
    assert first["parameters"] == 10
    assert first["versions"]["ray"]
    assert first["finished"] > first["started"]
    epochs = Store(study.store).epochs(study.name)
    assert epochs.num_rows == 12 * base.training.epochs
    everything = rows(study)
    study.run()
    assert rows(study) == everything, "a finished study has nothing left to do"


def test_states_are_honest(tmp_path: Path, base: Config) -> None:
    fit = ToyFit(raises=(1,), diverges=(2,), dies=(3,))
    points = [{"width": width, "depth": 2} for width in (1, 2, 3, 4)] + [{"width": 7, "depth": 4}]
    with pytest.raises(ValueError, match="does not fit depth 4"):
        make_study(tmp_path, base, fit, points=points, trials=4).run()
    study = make_study(tmp_path, base, fit, points=points[:4], trials=4)
    (best,) = study.run(top=1)
    found = rows(study)
    assert [found[f"{i:04d}"]["state"] for i in range(4)] == ["FAILED", "FAILED", "COMPLETE", "COMPLETE"]
    assert found["0000"]["reason"] == "ValueError: CHGJ007: the mask of width 1 is empty"
    assert found["0001"]["reason"] == "validation/score is nan at the best epoch, 6"
    assert found["0002"]["attempt"] == 2, "the killed worker's trial went on"
    assert epochs_run(study.state, "0002") == [1, 2, 3, 4, 5, 6], "from its checkpoint"
    assert best.trial == "0003"


def test_a_trial_whose_worker_dies_twice_fails(tmp_path: Path, base: Config) -> None:
    fit = ToyFit(dies=(3,), always=True)
    points = [{"width": 3, "depth": 2}, {"width": 4, "depth": 2}]
    study = make_study(tmp_path, base, fit, points=points, trials=2)
    study.run()
    failed = rows(study)["0000"]
    assert (failed["state"], failed["attempt"]) == ("FAILED", 2)
    assert "worker died" in failed["reason"]


def test_early_stopping_prunes(tmp_path: Path, base: Config) -> None:
    points = [{"width": width, "depth": 3} for width in (6, 5, 4, 3, 2, 1)]
    halving = HalvingConfig(grace=2, reduction=3, least=2)
    study = make_study(
        tmp_path, base, ToyFit(), points=points, trials=6, halving=halving, resources=Resources(concurrency=1)
    )
    study.run()
    found = rows(study)
    assert [found[f"{i:04d}"]["state"] for i in range(6)] == ["COMPLETE"] + 5 * ["PRUNED"]
    assert "stopped early after epoch 2: its value 0.3267 is number 2 of 2" in found["0001"]["reason"]
    assert epochs_run(study.state, "0001") == [1, 2]
    third = toy_value(Config.from_json(found["0001"]["config"])) / 3
    assert math.isclose(found["0001"]["metrics"]["validation/score"], third)


def test_infeasible_are_recorded_and_never_start(tmp_path: Path, base: Config) -> None:
    study = make_study(tmp_path, base, ToyFit(), trials=5, space=narrow_space)
    study.run()
    complete, infeasible = sorted(rows(study).values(), key=lambda row: row["state"])
    assert complete["state"] == "COMPLETE"
    assert infeasible["state"] == "INFEASIBLE"
    assert infeasible["reason"] == "network.width is 7: does not fit depth 4; parameters {'depth': 4}"
    assert Store(study.store).epochs(study.name)["trial"].unique().to_pylist() == [complete["trial"]]


def test_changed_settings_are_refused(tmp_path: Path, base: Config) -> None:
    make_study(tmp_path, base, ToyFit(), trials=1).run()
    with pytest.raises(ValueError, match="maximize was True, now is False"):
        make_study(tmp_path, base, ToyFit(), trials=1, maximize=False).run()


def test_impossible_requests_are_refused_at_once(tmp_path: Path, base: Config) -> None:
    with pytest.raises(ValueError, match="asks for 64 CPU, but the largest of 1 node"):
        make_study(tmp_path, base, ToyFit(), resources=Resources(cpus=64)).run()


def test_files_go_through_the_object_store(tmp_path: Path) -> None:
    """Whole, in pieces, also where the process that gives them is killed in between."""
    content = np.random.default_rng(0).integers(0, 256, 2 * PIECE_BYTES + 5, np.uint8).tobytes()
    for name in ("cohorts/toy.json", "volumes/empty"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "volumes" / "large").write_bytes(content)
    source = cohort_source(tmp_path / "cohorts" / "toy.json", None)
    assert source is not None
    pieces = source.pieces("volumes/large")
    came = [bytes(next(pieces))]
    ray_package.kill(ray_package.get_actor("cohort-toy"))
    assert b"".join([*came, *pieces]) == content
    assert b"".join(source.pieces("volumes/empty")) == b""
    with pytest.raises(ValueError, match="outside"):
        list(source.pieces("../secret"))
    with pytest.raises(FileNotFoundError, match="absent"):
        list(source.pieces("volumes/absent"))
    ray_package.kill(ray_package.get_actor("cohort-toy"))
