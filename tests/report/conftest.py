"""A small study as a search would leave it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from branchpoint.config import Config, DatasetConfig, NetworkConfig, SegmentationConfig, SurvivalConfig
from branchpoint.store import EpochRecord, FigureRecord, Store, StudyRecord, TrialRecord

STUDY = "toy"


def _config(width: int) -> Config:
    return Config(
        dataset=DatasetConfig(root="/cohort", size_voxels=(16, 16, 16), spacing_mm=6.0),
        tasks=(
            SegmentationConfig(name="tumour", target="tumour"),
            SurvivalConfig(name="survival", target="survival"),
        ),
        network=NetworkConfig(width=width, depth=3),
    )


START = datetime(2026, 1, 1, tzinfo=UTC)


def _metrics(score: float) -> dict[str, float]:
    return {
        "validation/score": score,
        "validation/loss": 1 - score,
        "validation/tumour/dice": score - 0.1,
        "validation/survival/c_index": score + 0.1,
    }


def _trial(number: int, width: int, score: float) -> TrialRecord:
    config = _config(width)
    return TrialRecord(
        study=STUDY,
        trial=f"{number:04d}",
        state="COMPLETE",
        fingerprint=config.fingerprint,
        candidate=config.candidate,
        fold=0,
        seed=0,
        config=config.to_json(),
        metrics=_metrics(score),
        parameters=1000,
        macs=10**6,
        epoch_seconds=1.5,
        started=START,
        finished=START + timedelta(minutes=number),
        versions={"torch": "2.14"},
        notes=["starts from network.pt: 9 of 10 tensors"],
    )


def _figure(label: str, value: float, **changes: Any) -> FigureRecord:
    """A Dice of the best candidate, unless ``changes`` say otherwise."""
    about = {"study": STUDY, "candidate": _config(4).candidate, "label": label, "task": "tumour", "metric": "dice"}
    ends = {"low": value - 0.1, "high": value + 0.1, "n": 40}
    return FigureRecord(**{**about, "value": value, **ends, **changes})


@pytest.fixture
def study(tmp_path: Path) -> Store:
    """Three complete trials (the second best), one failed; the best retrained, with one reference."""
    store = Store(str(tmp_path / "results"))
    writer = store.writer(STUDY)
    settings = '{"protocol": "Held apart."}'
    writer.study(StudyRecord(study=STUDY, dataset="hecktor", release="2021", excluded=["CHGJ007"], settings=settings))
    trained = {"train/loss": 1.0, "train/survival/weight": 0.8, "train/tumour/weight": 1.2}
    trials = [_trial(number, *made) for number, made in enumerate([(2, 0.5), (4, 0.7), (6, 0.6)])]
    for record in trials:
        writer.trial(record)
        for epoch in (1, 2):
            metrics = {**record.metrics, **trained}
            writer.epoch(EpochRecord(study=STUDY, trial=record.trial, epoch=epoch, metrics=metrics))
    writer.trial(replace(trials[-1], trial="0003", state="FAILED", reason="loss is NaN <at> epoch 2", metrics={}))
    writer.figures(
        [
            _figure("best found", 0.61, kind="model"),
            _figure("centred ellipsoid", 0.4, kind="reference", candidate=""),
            _figure("best found minus segmentation only", 0.02, kind="difference"),
            _figure("best found", 0.7, center="Basel", n=20),
            _figure("best found", 0.5, center="Lyon", n=20),
        ]
    )
    return store
