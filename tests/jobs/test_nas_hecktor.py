"""The main job as a user starts it: from files on disk to test figures and a report, and started again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from branchpoint.phantoms import make_phantom
from branchpoint.store import Store

ROOT = Path(__file__).resolve().parents[2]


def run_job(home: Path, data_root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "jobs/nas_hecktor.py"), "--smoke", "--trials", "3", "--data-root"]
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "BRANCHPOINT_HOME")}
    environment["COLUMNS"] = "160"
    return subprocess.run(
        [*command, str(data_root), *options], cwd=home, env=environment, capture_output=True, text=True, timeout=500
    )


def rows(store: Store, table: str) -> list[dict[str, Any]]:
    found = getattr(store, table)("hecktor-2021").to_pylist(maps_as_pydicts="strict")
    return sorted(found, key=lambda row: [str(row[key]) for key in row if key not in ("config", "metrics", "versions")])


@pytest.mark.timeout(1200)
def test_from_a_faulty_cohort_to_figures_and_on_again(tmp_path: Path) -> None:
    data_root = make_phantom("hecktor", tmp_path / "release", patients=20, spacing_scale=2.0, progress=False)
    faulty = next(data_root.rglob("CHGJ001_ct.nii.gz"))
    faulty.write_bytes(faulty.read_bytes()[:1000])

    refused = run_job(tmp_path, data_root)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "CHGJ001" in refused.stdout
    assert "--skip-faulty" in refused.stdout
    assert not (tmp_path / "results").exists(), "nothing was started"

    done = run_job(tmp_path, data_root, "--skip-faulty")
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store(str(tmp_path / "results"))
    (study,) = store.studies().to_pylist()
    assert study["excluded"] == ["CHGJ001"]
    trials, figures = rows(store, "trials"), rows(store, "figures")
    assert sum(row["stage"] == "search" and row["state"] != "INFEASIBLE" for row in trials) == 3
    finals = [row for row in trials if row["stage"] == "final"]
    assert {row["fold"] for row in finals} == {0, 1}
    labels = {row["label"] for row in figures}
    assert {"best found", "multi-task, all shared", "segmentation only", "survival only", "untrained network"} <= labels
    assert any(label.startswith("Cox on") for label in labels)
    whole = [row for row in figures if row["fold"] == -1 and not row["center"]]
    pooled = {row["n"] for row in whole if row["metric"] in ("dice", "c_index")}
    assert len(pooled) == 1, "models and references rest on the same patients"
    assert pooled.pop() < 19, "without those whose labels chose the candidates"
    assert "best found" in (tmp_path / "report.html").read_text()
    assert "best found" in done.stdout

    again = run_job(tmp_path, data_root, "--skip-faulty", "--refit")
    assert again.returncode == 0, again.stdout + again.stderr
    # NaN does not equal itself, but its text does.
    earlier = [row for row in rows(store, "trials") if row["stage"] != "refit"]
    assert repr(earlier) == repr(trials), "no finished run is run again"
    assert [row["state"] for row in rows(store, "trials") if row["stage"] == "refit"] == ["COMPLETE"]
    assert repr(rows(store, "figures")) == repr(figures)

    other = run_job(tmp_path, data_root, "--skip-faulty", "--epochs", "3")
    assert other.returncode == 2
    assert "base.training.epochs was 2, now is 3" in other.stderr
    assert "Traceback" not in other.stderr
