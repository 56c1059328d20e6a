"""The ``branchpoint`` command, assembled from one module per verb."""

from __future__ import annotations

import typer

from branchpoint.commands.affinity import affinity
from branchpoint.commands.best import best
from branchpoint.commands.bundle import app as bundle
from branchpoint.commands.calibrate import calibrate
from branchpoint.commands.check_data import check_data
from branchpoint.commands.describe import describe
from branchpoint.commands.evaluate import evaluate
from branchpoint.commands.explain import explain
from branchpoint.commands.front import front
from branchpoint.commands.make_phantom import make_phantom
from branchpoint.commands.pairs import pairs
from branchpoint.commands.plan import plan
from branchpoint.commands.predict import predict
from branchpoint.commands.published import app as published
from branchpoint.commands.radiomics import radiomics
from branchpoint.commands.report import report
from branchpoint.commands.running import run_command
from branchpoint.commands.serve import serve
from branchpoint.commands.sql import sql
from branchpoint.commands.status import status
from branchpoint.commands.train import train
from branchpoint.commands.trials import trials
from branchpoint.commands.weights import weights

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, and search for, multi-task networks on medical images.",
)
app.add_typer(published, name="published")
app.add_typer(bundle, name="bundle")
VERBS = (
    check_data,
    plan,
    make_phantom,
    train,
    predict,
    explain,
    calibrate,
    serve,
    status,
    best,
    front,
    trials,
    weights,
    sql,
    report,
    describe,
    evaluate,
    radiomics,
    affinity,
    pairs,
)
for verb in VERBS:
    app.command(verb.__name__.replace("_", "-"))(verb)


def main() -> None:
    """Run the command of this process."""
    run_command(app)


if __name__ == "__main__":
    main()
