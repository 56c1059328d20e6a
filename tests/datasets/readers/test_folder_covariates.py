"""Texts among the clinical values of a user's own table: what check-data passes also trains."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SplitConfig, TrainingConfig
from branchpoint.datasets.clinical_texts import VOCABULARIES, kind_of_text, ordinal
from branchpoint.datasets.prepared import prepare
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.training.loop import fit
from tests.datasets.picture_builder import check, disc, picture, write, write_csv

UNDERSTOOD = {
    "numbers": ("54", "61,5", "", "47", "70", "66"),
    "German sexes": ("m", "w", "W", "m", "weiblich", "?"),
    "DICOM ages": ("054Y", "061Y", "047Y", "018M", "070Y", "54"),
    "smoking": ("never", "Former", "current", "never", "ex-smoker", "n/a"),
    "sides": ("left", "right", "R", "l", "left", "right"),
    "answers": ("ja", "nein", "Yes", "no", "positive", "negative"),
    "stages": ("T1", "T2a", "Tis", "3", "IVA", "stage II"),
}
REFUSED = {
    "dates": ("2021-03-04", "2020-01-31", "", "2019-12-01", "2018-05-06", "2020-02-02"),
    "dates in digits": ("20210304", "20200131", "", "20191201", "20180506", "20200202"),
    "German dates": ("04.03.2021", "31.01.2020", "", "01.12.2019", "06.05.2018", "02.02.2020"),
    "words": ("nevus cell", "squamous", "adeno", "adeno", "squamous", "adeno"),
    "one strange word": ("m", "w", "m", "w", "divers", "m"),
    "several kinds": ("m", "w", "yes", "no", "m", "w"),
    "codes beside sexes": ("m", "w", "m", "2", "m", "w"),
    "no value": ("", "NA", "?", "", "-", "unknown"),
}


def folder(root: Path, values: tuple[str, ...]) -> Path:
    for seed in range(len(values)):
        write(root / f"M{seed}.png", picture(seed, (16, 16)))
        write(root / f"masks/M{seed}.png", disc(seed, (16, 16)))
    write_csv(root / "t.csv", [("id", "it", "label"), *((f"M{n}", text, n % 2) for n, text in enumerate(values))])
    (root / "dataset.toml").write_text(
        '[images]\nphoto = "{id}.png"\n[table]\nfile = "t.csv"\nid = "id"\ncovariates = ["it"]\n'
        '[targets.label]\nkind = "classification"\ncolumn = "label"\nclasses = [0, 1]\n'
    )
    return root


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_what_passes_the_check_trains(kind: str, tmp_path: Path) -> None:
    root = folder(tmp_path / "data", UNDERSTOOD[kind])
    assert [row for row in check("folder", root) if row.severity == "error"] == []
    dataset = DatasetConfig(name="folder", root=str(root), size_voxels=(16, 16))
    config = Config(
        dataset=dataset,
        tasks=(ClassificationConfig(name="label", target="label", classes=2),),
        network=NetworkConfig(in_channels=3, depth=3, width=4, head_inputs="both", clinical=("it",)),
        training=TrainingConfig(epochs=1, batch_size=2, event_fraction=None),
        split=SplitConfig(folds=2),
    )
    prepared = prepare(read_cohort(dataset), dataset, tmp_path / "cache", workers=1, progress=False)
    assert len(fit(config, prepared, device="cpu").history) == 1


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_train_is_an_error_that_names_column_and_values(kind: str, tmp_path: Path) -> None:
    root = folder(tmp_path, REFUSED[kind])
    (row,) = [row for row in check("folder", root) if row.severity == "error"]
    assert (row.rule, row.task) == ("bad-covariate", "it")
    assert "'it'" in row.found
    assert kind == "no value" or any(value in row.found for value in REFUSED[kind] if value)


def test_texts_as_numbers() -> None:
    read = {"054Y": 54, "018M": 1.5, "w": 0, "männlich": 1, "Former": 1, "rechts": 1, "T4a": 4, "G2": 2, "IVA": 4}
    assert {text: ordinal(text) for text in read} == read
    assert math.isnan(ordinal("2021-03-04"))
    assert math.isnan(ordinal("54Y"))
    every = [text for texts in VOCABULARIES.values() for text in texts]
    assert len(every) == len(set(every)), "a text of two vocabularies has two meanings"
    assert np.isfinite([ordinal(text.upper()) for text in every]).all()
    assert [kind_of_text(text) for text in ("m", "II", "3", "054Y", "x")] == ["sex", "stage", "number", "age", ""]
