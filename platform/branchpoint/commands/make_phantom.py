"""``branchpoint make-phantom``: write a synthetic cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def make_phantom(
    dataset: Annotated[
        str, typer.Argument(help="Dataset whose layout and anatomy are imitated: hecktor, isic2017, retouch, ...")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; it is created.")],
    release: Annotated[str, typer.Option(help="Release whose layout is written.")] = "2021",
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 60,
    seed: Annotated[int, typer.Option(help="Random seed; equal seeds give equal files.")] = 0,
    censoring: Annotated[
        float | None, typer.Option(help="Share of patients without an event; 0.8 by default for hecktor.")
    ] = None,
) -> None:
    """Write a synthetic cohort in the official layout of a dataset, with its ground truth beside it."""
    from branchpoint.phantoms import make_phantom as make

    settings = {} if censoring is None else {"censoring": censoring}
    where = make(dataset, out.resolve(), release=release, patients=patients, seed=seed, **settings)
    print(f"{patients} patients in {where}")
