"""A published table from nothing but a command: phantom, training, figures beside the paper's; and started again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from branchpoint.commands import reproduce as job
from branchpoint.store import Store

STUDY = "hog-cadis-phantom-smoke"


def reproduce(home: Path, *rows: str, table: str = "4", more: tuple[str, ...] = (), code: int = 0) -> str:
    options = ["--paper", "hog", "--dataset", "cadis", "--table", table, "--smoke", "--home", str(home)]
    chosen = [part for row in rows for part in ("--rows", row)]
    done = CliRunner().invoke(job.app, [*options, *chosen, *more], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.timeout(1200)
def test_a_table_beside_the_papers_and_on_again(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    reproduce(tmp_path, "alpha 1, beta 1")
    store = Store(str(tmp_path / "results"))
    first = store.trials(STUDY).to_pylist()
    assert [(row["state"], row["seed"], row["stage"]) for row in first] == [
        ("COMPLETE", 0, "final"),
        ("COMPLETE", 1, "final"),
    ]
    output = reproduce(tmp_path, "alpha 1, beta 1", "alpha 0.1, beta 1")
    rows = store.trials(STUDY, attempts="all").to_pylist()
    assert len(rows) == 4
    # NaN does not equal itself, but its text does.
    assert set(map(repr, first)) <= set(map(repr, rows)), "finished runs are not run again"
    text = (tmp_path / "published" / f"{STUDY}-table-4.md").read_text()
    assert text in output
    line = next(line for line in text.splitlines() if line.startswith("| alpha 1, beta 1 |"))
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[1] == "2"
    assert cells[3] == "82.3"
    assert 0 <= float(cells[2].split()[0]) <= 100
    assert "| alpha 1, beta 1 minus alpha 0.1, beta 1 | validation mIoU |" in text
    assert "The cohort is a phantom" in text
    assert "casts them to integers" in text, "deviations are listed"
    figures = {(row["label"], row["split"]): row for row in store.figures(STUDY).to_pylist()}
    found = figures["table 4: alpha 1, beta 1", "validation"]
    assert f"{100 * found['value']:.1f}" == cells[2].split()[0]

    kept = tmp_path / "results" / ".state" / STUDY / "runs" / first[0]["trial"]
    reproduce(tmp_path, "alpha 1, beta 1", more=("--start-from", str(kept), "--seeds", "1"))
    (started,) = [row for row in store.trials(STUDY).to_pylist() if row["notes"]]
    assert f"starts from {kept / 'network.pt'} (candidate {first[0]['candidate']}, unet): " in started["notes"][0]
    assert started["notes"][0].endswith("nothing drawn anew")


def test_a_run_that_fails_says_why_and_leaves_its_row_empty(tmp_path: Path) -> None:
    torch.save({"other.weight": torch.ones(3)}, tmp_path / "weights.pt")
    more = ("--start-from", str(tmp_path / "weights.pt"), "--seeds", "1", "--study", "started")
    output = reproduce(tmp_path, "alpha 1, beta 1", more=more, code=1)
    assert "failed: ValueError: training.start_from is" in output
    assert "| alpha 1, beta 1 | 0 (failed: 0) | - | 82.3 | - | - |" in output
    (row,) = Store(str(tmp_path / "results")).trials("started").to_pylist()
    assert row["state"] == "FAILED"


def test_a_small_scale_leaves_enough_for_every_network() -> None:
    from branchpoint.networks import estimate
    from branchpoint.published import find

    script = job
    for table, edge in (("7", 80), ("8", 32)):
        small = script._on_data(
            find("resformer", "isic2017", table), Path("/data"), script.SCALES["smoke"], "paper", {}
        )
        assert {row.config.dataset.size_voxels for row in small.rows} == {(edge, edge)}
        for config in {row.config.network.encoder: row.config for row in small.rows}.values():
            assert estimate(config).macs > 0
    volumes = script._on_data(find("hecktor", "hecktor", "1"), Path("/data"), script.SCALES["smoke"], "paper", {})
    assert estimate(volumes.rows[1].config).macs > 0


def test_what_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no published experiment 'hog', 'cadis', table '11'"):
        reproduce(tmp_path, table="11")
