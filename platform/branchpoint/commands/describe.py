"""``branchpoint describe``: the network that a Config describes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from branchpoint.commands.options import ConfigOption


def describe(
    config: ConfigOption,
    svg: Annotated[Path | None, typer.Option(help="Also draw the network into this SVG file.")] = None,
) -> None:
    """Print the sharing tree of a network, its family and its cost."""
    from branchpoint.config.file import read_config
    from branchpoint.report.describe import describe_config

    print(describe_config(read_config(config), svg))
