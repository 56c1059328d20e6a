"""``branchpoint train`` as a user runs it: by one worker in its own process, without Ray."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from branchpoint.commands import cli
from branchpoint.commands.bundle_study import Request, make_bundle
from branchpoint.commands.train import which_folds
from branchpoint.config import Config, DatasetConfig, NetworkConfig, SplitConfig, SurvivalConfig, TrainingConfig
from branchpoint.config import SegmentationConfig as Segmentation
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.phantoms import make_phantom
from branchpoint.store import Store, StudyRecord, TrialRecord


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["train", *(str(argument) for argument in arguments)])


@pytest.fixture
def config() -> Config:
    return Config(
        dataset=DatasetConfig(release="2021", spacing_mm=9.0, size_voxels=(16, 16, 16)),
        tasks=(Segmentation(name="tumour", target="tumour"), SurvivalConfig(name="survival", target="survival")),
        network=NetworkConfig(width=4, depth=3),
        training=TrainingConfig(epochs=1, batch_size=4),
        split=SplitConfig(folds=2),
    )


def test_every_fold_to_figures_and_weights_and_on_again(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    data = make_phantom(
        "hecktor", tmp_path / "raw", patients=12, seed=1, censoring=0.5, spacing_scale=2.0, workers=1, progress=False
    )
    file = tmp_path / "config.json"
    file.write_text(config.to_json())
    command = ["--config", file, "--data-root", data, "--home", tmp_path, "--study", "again"]
    done = run(*command, "--folds", "all")
    assert done.exit_code == 0, done.output
    store = Store(str(tmp_path / "results"))
    trials = store.trials("again").to_pylist(maps_as_pydicts="strict")
    assert {(row["fold"], row["stage"], row["state"]) for row in trials} == {
        (0, "final", "COMPLETE"),
        (1, "final", "COMPLETE"),
    }
    pooled = [row for row in store.figures("again").to_pylist() if row["fold"] == -1]
    primary = {row["n"] for row in pooled if row["metric"] in ("dice", "c_index")}
    assert primary == {12}, "every patient is tested once, models and references alike"
    assert {"trained", "mean training mask"} <= {row["label"] for row in pooled}
    weights = [line.split(": ")[1] for line in done.output.splitlines() if line.startswith("weights: ")]
    assert len(weights) == 2
    assert all(Path(path).exists() for path in weights)
    again = run(*command, "--folds", "all")
    assert again.exit_code == 0, again.output
    after = store.trials("again").to_pylist(maps_as_pydicts="strict")
    assert repr(after) == repr(trials), "nothing is trained again"
    _refit_and_bundle(command, tmp_path, len(weights))
    other = config.to_json().replace('"epochs":1', '"epochs":2')
    file.write_text(other)
    with pytest.raises(ValueError, match=r"training.epochs was 1, now is 2"):
        raise run(*command).exception or AssertionError("it was let through")


def _refit_and_bundle(command: list[object], home: Path, folds: int) -> None:
    """The same command with ``--refit`` adds one network that has seen everybody, and a bundle of it says so."""
    done = run(*command, "--folds", "all", "--refit")
    assert done.exit_code == 0, done.output
    assert done.output.count("weights: ") == folds + 1
    request = Request(store=str(home / "results"), home=home, refit=True)
    with pytest.raises(ValueError, match=r"'survival' places a patient's risk .* --without-reference"):
        make_bundle(request, home / "bundle")
    make_bundle(replace(request, without_reference=True), home / "bundle")
    bundle = Bundle.open(home / "bundle")
    assert bundle.networks == ("refit",)
    assert len(bundle.files.read_json("seen.json")["networks"]["refit"]) == 12 * 2, "CT and PET of everybody"
    card = bundle.files.read("card.md").decode()
    assert "figures of the folds' networks of candidate" in card
    assert "mean training mask" in card


def test_patients_who_chose_the_configuration_are_not_tested(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ``best --json`` of a search prints, with more epochs: its validation patients are left out, and named."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    data = make_phantom(
        "hecktor", tmp_path / "raw", patients=12, seed=1, censoring=0.5, spacing_scale=2.0, workers=1, progress=False
    )
    searched = replace(config, dataset=replace(config.dataset, root=str(data)))
    now = datetime.now(UTC)
    writer = Store(str(tmp_path / "results")).writer("search")
    base = searched.to_json()
    writer.study(StudyRecord(study="search", dataset="hecktor", release="2021", config=base, started=now))
    writer.trial(
        TrialRecord(study="search", trial="0", state="COMPLETE", config=base, candidate=searched.candidate, started=now)
    )
    file = tmp_path / "config.json"
    file.write_text(replace(searched, training=replace(searched.training, epochs=2)).to_json())
    done = run("--config", file, "--home", tmp_path, "--study", "again", "--folds", "all")
    assert done.exit_code == 0, done.output
    assert "left out of the test figures: their labels chose this configuration in study search" in done.output
    pooled = [row for row in Store(str(tmp_path / "results")).figures("again").to_pylist() if row["fold"] == -1]
    (tested,) = {row["n"] for row in pooled if row["metric"] in ("dice", "c_index")}
    validation = int(done.output.split(" patients are left out")[0].split()[-1])
    assert tested == 12 - validation
    assert validation > 0


def test_folds(config: Config) -> None:
    assert which_folds("all", config) == [0, 1]
    assert which_folds("1", config) == [1]
    assert which_folds("", config) == [0]
    for wrong in ("2", "-1", "both"):
        with pytest.raises(ValueError, match="give 'all' or a number from 0 to 1"):
            which_folds(wrong, config)
