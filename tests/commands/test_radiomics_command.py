"""``branchpoint radiomics`` and ``branchpoint evaluate`` after ``branchpoint train``, as a user runs them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from branchpoint.commands import cli
from branchpoint.config import Config, DatasetConfig, NetworkConfig, SplitConfig, SurvivalConfig, TrainingConfig
from branchpoint.config import SegmentationConfig as Segmentation
from branchpoint.execution.finished import FinishedStudy
from branchpoint.phantoms import make_phantom
from branchpoint.store import Store

CONFIG = Config(
    dataset=DatasetConfig(release="2021", spacing_mm=9.0, size_voxels=(16, 16, 16)),
    tasks=(Segmentation(name="tumour", target="tumour"), SurvivalConfig(name="survival", target="survival")),
    network=NetworkConfig(width=4, depth=3),
    training=TrainingConfig(epochs=1, batch_size=4),
    split=SplitConfig(folds=2, validation_fraction=0.4),
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study ``train`` of 16 phantoms on two folds."""
    folder = tmp_path_factory.mktemp("study")
    data = make_phantom(
        "hecktor", folder / "raw", patients=16, seed=1, censoring=0.4, spacing_scale=2.0, workers=1, progress=False
    )
    (folder / "config.json").write_text(CONFIG.to_json())
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("RAY_ADDRESS", raising=False)
        command = ("train", "--config", folder / "config.json", "--data-root", data, "--home", folder)
        done = run(*command, "--study", "train", "--folds", "all")
    assert done.exit_code == 0, done.output
    return folder


def test_figures_of_true_and_predicted_outlines_stand_beside_the_network(trained: Path) -> None:
    done = run("radiomics", "--store", trained / "results", "--home", trained, "--out", trained / "features.csv")
    assert done.exit_code == 0, done.output
    assert "survival/c_index on the test patients of each fold" in done.output
    with (trained / "features.csv").open() as file:
        rows = list(csv.reader(file))
    assert (len(rows), len(rows[0])) == (17, 275)
    figures = Store(str(trained / "results")).figures("train").to_pylist()
    found = {
        (row["label"], row["fold"]): row
        for row in figures
        if row["metric"] == "c_index" and row["label"].startswith(("standard radiomics", "trained"))
    }
    for fold in (-1, 0, 1):
        row = found["standard radiomics", fold]
        assert row["kind"] == "reference"
        assert 0 <= row["value"] <= 1
        assert found["standard radiomics, predicted outline", fold]["n"] <= row["n"] <= 16
    difference = found["trained minus standard radiomics", -1]
    assert difference["value"] == pytest.approx(
        found["trained", -1]["value"] - found["standard radiomics", -1]["value"]
    )
    assert not math.isnan(difference["p_adjusted"])


def test_the_study_is_found_with_its_runs(trained: Path) -> None:
    finished = FinishedStudy.open(Store(str(trained / "results")), "train", home=trained)
    assert (finished.label, finished.searched, finished.folds) == ("trained", False, [0, 1])
    assert [spec.config.split.fold for spec in finished.runs[0]] == [0, 1]
    assert len(finished.chose_candidates(None)) == 0
    setup = finished.setup(trained / "none")
    setup.run_folder(finished.runs[0][1].name).place.path.rename(trained / "moved")
    try:
        with pytest.raises(ValueError, match=f"the networks of {finished.runs[0][1].name} are not in"):
            finished.setup(trained / "none")
    finally:
        (trained / "moved").rename(setup.run_folder(finished.runs[0][1].name).place.path)


def test_what_cannot_be_done_is_said(trained: Path) -> None:
    with pytest.raises(ValueError, match="no study 'other'"):
        raise run("radiomics", "--store", trained / "results", "--study", "other").exception or AssertionError


def test_another_cohort_is_predicted_whole_by_every_network(trained: Path, tmp_path: Path) -> None:
    other = make_phantom(
        "hecktor", tmp_path / "abroad", patients=10, seed=9, censoring=0.3, spacing_scale=2.0, workers=1, progress=False
    )
    options = ("--store", trained / "results", "--home", trained)
    done = run("evaluate", *options, "--data-root", other, "--name", "abroad")
    assert done.exit_code == 0, done.output
    store = Store(str(trained / "results"))
    rows = [row for row in store.figures("train").to_pylist() if row["label"] == "trained, external cohort abroad"]
    pooled = {row["metric"]: row for row in rows if not row["center"]}
    assert {"dice", "c_index"} <= set(pooled)
    assert {row["n"] for name, row in pooled.items() if name == "c_index"} == {10}
    assert "2 networks" in pooled["c_index"]["resampled"]
    assert {row["center"] for row in rows} > {""}
    with pytest.raises(ValueError, match="is the folder that study 'train' learned from"):
        raise run("evaluate", *options, "--data-root", trained / "raw").exception or AssertionError
