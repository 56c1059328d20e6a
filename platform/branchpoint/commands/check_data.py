"""``branchpoint check-data``: read every file of a cohort and list its problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from branchpoint.commands.options import JsonOption


def check_data(
    dataset: Annotated[str, typer.Argument(help="Name of the dataset, such as hecktor or sts.")],
    root: Annotated[Path, typer.Option(help="Folder of the release.")],
    release: Annotated[str, typer.Option(help="Release, for datasets that have several.")] = "2021",
    folds: Annotated[int, typer.Option(help="Number of folds that the training will use.")] = 5,
    as_json: JsonOption = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the problems to this CSV file.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 if there are warnings.")] = False,
) -> None:
    """Read every file of a cohort and list its problems.

    The exit code is 2 if there are errors, which a training would refuse, and 1 if there are warnings and --strict is
    given. Warnings that [accept] in the folder's dataset.toml names, with a reason, are shown and do not count.
    """
    from branchpoint.config import DatasetConfig
    from branchpoint.datasets.check import check_cohort
    from branchpoint.datasets.problems.table import print_problems, problems_to_json, write_problems_csv
    from branchpoint.datasets.readers.registry import read_cohort

    config = DatasetConfig(name=dataset, root=str(root.resolve()), release=release)
    cohort = read_cohort(config)
    problems = check_cohort(cohort, config, folds=folds, progress=not as_json)
    if csv:
        write_problems_csv(problems, csv)
    if as_json:
        print(problems_to_json(problems))
    else:
        print_problems(problems, title=f"{cohort.name} {cohort.release}: {len(cohort.patients)} patients")
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(2)
    if strict and any(problem.severity == "warning" for problem in problems):
        raise typer.Exit(1)
