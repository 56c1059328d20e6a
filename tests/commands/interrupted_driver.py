"""A command that searches, to be interrupted: python interrupted_driver.py FOLDER."""

import sys
from dataclasses import replace
from pathlib import Path

import typer

from branchpoint.commands.running import run_command
from branchpoint.on_ray.session import session
from tests.search.search_driver import toy_study
from tests.search.search_toys import ToyFit

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def search(folder: Path) -> None:
    with session("local", cpus=2):
        replace(toy_study(folder), hooks={"fit": ToyFit(seconds=3.0), "open_cohort": str}).run()


if __name__ == "__main__":
    assert len(sys.argv) == 2
    run_command(app)
