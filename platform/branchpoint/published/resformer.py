"""ResFormer with dilated feature enhancement (Bui et al. 2024, "Multi-scale feature enhancement in multi-task
learning for medical image analysis"): tables 2 to 9, on RETOUCH and ISIC 2017.

The authors' code is not public, so that every choice the text leaves open is made here, and listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from branchpoint.config import (
    AnyTaskConfig,
    AugmentationConfig,
    Config,
    DatasetConfig,
    MultilabelConfig,
    NetworkConfig,
    OptimizerConfig,
    SegmentationConfig,
    SplitConfig,
    TrainingConfig,
)
from branchpoint.networks.comparators import COMPARATORS
from branchpoint.published import resformer_figures as figures
from branchpoint.published.experiment import Column, Experiment, Row, Unavailable

DATASETS = ("isic2017", "retouch")
VENDORS = ("Cirrus", "Spectralis", "Topcon")
SEQUENTIAL, PARALLEL = "sequential", "parallel"
CLASSIFICATION, SEGMENTATION, BOTH = "classification only", "segmentation only", "both"

OPEN = (
    "Not in the paper, chosen here: window of 8 (7 does not divide the maps of 512 pixels), stem of kernel 7, one "
    "residual block at each level, 256 hidden units in the classification head, no dropout, linear upsampling.",
    "Not in the paper: the learning-rate schedule (constant here) and the largest rotation (20 degrees here).",
    "The paper calls its classification loss weighted and does not say how: each label weighs negatives / positives of "
    "the training samples where it is there.",
    "Dice is of lesion classes, for each image without smoothing; a class that an image does not show teaches nothing. "
    "The paper does not say what its Dice loss does with them, nor how JI and DSC are averaged (here: over the classes "
    "in an image, then over images).",
)
OF_ISIC = ("One class of lesion: a sigmoid channel instead of a softmax over two, which is the same model.",)
OF_RETOUCH = (
    "B-scans have one channel; the paper describes three.",
    "The paper's parts put neighbouring slices of a volume into training and test. Its slices are not published: as "
    "many are drawn anew. --split whole parts by volume.",
    "The paper selects by validation loss but defines no validation part: a fifth of the training volumes is taken.",
)
OF_COMPARATORS = (
    "He, Gende, Hervella and Tang et al. are represented by their families of multi-task networks (fig. 1 of the "
    "paper) on a U-Net of width 64, not by their own networks.",
)
OF_SINGLE_TASK = ("The library networks start from random weights; which variants the paper used is not said.",)


def experiments() -> list[Experiment]:
    """Every table on each dataset; tables 8 and 9, which the paper has for RETOUCH alone, on both."""
    found = []
    for dataset in DATASETS:
        found += [effect_of_tasks(dataset), effect_of_enhancement(dataset)]
    multi = partial(_multi_task, rows=_families())
    found += [
        multi("retouch", "2", "classification against multi-task networks", ("Acc", "Sen", "Spe")),
        multi("retouch", "3", "segmentation against multi-task networks", ("JI", "DSC")),
        multi("isic2017", "4", "both tasks against multi-task networks", figures.TITLES),
        _single_task("retouch", "5", "classification against single-task networks", figures.CLASSIFIERS_RETOUCH),
        _single_task("retouch", "6", "segmentation against single-task networks", figures.SEGMENTERS_RETOUCH),
        _single_task("isic2017", "7", "against single-task networks", figures.SINGLE_TASK_ISIC),
    ]
    return sorted(found, key=lambda experiment: (experiment.table, experiment.dataset))


def config_of(
    dataset: str, vendor: str = "", design: str = SEQUENTIAL, *, enhanced: bool = True, learned: str = BOTH
) -> Config:
    """ResFormer as published: AdamW, rate 0.003, decay 0.0001, batches of 8, 100 epochs, loss 0.25 CE + 1 Dice."""
    tasks = {CLASSIFICATION: _tasks(dataset)[1:], SEGMENTATION: _tasks(dataset)[:1], BOTH: _tasks(dataset)}[learned]
    return Config(
        dataset=DatasetConfig(
            name=dataset, release=vendor, size_voxels=(224,) * 2 if dataset == "isic2017" else (512,) * 2
        ),
        tasks=tasks,
        network=NetworkConfig(
            encoder=f"resformer_{design}",
            in_channels=3 if dataset == "isic2017" else 1,
            width=64,
            depth=4,
            taps=(2, 3),
            hidden_features=256,
            dropout=0.0,
            window=8,
            dilated_skips=enhanced,
            unit="batchnorm",
            measured_channel=0,
        ),
        optimizer=OptimizerConfig(name="adamw", learning_rate=3e-3, weight_decay=1e-4, schedule="constant"),
        training=TrainingConfig(
            epochs=100,
            batch_size=8,
            event_fraction=None,
            select_by="loss",
            augmentation=AugmentationConfig(shift_mm=0.0, mirror=True, flip=True, rotation_degrees=20.0),
        ),
        split=SplitConfig(scheme="paper"),
    )


def effect_of_tasks(dataset: str) -> Experiment:
    """Table 8: what learning both tasks together changes."""
    rows = [
        Row(
            name=f"{design}, {learned}",
            subset=vendor,
            paper=figures.effect_of_tasks(design, learned, vendor),
            config=config_of(dataset, vendor, design, learned=learned),
        )
        for design in (SEQUENTIAL, PARALLEL)
        for learned in (CLASSIFICATION, SEGMENTATION, BOTH)
        for vendor in _vendors(dataset)
    ]
    pairs = [
        (f"{design}, {BOTH}", f"{design}, {alone}")
        for design in (SEQUENTIAL, PARALLEL)
        for alone in (CLASSIFICATION, SEGMENTATION)
    ]
    return _experiment(
        dataset, "8", "multi-task against single-task", rows, pairs, () if dataset == "retouch" else (_ONLY_RETOUCH,)
    )


def effect_of_enhancement(dataset: str) -> Experiment:
    """Table 9: what dilated feature enhancement changes."""
    names = {True: "with DFE", False: "without DFE"}
    rows = [
        Row(
            name=f"{design}, {names[enhanced]}",
            subset=vendor,
            config=config_of(dataset, vendor, design, enhanced=enhanced),
            paper=figures.effect_of_enhancement(design, enhanced, vendor),
        )
        for design in (SEQUENTIAL, PARALLEL)
        for enhanced in (False, True)
        for vendor in _vendors(dataset)
    ]
    pairs = [(f"{design}, with DFE", f"{design}, without DFE") for design in (SEQUENTIAL, PARALLEL)]
    return _experiment(
        dataset,
        "9",
        "with and without dilated feature enhancement",
        rows,
        pairs,
        () if dataset == "retouch" else (_ONLY_RETOUCH,),
    )


_ONLY_RETOUCH = "The paper has this table for RETOUCH alone; on ISIC 2017 it reports the full network only."


def _tasks(dataset: str) -> tuple[AnyTaskConfig, ...]:
    target, classes, labels = ("lesion", 1, "diagnosis") if dataset == "isic2017" else ("fluids", 3, "fluids_present")
    return (
        SegmentationConfig(name=target, target=target, foreground_classes=classes, loss="dice", metric="ji"),
        MultilabelConfig(name=labels, target=labels, labels=3, weight=0.25),
    )


def _vendors(dataset: str) -> Sequence[str]:
    return VENDORS if dataset == "retouch" else ("",)


def _columns(dataset: str, titles: Sequence[str]) -> tuple[Column, ...]:
    mask, labels = (task.name for task in _tasks(dataset))
    every = {
        "JI": (mask, "ji"),
        "DSC": (mask, "dice"),
        "Acc": (labels, "micro_accuracy"),
        "Sen": (labels, "micro_sensitivity"),
        "Spe": (labels, "micro_specificity"),
    }
    return tuple(Column(title, *every[title]) for title in titles)


def _experiment(
    dataset: str,
    table: str,
    title: str,
    rows: Sequence[Row],
    compared: Sequence[tuple[str, str]],
    deviations: Sequence[str],
    titles: Sequence[str] = figures.TITLES,
    unavailable: Sequence[Unavailable] = (),
) -> Experiment:
    of_dataset = OF_ISIC if dataset == "isic2017" else OF_RETOUCH
    return Experiment(
        paper="resformer",
        dataset=dataset,
        table=table,
        title=title,
        columns=_columns(dataset, titles),
        rows=tuple(rows),
        compared=tuple(compared),
        seeds=5,
        deviations=(*OPEN, *of_dataset, *deviations),
        weigh_labels=True,
        unavailable=tuple(unavailable),
    )


def _families() -> Mapping[str, tuple[Callable[[Config], Config], str]]:
    """Name of a row to the family's network and the published method whose figures stand beside it."""
    a, b, c = (COMPARATORS[name] for name in COMPARATORS)
    return {
        "U-Net, classes from the bottleneck": (a, "He et al."),
        "U-Net, classes from the decoder": (b, "Hervella et al."),
        "U-Net with transformer, classes from the bottleneck": (c, "Tang et al."),
    }


def _multi_task(
    dataset: str,
    table: str,
    title: str,
    titles: Sequence[str],
    rows: Mapping[str, tuple[Callable[[Config], Config], str]],
) -> Experiment:
    found = []
    for vendor in _vendors(dataset):
        plain = config_of(dataset, vendor)
        plain = replace(plain, network=replace(plain.network, encoder="unet", depth=5, taps=()))
        found += [
            Row(
                name=name,
                subset=vendor,
                config=make(plain),
                note=f"the paper's figures are of {of}",
                paper=figures.multi_task(dataset, of, vendor),
            )
            for name, (make, of) in rows.items()
        ]
        found += [
            Row(
                name=f"ResFormer, {design}",
                subset=vendor,
                config=config_of(dataset, vendor, design),
                paper=figures.effect_of_tasks(design, BOTH, vendor),
            )
            for design in (SEQUENTIAL, PARALLEL)
        ]
    pairs = [(f"ResFormer, {design}", name) for design in (SEQUENTIAL, PARALLEL) for name in rows]
    unavailable = [
        Unavailable(
            f"Gende et al.{f', {vendor}' if vendor else ''}",
            "of He et al.'s family (fig. 1 a)",
            figures.multi_task(dataset, "Gende et al.", vendor),
        )
        for vendor in _vendors(dataset)
    ]
    return _experiment(dataset, table, title, found, pairs, OF_COMPARATORS, titles, unavailable)


def _single_task(dataset: str, table: str, title: str, published: Mapping[str, figures.Values]) -> Experiment:
    found, unavailable, names = [], [], []
    kept = [
        title
        for i, title in enumerate(figures.TITLES)
        if any(value is not None for values in published.values() for value in values[i::5])
    ]
    for place, vendor in enumerate(_vendors(dataset)):
        for name, values in published.items():
            paper = figures.named(values[5 * place : 5 * place + 5])
            if name not in figures.LIBRARY:
                label = f"{name}, {vendor}" if vendor else name
                unavailable.append(Unavailable(label, "no network of this name in the registry", paper))
                continue
            names.append(name)
            encoder, depth, learned = figures.LIBRARY[name]
            plain = config_of(dataset, vendor, learned=learned)
            network = replace(plain.network, encoder=encoder, depth=depth, taps=(depth - 1,))
            found.append(Row(name=name, subset=vendor, config=replace(plain, network=network), paper=paper))
        found += [
            Row(
                name=f"ResFormer, {design}",
                subset=vendor,
                config=config_of(dataset, vendor, design),
                paper=figures.effect_of_tasks(design, BOTH, vendor),
            )
            for design in (SEQUENTIAL, PARALLEL)
        ]
    pairs = [(f"ResFormer, {design}", name) for design in (SEQUENTIAL, PARALLEL) for name in dict.fromkeys(names)]
    return _experiment(dataset, table, title, found, pairs, OF_SINGLE_TASK, kept, unavailable)
