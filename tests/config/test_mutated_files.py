"""Damaged Config files: each is read, or refused in one clear ValueError, at once."""

from __future__ import annotations

import copy
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from branchpoint.commands.cli import main
from branchpoint.config import Config, DatasetConfig, SegmentationConfig, SurvivalConfig
from branchpoint.config.file import read_config
from branchpoint.report.describe import describe_config
from branchpoint.topology import Cascade, Topology

WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    10**6,
    10**30,
    -(10**30),
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "8",
    "[/bold]",
    "[red]x[/]",
    "\ud800",
    "\x00",
    "a" * 10_000,
    [],
    [1],
    [[]],
    [None] * 20_000,
    {},
    {"kind": "segmentation"},
    {"kind": []},
    {"method": {}},
]
SECONDS = 2.0
"""Of processor time, for one file."""


def config() -> Config:
    tasks = (SegmentationConfig(name="tumour", target="tumour"), SurvivalConfig(name="survival", target="survival"))
    topology = Topology.branching(("tumour", "survival"), ("tumour",), 2, 5, 4)
    cascade = Cascade(source="tumour", target="survival", carries="measurements")
    network = {"topology": Topology(topology.encoder, topology.decoder, (cascade,)), "width": 2}
    return Config(dataset=DatasetConfig(size_voxels=(32, 32, 32)), tasks=tasks, network=network)  # type: ignore[arg-type]


def places(plain: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutated(plain: Any, draws: random.Random) -> Any:
    """``plain`` with a value replaced, left out, doubled or renamed."""
    damaged = copy.deepcopy(plain)
    *path, key = draws.choice(list(places(plain)))
    parent = damaged
    for step in path:
        parent = parent[step]
    way = draws.choice(["replace", "replace", "replace", "drop", "nest", "rename"])
    if way == "replace":
        parent[key] = draws.choice(WRONG)
    elif way == "drop":
        del parent[key]
    elif way == "nest":
        parent[key] = [parent[key]]
    elif isinstance(parent, dict):
        parent[draws.choice(["[/]", "", "kind", "\ud800"])] = parent.pop(key)
    return damaged


def refusal(file: Path) -> str | None:
    """What `branchpoint describe` would say against ``file``; any other exception is a bug."""
    try:
        describe_config(read_config(file))
    except ValueError as problem:
        return str(problem)
    return None


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files(seed: int, tmp_path: Path) -> None:
    describe_config(config())  # imports torch
    draws, plain = random.Random(seed), json.loads(config().to_json())
    refused = 0
    for number in range(25):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(mutated(plain, draws)))
        start = time.process_time()
        message = refusal(file)
        assert time.process_time() - start < SECONDS, file.read_text()
        if message is not None:
            refused += 1
            assert 0 < len(message) < 1000
            message.encode()
    assert refused > 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "3",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"seed": ' + "9" * 5000 + "}",
        '[{"config": 3}]',
        "\ufeff{}",
    ],
    ids=lambda text: text[:12],
)
def test_texts_that_are_no_config(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"--config .*config\.json: ") as caught:
        read_config(file)
    assert len(str(caught.value)) < 1000


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match=r"--config .*config\.json: "):
        read_config(file)


def test_the_command_shows_a_value_that_looks_like_markup_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(config().to_json().replace('"senorm"', '"[/bold]"'))
    monkeypatch.setattr(sys, "argv", ["branchpoint", "describe", "--config", str(file)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "network.unit is '[/bold]': choose one of" in " ".join(capsys.readouterr().err.split())
