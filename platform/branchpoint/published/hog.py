"""HOG descriptors as an auxiliary task (Bhattarai et al. 2022, "Histogram of oriented gradients meet deep
learning"): tables 2 to 4, figures 4 and 5 and the comparison of networks, on CaDIS and EndoVis 2017.

Every comparison has a control that was never published: the same heads and loss with zeros as targets, which is what
the released code trains, as it casts the descriptors (all below 1) to integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from branchpoint.config import (
    AnyTaskConfig,
    AugmentationConfig,
    Config,
    DatasetConfig,
    HogConfig,
    NetworkConfig,
    OptimizerConfig,
    SegmentationConfig,
    SplitConfig,
    TrainingConfig,
)
from branchpoint.published.experiment import Column, Experiment, Row, Unavailable
from branchpoint.topology import Topology

Auxiliary = Literal["none", "hog", "zeros"]
NetworkName = Literal["unet", "u2net"]

ITERATIONS, BATCH, EDGE = 150_000, 16, 256
TRAINING_FRAMES = {"cadis": 3550, "endovis2017": 1800}
CLASSES = {
    "task_1": (8, False),
    "task_2": (17, False),
    "task_3": (25, False),
    "binary": (2, True),
    "parts": (4, True),
    "type": (8, True),
}
"""Target to classes, and whether class 0 is background."""
DIMENSIONS = {3780: (9, 8), 2520: (6, 8), 1680: (4, 8), 756: (9, 16), 504: (6, 16)}
"""Length of the descriptor to orientations and pixels of a cell, as in the released code."""
FRACTIONS = (0.25, 0.5, 0.75, 1.0)
NAMES: dict[NetworkName, str] = {"unet": "U-Net", "u2net": "U2-Net"}
WITH: dict[Auxiliary, str] = {"none": "", "hog": " + HOG", "zeros": " + zero targets"}

OPEN = (
    "Descriptors are regressed as floating-point numbers; the released code casts them to integers, all of them 0. The "
    "rows with zero targets train what it trains.",
    "Descriptors follow the released code (window of 128 x 64, 2 x 2 overlapping blocks, L2-Hys), which the paper's "
    "text leaves open, computed after augmentation.",
    "Regression units are those of the paper's table 1 ('light'); the released ones have 55 M parameters. They average "
    "to a fixed grid, so that any size of image works.",
    "Frames are resized to 256 x 256 as a whole; the released code crops 256 x 256 at random. Batches of 16 are the "
    "code's; the paper names none. Augmentation is not described: frames are mirrored here.",
    "150,000 iterations are given as epochs of the official training part; each epoch is validated, the paper "
    "validates every 1,000 iterations. The learning rate halves after each third, as in the paper.",
    "One cross-entropy, on the fused output; the released code sums seven. Mean IoU is over the classes in a frame's "
    "truth, then over frames, as in the released code.",
)
OF_CADIS = ("Pixels that a task leaves out are ignored: 17 and 25 classes are scored; the paper counts 18 and 26.",)
OF_ENDOVIS = ("The paper names no validation part: a fifth of the training videos is taken.",)
OF_UNET = "Network and task are not said; only U-Net on task 2 fits the figures (its text gives 81.9 without HOG)."


def experiments() -> list[Experiment]:
    """Tables 2, 3 and 4, figures 4 and 5, and the networks of the text."""
    return [table_2(), table_3(), table_4(), networks_compared(), figure_4(), figure_5()]


def config_of(
    dataset: str,
    target: str,
    network: NetworkName,
    auxiliary: Auxiliary = "none",
    *,
    dimension: int = 504,
    alpha: float = 1.0,
    beta: float = 1.0,
    fraction: float = 1.0,
) -> Config:
    """Adam, rate 0.0002 halved after each third of 150,000 iterations, loss ``alpha`` CE + ``beta`` MSE.

    U2-Net has a regression unit on its deepest level and on each decoder stage, U-Net one on the bottleneck.
    """
    classes, background = CLASSES[target]
    tasks: tuple[AnyTaskConfig, ...] = (
        SegmentationConfig(
            name=target,
            target=target,
            foreground_classes=classes - 1,
            background=background,
            loss="ce",
            metric="miou",
            weight=alpha,
        ),
    )
    settings = NetworkConfig(
        encoder=network,
        in_channels=3,
        width=64,
        depth=6 if network == "u2net" else 5,
        unit="batchnorm",
        dropout=0.0,
        measured_channel=0,
    )
    if auxiliary != "none":
        orientations, cell = DIMENSIONS[dimension]
        tasks += (
            HogConfig(name="hog", orientations=orientations, cell=cell, weight=beta, zero_target=auxiliary == "zeros"),
        )
        decoded = [target, "hog"] if network == "u2net" else [target]
        topology = Topology.shared([target, "hog"], decoded, settings.depth, settings.depth - 1)
        settings = replace(settings, regression_units=(("hog", "light"),), topology=topology)
    batches = -(-round(fraction * TRAINING_FRAMES[dataset]) // BATCH)
    return Config(
        dataset=DatasetConfig(name=dataset, release="", size_voxels=(EDGE, EDGE)),
        tasks=tasks,
        network=settings,
        optimizer=OptimizerConfig(learning_rate=2e-4, schedule="halving", halving_share=1 / 3),
        training=TrainingConfig(
            epochs=round(ITERATIONS / batches),
            batch_size=BATCH,
            event_fraction=None,
            select_by="score",
            augmentation=AugmentationConfig(shift_mm=0.0, mirror=True, rotation_degrees=0.0),
        ),
        split=SplitConfig(scheme="paper", training_fraction=fraction),
    )


def table_2() -> Experiment:
    """U2-Net with and without HOG on the three tasks of CaDIS."""
    paper: dict[tuple[str, Auxiliary], tuple[float, float]] = {
        ("task_1", "none"): (84.9, 80.2),
        ("task_1", "hog"): (85.5, 81.4),
        ("task_2", "none"): (83.8, 77.8),
        ("task_2", "hog"): (84.1, 80.2),
        ("task_3", "none"): (82.1, 78.2),
        ("task_3", "hog"): (83.0, 78.4),
    }
    winners = {"task_1": (86.7, 83.7), "task_2": (72.7, 70.6), "task_3": (66.6, 59.2)}
    rows = _rows("cadis", "u2net", paper, ("validation mIoU", "test mIoU"))
    unavailable = tuple(
        Unavailable(
            f"winner of the challenge, {task}",
            "its network is not in the registry",
            _named(("validation mIoU", "test mIoU"), values),
        )
        for task, values in winners.items()
    )
    return _experiment("cadis", "2", "U2-Net with and without HOG", rows, unavailable=unavailable)


def table_3() -> Experiment:
    """U2-Net with and without HOG on the three tasks of EndoVis 2017, videos 9 and 10."""
    titles = ("video 9 mIoU", "video 10 mIoU")
    paper: dict[tuple[str, Auxiliary], tuple[float, float]] = {
        ("binary", "none"): (94.2, 96.0),
        ("binary", "hog"): (95.6, 96.2),
        ("parts", "none"): (70.8, 84.1),
        ("parts", "hog"): (75.8, 84.4),
        ("type", "none"): (57.9, 89.4),
        ("type", "hog"): (65.4, 91.3),
    }
    winners = {"binary": (87.7, 91.7), "parts": (73.6, 80.7), "type": (35.7, 79.1)}
    unavailable = tuple(
        Unavailable(f"winner of the challenge, {task}", "its network is not in the registry", _named(titles, values))
        for task, values in winners.items()
    )
    return _experiment(
        "endovis2017",
        "3",
        "U2-Net with and without HOG",
        _rows("endovis2017", "u2net", paper, titles),
        unavailable=unavailable,
    )


def table_4() -> Experiment:
    """Weights of the two losses."""
    paper = {(0.01, 1.0): 81.2, (0.1, 1.0): 82.1, (1.0, 1.0): 82.3, (1.0, 0.1): 81.7, (1.0, 0.01): 82.0}
    rows = [
        Row(
            name=f"alpha {alpha:g}, beta {beta:g}",
            paper={"validation mIoU": value / 100},
            config=config_of("cadis", "task_2", "unet", "hog", alpha=alpha, beta=beta),
        )
        for (alpha, beta), value in paper.items()
    ]
    pairs = [("alpha 1, beta 1", row.name) for row in rows if row.name != "alpha 1, beta 1"]
    return _experiment("cadis", "4", "weights of the losses", rows, pairs, deviations=(OF_UNET,))


def networks_compared() -> Experiment:
    """U-Net and U2-Net, each with and without HOG, and with zero targets (figures in the text of section 4)."""
    rows = []
    for network, value in (("unet", 81.9), ("u2net", 83.75)):
        paper: dict[tuple[str, Auxiliary], tuple[float, ...]] = {("task_2", "none"): (value,), ("task_2", "hog"): ()}
        rows += _rows("cadis", network, paper, ("validation mIoU",))  # type: ignore[arg-type]
    return _experiment(
        "cadis",
        "networks",
        "U-Net and U2-Net",
        rows,
        deviations=(
            "The text gives the figures of the plain networks on task 2 without naming the part; 83.75 is the "
            "validation figure of table 2.",
        ),
    )


def figure_4() -> Experiment:
    """U-Net with and without HOG on parts of the training frames; the paper's figure has no numbers to read off."""
    rows = [
        Row(
            name=f"{NAMES['unet']}{WITH[auxiliary]}",
            subset=f"{fraction:.0%} of the frames",
            config=config_of("cadis", "task_2", "unet", auxiliary, fraction=fraction),
        )
        for fraction in FRACTIONS
        for auxiliary in WITH
    ]
    return _experiment(
        "cadis",
        "fig4",
        "sizes of the training set",
        rows,
        deviations=(
            "The fractions are not said, and the figure's values are not given as numbers; each fraction is trained "
            "for 150,000 iterations. Smaller sets are parts of larger ones.",
        ),
    )


def figure_5() -> Experiment:
    """Lengths of the descriptor; the paper's figure has no numbers to read off."""
    rows = [
        Row(
            name=f"{NAMES['unet']} + HOG of {length}",
            config=config_of("cadis", "task_2", "unet", "hog", dimension=length),
        )
        for length in DIMENSIONS
    ]
    best = f"{NAMES['unet']} + HOG of 504"
    pairs = [(best, row.name) for row in rows if row.name != best]
    return _experiment(
        "cadis",
        "fig5",
        "lengths of the descriptor",
        rows,
        pairs,
        deviations=(
            OF_UNET,
            "The lengths are the released code's; the text names 504 and 502 for the best.",
        ),
    )


def _rows(
    dataset: str, network: NetworkName, paper: Mapping[tuple[str, Auxiliary], tuple[float, ...]], titles: Sequence[str]
) -> list[Row]:
    """Plain, with HOG and with zero targets, for each task of ``paper``."""
    return [
        Row(
            name=f"{NAMES[network]}{WITH[auxiliary]}",
            subset=target,
            config=config_of(dataset, target, network, auxiliary),
            paper=_named(titles, paper.get((target, auxiliary), ())),
        )
        for target in dict.fromkeys(target for target, _ in paper)
        for auxiliary in WITH
    ]


def _named(titles: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return {title: value / 100 for title, value in zip(titles, values, strict=False)}


def _experiment(
    dataset: str,
    table: str,
    title: str,
    rows: Sequence[Row],
    compared: Sequence[tuple[str, str]] = (),
    deviations: Sequence[str] = (),
    unavailable: tuple[Unavailable, ...] = (),
) -> Experiment:
    if not compared:
        pairs: tuple[tuple[Auxiliary, Auxiliary], ...] = (("hog", "none"), ("hog", "zeros"), ("zeros", "none"))
        plain = [name for name in dict.fromkeys(row.name for row in rows) if "+" not in name]
        compared = [(name + WITH[one], name + WITH[other]) for name in plain for one, other in pairs]
    task = "*"
    columns: tuple[Column, ...] = (
        (
            Column("video 9 mIoU", task, "miou", group="video_09"),
            Column("video 10 mIoU", task, "miou", group="video_10"),
        )
        if dataset == "endovis2017"
        else (
            Column("validation mIoU", task, "miou", "validation"),
            Column("test mIoU", task, "miou"),
        )
    )
    return Experiment(
        paper="hog",
        dataset=dataset,
        table=table,
        title=title,
        columns=columns,
        rows=tuple(rows),
        compared=tuple(compared),
        deviations=(*OPEN, *(OF_CADIS if dataset == "cadis" else OF_ENDOVIS), *deviations),
        unavailable=unavailable,
    )
