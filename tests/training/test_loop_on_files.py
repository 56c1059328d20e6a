"""The loop on a phantom of HECKTOR 2021, read from files and prepared."""

from dataclasses import replace
from pathlib import Path

import pytest

from branchpoint.config import (
    Config,
    DatasetConfig,
    NetworkConfig,
    SegmentationConfig,
    SplitConfig,
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.datasets.prepared import PreparedCohort, prepare
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.datasets.splits import split
from branchpoint.evaluation.evaluation import evaluate, metric_values
from branchpoint.phantoms import make_phantom
from branchpoint.tasks import build_task
from branchpoint.training.loop import fit


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """A Config and the manifest of its cohort."""
    root = tmp_path_factory.mktemp("phantom")
    raw = make_phantom("hecktor", root / "raw", patients=12, seed=1, censoring=0.5, spacing_scale=3.0, workers=1)
    dataset = DatasetConfig(root=str(raw), release="2021", spacing_mm=9.0, size_voxels=(16, 16, 16))
    tasks = (
        SegmentationConfig(name="tumour", target="tumour"),
        SurvivalConfig(name="survival", target="survival"),
    )
    config = Config(
        dataset=dataset,
        tasks=tasks,
        network=NetworkConfig(width=4, depth=3),
        training=TrainingConfig(epochs=3, batch_size=4),
        split=SplitConfig(folds=3),
    )
    cohort = read_cohort(dataset)
    return config, prepare(cohort, dataset, root / "cache", workers=1, progress=False).path


def test_trains_resumes_and_is_evaluated(files: tuple[Config, Path], tmp_path: Path) -> None:
    config, manifest = files
    unbroken = fit(config, PreparedCohort.open(manifest), device="cpu")
    fit(
        config,
        PreparedCohort.open(manifest),
        checkpoint_dir=tmp_path,
        report=lambda entry: entry.epoch < 2,
        device="cpu",
    )
    prepared = PreparedCohort.open(manifest)
    resumed = fit(config, prepared, checkpoint_dir=tmp_path, device="cpu")
    assert [repr(entry.metrics) for entry in resumed.history] == [repr(entry.metrics) for entry in unbroken.history]

    tasks = [build_task(task) for task in config.tasks]
    folds = split(prepared, config.split)
    values = metric_values(tasks, evaluate(resumed.network, config, prepared, folds.validation, native=False))
    for name, value in values.items():
        assert value == pytest.approx(resumed.metrics[f"validation/{name}"], nan_ok=True), name


def test_survival_alone_and_segmentation_alone_are_weights(files: tuple[Config, Path]) -> None:
    config, manifest = files
    segmentation, survival = config.tasks
    prepared = PreparedCohort.open(manifest)
    for weights in ((0.0, 1.0), (1.0, 0.0)):
        tasks = (replace(segmentation, weight=weights[0]), replace(survival, weight=weights[1]))
        result = fit(replace(config, tasks=tasks), prepared, device="cpu")
        trained = {"tumour"} if weights[0] else {"survival"}
        assert {name.split("/")[1] for name in result.metrics if name.endswith("weight")} == trained
