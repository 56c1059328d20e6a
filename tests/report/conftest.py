"""A small study as a search would leave it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

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


@pytest.fixture
def study(tmp_path: Path) -> Store:
    """Three complete trials (the second best), one failed; the best retrained, with one reference."""
    store = Store(str(tmp_path / "results"))
    writer = store.writer(STUDY)
    writer.study(
        StudyRecord(
            study=STUDY, dataset="hecktor", release="2021", excluded=["CHGJ007"], settings='{"protocol": "Held apart."}'
        )
    )
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number, (width, score) in enumerate([(2, 0.5), (4, 0.7), (6, 0.6)]):
        config = _config(width)
        metrics = {
            "validation/score": score,
            "validation/loss": 1 - score,
            "validation/tumour/dice": score - 0.1,
            "validation/survival/c_index": score + 0.1,
        }
        record = TrialRecord(
            study=STUDY,
            trial=f"{number:04d}",
            state="COMPLETE",
            fingerprint=config.fingerprint,
            candidate=config.candidate,
            fold=0,
            seed=0,
            config=config.to_json(),
            metrics=metrics,
            parameters=1000,
            macs=10**6,
            epoch_seconds=1.5,
            started=start,
            finished=start + timedelta(minutes=number),
            versions={"torch": "2.14"},
            notes=["starts from network.pt: 9 of 10 tensors"],
        )
        writer.trial(record)
        trained = {"train/loss": 1.0, "train/survival/weight": 0.8, "train/tumour/weight": 1.2}
        for epoch in (1, 2):
            writer.epoch(EpochRecord(study=STUDY, trial=record.trial, epoch=epoch, metrics={**metrics, **trained}))
    writer.trial(replace(record, trial="0003", state="FAILED", reason="loss is NaN <at> epoch 2", metrics={}))
    best = _config(4).candidate
    for label, kind, candidate, value in [
        ("best found", "model", best, 0.61),
        ("centred ellipsoid", "reference", "", 0.4),
        ("best found minus segmentation only", "difference", best, 0.02),
    ]:
        writer.figures(
            [
                FigureRecord(
                    study=STUDY,
                    candidate=candidate,
                    label=label,
                    kind=kind,
                    task="tumour",
                    metric="dice",
                    value=value,
                    low=value - 0.1,
                    high=value + 0.1,
                    n=40,
                )
            ]
        )
    writer.figures(
        [
            FigureRecord(
                study=STUDY,
                candidate=best,
                label="best found",
                task="tumour",
                metric="dice",
                center=center,
                value=value,
                low=value - 0.1,
                high=value + 0.1,
                n=20,
            )
            for center, value in (("Basel", 0.7), ("Lyon", 0.5))
        ]
    )
    return store
