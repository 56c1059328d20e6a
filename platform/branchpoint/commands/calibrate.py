"""``branchpoint calibrate``: a bundle's probabilities fitted to patients of another place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from branchpoint.commands.case_options import BundlePath


def calibrate(
    bundle: BundlePath,
    results: Annotated[Path, typer.Option(help="Folder that `branchpoint predict` wrote with this bundle.")],
    outcomes: Annotated[Path, typer.Option(help="CSV: id, and TASK (class) or TASK_days and TASK_event (0 or 1).")],
    out: Annotated[Path, typer.Option(help="New bundle: folder, or a file ending with .zip.")],
) -> None:
    """Fit temperature and survival baseline to a cohort whose outcomes are known; networks stay as they are."""
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.bundle.outcomes import read_outcomes
    from branchpoint.deploy.bundle.recalibrate import in_words, recalibrate
    from branchpoint.deploy.prediction.output import read_result

    opened = Bundle.open(bundle)
    known = read_outcomes(outcomes, opened.tasks)
    found = {case: result for case in known if (result := read_result(results / case)) is not None}
    if not found:
        raise ValueError(f"{results} holds results of none of the {len(known)} cases in {outcomes}")
    if other := [case for case, one in found.items() if one.get("bundle", {}).get("digest") != opened.digest]:
        raise ValueError(f"{results}/{other[0]} was predicted by another bundle; predict it with {bundle} first")
    out = out.expanduser().resolve()
    for report in recalibrate(opened, found, known, out):
        print(f"{report['task']}: {in_words(report)}")
    missing = len(known) - len(found)
    print(f"bundle: {out}" + (f"; {missing} cases of the table have no result" if missing else ""))
