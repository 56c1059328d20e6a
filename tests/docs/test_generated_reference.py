"""The generated parts of the reference name every command and every field of Config."""

from __future__ import annotations

import dataclasses

import pytest
import typer

from branchpoint import config
from docs import hooks


def test_every_command_is_described() -> None:
    from branchpoint.commands.cli import app

    page = hooks.on_page_markdown("before\n<!-- generated: command_line -->\nafter")
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"## `branchpoint {name}`" in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter")


def test_every_field_of_config_is_described() -> None:
    pytest.importorskip("griffe", reason="the extra docs is not installed")
    page = hooks.on_page_markdown("<!-- generated: config_fields -->")
    sections = {section.split("\n", 1)[0]: section for section in page.split("## ")[1:]}
    assert "| `importance` |" in sections["TaskConfig"]
    every_task = [field.name for field in dataclasses.fields(config.TaskConfig)]
    for cls in (config.Config, config.DatasetConfig, config.NetworkConfig, config.SurvivalConfig):
        for field in dataclasses.fields(cls):
            described = f"| `{field.name}` |" in sections[cls.__name__]
            assert described or (cls is config.SurvivalConfig and field.name in every_task)
    assert "`'breslow'`, `'efron'`" in sections["SurvivalConfig"]


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(KeyError, match="weather"):
        hooks.on_page_markdown("<!-- generated: weather -->")
