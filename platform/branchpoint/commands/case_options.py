"""Options that `branchpoint predict`, `explain` and `calibrate` share: which cases, and where the networks look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.prediction.cases import Case

BundlePath = Annotated[Path, typer.Argument(help="Folder or .zip that `branchpoint bundle create` wrote.")]
Out = Annotated[Path, typer.Option(help="Folder for the results, one folder in it for each case.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", help="CT=FILE,PET=FILE, a picture, a folder of pictures or a DICOM study; repeatable."),
]
Table = Annotated[
    Path | None, typer.Option(help="CSV: id, a column of paths for each modality (or `study`), covariates, box.")
]
CaseId = Annotated[str | None, typer.Option("--id", help="Identifier of the case of --input.")]
GridOf = Annotated[str, typer.Option(help="Modality whose grid masks are written on, or `each`.")]
Locate = Annotated[str, typer.Option(help="`tiles`: search a scan larger than the window for the lesion.")]
Center = Annotated[str, typer.Option(help="x,y,z in mm (LPS): where the window is centred.")]
BoxText = Annotated[str, typer.Option(help="x1,y1,z1,x2,y2,z2 in mm (LPS): the window is centred on it.")]
Series = Annotated[
    list[str] | None, typer.Option(help="PET=UID (or number): which of several DICOM series; repeatable.")
]
WeightKg = Annotated[float | None, typer.Option(help="Body weight, in place of the one in PET headers.")]
Folds = Annotated[str, typer.Option(help="Networks of these folds alone, such as 0,2.")]
Identify = Annotated[bool, typer.Option("--identify", help="Write patient names and paths into the results.")]
NoPage = Annotated[bool, typer.Option("--no-page", help="Write no HTML pages.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU where there is one.")]
OnRay = Annotated[bool, typer.Option("--ray", help="Spread the cases over a Ray cluster, or this machine.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster; else $RAY_ADDRESS, else this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]


def cases_of(bundle: Bundle, inputs: Sequence[str], table: Path | None, case_id: str | None, box: str) -> list[Case]:
    """The cases that the command line names.

    Raises:
        ValueError: they are named twice or not at all, or a table or name is wrong.
    """
    from branchpoint.deploy.prediction.cases import case_of, check_ids, parse_box, read_table

    if bool(inputs) == (table is not None):
        raise ValueError("give either --input (once or more) or --table")
    modalities = bundle.preparation.modalities
    if table is not None:
        covariates = [covariate["name"] for covariate in bundle.preprocessing["covariates"]]
        cases = read_table(table, modalities, covariates)
    else:
        if case_id is not None and len(inputs) > 1:
            raise ValueError("--id names one case, but --input was given several times; use --table")
        cases = [case for text in inputs for case in case_of(text, modalities, case_id)]
    if box:
        placed: Any = parse_box(box)
        cases = [replace(case, box=case.box or placed) for case in cases]
    check_ids(cases)
    return cases
