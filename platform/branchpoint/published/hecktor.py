"""Multi-task segmentation and prognosis from PET/CT (Andrearczyk et al. 2021, "Multi-task deep segmentation and
radiomics for automatic prognosis in head and neck cancer"): tables 1 and 2, the three weightings of the losses."""

from __future__ import annotations

from branchpoint.config import (
    AugmentationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    OptimizerConfig,
    SegmentationConfig,
    SplitConfig,
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.published.experiment import Column, Experiment, Row, Unavailable

WEIGHTINGS = {
    "deep radiomics (1, 0)": (1.0, 0.0),
    "deep multi-task (1, 1)": (1.0, 1.0),
    "deep segmentation (0, 1)": (0.0, 1.0),
}
"""Name to weights of the Cox and the Dice loss."""
RADIOMICS, MULTI_TASK, SEGMENTATION = WEIGHTINGS

DEVIATIONS = (
    "The release is HECKTOR 2021 (progression-free survival, 222 patients with labels); the paper's 2020 release with "
    "disease-free survival of 239 patients was never published.",
    "Folds are drawn anew, stratified by events; the paper's are not published. Each fold tests a fifth of the "
    "patients; of the rest a fifth is for validation, as in the paper.",
    "The residual unit is not published: convolution, ReLU, SE-Norm, plus skip, as in the network it derives from.",
    "One sigmoid channel, as in the published code; the paper writes softmax. Dropout 0.5 stands before each of the "
    "two dense layers, as in the code.",
    "The Dice loss is 1 - Dice for each patient (paper: -Dice over all voxels); the gradient is the same for batches "
    "of one, and a positive loss can be balanced.",
    "C-indices compare patients of one fold alone; the interval is over all patients, not the standard error over "
    "folds.",
    "A row with weight 0 leaves that head untrained, as in the paper, which reports its figure as a check of chance.",
)
_C_INDEX = {RADIOMICS: 0.650, MULTI_TASK: 0.723, SEGMENTATION: 0.416}
_DICE = {RADIOMICS: 0.008, MULTI_TASK: 0.584, SEGMENTATION: 0.683}


def experiments() -> list[Experiment]:
    """Table 1 (C-index) and table 2 (Dice), of the same runs."""
    return [
        _experiment(
            "1",
            "C-index of the three weightings",
            "C-index",
            ((MULTI_TASK, RADIOMICS), (MULTI_TASK, SEGMENTATION)),
            _C_INDEX,
        ),
        _experiment(
            "2", "Dice of the three weightings", "Dice", ((MULTI_TASK, SEGMENTATION), (MULTI_TASK, RADIOMICS)), _DICE
        ),
    ]


def config_of(survival: float, segmentation: float) -> Config:
    """Adam, cosine from 0.001, batches of 10, 60 epochs, half of each batch with an event; 144 voxels of 1 mm."""
    return Config(
        dataset=DatasetConfig(name="hecktor", release="2021", spacing_mm=1.0, size_voxels=(144, 144, 144)),
        tasks=(
            SegmentationConfig(name="tumour", target="tumour", loss="dice", weight=segmentation),
            SurvivalConfig(name="survival", target="survival", weight=survival),
        ),
        network=NetworkConfig(
            encoder="radiomics_unet", in_channels=2, width=8, depth=5, hidden_features=128, dropout=0.5, unit="senorm"
        ),
        optimizer=OptimizerConfig(learning_rate=1e-3, schedule="cosine"),
        training=TrainingConfig(
            epochs=60,
            batch_size=10,
            event_fraction=0.5,
            select_by="loss",
            augmentation=AugmentationConfig(shift_mm=30.0, mirror=True, rotation_degrees=5.0),
        ),
        split=SplitConfig(folds=5, validation_fraction=0.2),
    )


def _experiment(
    table: str, title: str, column: str, compared: tuple[tuple[str, str], ...], paper: dict[str, float]
) -> Experiment:
    task, metric = ("survival", "c_index") if column == "C-index" else ("tumour", "dice")
    unavailable = (
        (
            Unavailable(
                "standard radiomics",
                "no network: `branchpoint radiomics` computes it on the folds of a finished study",
                {"C-index": 0.695},
            ),
        )
        if table == "1"
        else ()
    )
    note = "the fold figures of the paper's table average to 0.436, not to the 0.416 it gives"
    return Experiment(
        paper="hecktor",
        dataset="hecktor",
        table=table,
        title=title,
        columns=(Column(column, task, metric),),
        rows=tuple(
            Row(
                name=name,
                config=config_of(*weights),
                paper={column: paper[name]},
                note=note if (table, name) == ("1", SEGMENTATION) else "",
            )
            for name, weights in WEIGHTINGS.items()
        ),
        compared=compared,
        deviations=DEVIATIONS,
        unavailable=unavailable,
    )
