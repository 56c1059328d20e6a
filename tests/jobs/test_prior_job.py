"""A proposed tree in the store is what a whole search tries first, after its starting points."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from branchpoint.affinity.relations import EVIDENCE, tree_record
from branchpoint.affinity.sharing_tree import TreeProposal
from branchpoint.config import Config
from branchpoint.networks import stage_counts, topology_of
from branchpoint.phantoms import make_phantom
from branchpoint.search.space.points import config_at
from branchpoint.store import Store
from branchpoint.topology import Topology

JOBS = Path(__file__).resolve().parents[2] / "jobs"
SHARED = 2


def bare(config: Config) -> Config:
    """``config`` without its tree and links."""
    return replace(config, network=replace(config.network, topology=None))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_proposals_become_the_first_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(JOBS))
    job, common = importlib.import_module("nas_hecktor").JOB, importlib.import_module("branchpoint.commands.job")
    root = make_phantom("hecktor", tmp_path / "release", patients=20, spacing_scale=2.0, progress=False)
    base: Config = common.base_config(job, replace(job.scales["smoke"], epochs=1), root, release=job.release)
    encoder, decoder = stage_counts(base)
    tree = Topology.branching(("survival", "tumour"), ("tumour",), SHARED, encoder, decoder)
    store, points = Store(str(tmp_path / "results")), job.space.starting_points(base)
    record = tree_record(
        TreeProposal(tree, 0.1, 1.0),
        study="hecktor-2021",
        fingerprint=base.fingerprint,
        evidence=EVIDENCE,
        config=base.to_json(),
    )
    store.writer("hecktor-2021").append([record])

    options = ["--smoke", "--trials", "12", "--epochs", "1", "--final-epochs", "1", "--data-root", str(root)]
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "BRANCHPOINT_HOME")}
    done = subprocess.run(
        [sys.executable, str(JOBS / "nas_hecktor.py"), *options],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1000,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = store.trials("hecktor-2021").to_pylist()
    searched = {row["trial"]: Config.from_json(row["config"]) for row in rows if row["stage"] == "search"}
    states = {row["trial"]: row["state"] for row in rows}
    whole, drawn = f"{len(points):04d}", f"{len(points) + 1:04d}"
    assert states[whole] in ("COMPLETE", "PRUNED")
    first = config_at(job.space.space, base, points[0])
    assert bare(searched[whole]) == bare(first), "the settings of the first starting point"
    assert bare(searched[drawn]) != bare(first), "what the tree leaves open is drawn"
    for name in (whole, drawn):
        found = topology_of(searched[name])
        assert found.branching_point("survival", "tumour") == round(SHARED * found.n_encoder / encoder)
    assert topology_of(first).shares_all
