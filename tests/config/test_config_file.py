"""Commands take a Config as a file: its JSON, or what ``branchpoint best --json`` prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from branchpoint.commands import cli
from branchpoint.config import Config, DatasetConfig
from branchpoint.config.file import read_config
from search_spaces import ph2

CONFIG = ph2.base(DatasetConfig(name="ph2", size_voxels=(32, 32)))


def printed_by_best(config: Config) -> str:
    return json.dumps([{"trial": "0007", "config": json.loads(config.to_json())}])


@pytest.mark.parametrize("text", [CONFIG.to_json(), printed_by_best(CONFIG)])
def test_a_config_or_what_best_prints(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    assert read_config(file) == CONFIG


@pytest.mark.parametrize("command", ["describe", "pairs", "affinity", "train"])
def test_every_command_reads_what_best_prints(tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes on to what is wrong beyond the file, or succeeds."""
    monkeypatch.chdir(tmp_path)
    Path("best.json").write_text(printed_by_best(CONFIG))
    done = CliRunner().invoke(cli.app, [command, "--config", "best.json"])
    expected = {"affinity": "dataset.root is empty", "train": "dataset.root is empty", "pairs": "no complete trial"}
    assert expected.get(command, "lesion") in f"{done.output}{done.exception}"


def test_what_is_no_config_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"network": {"width": 0}}')
    with pytest.raises(ValueError, match=r"--config .*config.json: network.width is 0: must lie in \[1, 1024\]"):
        read_config(file)
    with pytest.raises(ValueError, match=r"--config .*nothing.json: No such file"):
        read_config(tmp_path / "nothing.json")
