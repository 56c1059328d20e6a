"""The guides "Add a ...": their modules and entry points, taken from the pages, installed as a package and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "how-to"
PAGES = ("add-a-dataset", "add-a-task", "add-an-encoder", "add-a-balancer", "add-a-search-dimension")

USE = """
import sys
from dataclasses import replace
from pathlib import Path

root, cache = sys.argv[1:]

from branchpoint.config import Config

TASK = '{"kind": "quantile", "name": "radius", "target": "radius", "quantile": 0.5}'
AUTOENCODER = '{"kind": "reconstruction", "name": "image", "target": "image", "channels": 1}'
config = Config.from_json(
    '{"dataset": {"name": "dots", "root": "%s", "release": "", "size_voxels": [16, 16]},'
    ' "tasks": [%s, %s],'
    ' "network": {"encoder": "strided_unet", "in_channels": 1, "width": 4, "depth": 3, "unit": "instancenorm"},'
    ' "balancing": {"method": "largest_loss", "sharpness": 2},'
    ' "training": {"epochs": 2, "batch_size": 4, "event_fraction": null},'
    ' "split": {"folds": 3}}' % (root, TASK, AUTOENCODER)
)

from branchpoint_extras.largest_loss import LargestLoss, LargestLossConfig
from branchpoint_extras.quantile import QuantileConfig
from branchpoint_extras.strided_unet import StridedUNet

assert config.balancing == LargestLossConfig(sharpness=2.0)
assert config.task("radius") == QuantileConfig(name="radius", target="radius")
assert Config.from_json(config.to_json()) == config
assert config.fingerprint != replace(config, balancing=LargestLossConfig(sharpness=3.0)).fingerprint

from branchpoint.datasets.check import check_cohort, errors_among
from branchpoint.datasets.prepared import prepare
from branchpoint.datasets.readers.registry import read_cohort

cohort = read_cohort(config.dataset)
assert len(cohort.patients) == 12
assert not errors_among(check_cohort(cohort, config.dataset, folds=3))
prepared = prepare(cohort, config.dataset, Path(cache), workers=1, progress=False)

from branchpoint.networks import build, estimate
from branchpoint.networks.encoders import architecture

assert isinstance(architecture(config.network, 2), StridedUNet)
assert sum(p.numel() for p in build(config).parameters()) == estimate(config).parameters

from branchpoint.training.loop import fit

result = fit(config, prepared, device="cpu")
metrics = result.history[-1].metrics
assert 0 < metrics["train/radius/weight"] < 2, metrics
assert metrics["train/radius/weight"] + metrics["train/image/weight"] > 1.99, metrics
assert metrics["validation/radius/pinball"] > 0, metrics

from branchpoint.config import DatasetConfig
from branchpoint.search.space.extended import search_space
from branchpoint.search.space.points import check_points, config_at

space = search_space("ph2_decay")
base = space.base(DatasetConfig(name="ph2", release="", size_voxels=(64, 64)))
points = space.starting_points(base)
check_points(space.space, base, points)
changed = config_at(space.space, base, {**points[0], "weight_decay": 0.05})
assert changed.optimizer.weight_decay == 0.05
assert space.published(base)["lesion only"]["weight_decay"] == base.optimizer.weight_decay

# Found by the name in the Config alone, in this process and in every worker: nothing was registered by hand.
print("used", type(result.network).__name__)
"""


def blocks(page: str, language: str) -> list[str]:
    text = (GUIDES / f"{page}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def install(folder: Path, entry_points: str) -> None:
    """Lay the package out as an installer does: its modules, and what it says of itself."""
    package, about = folder / "branchpoint_extras", folder / "branchpoint_extras-1.0.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").touch()
    for page in PAGES:
        code = blocks(page, "python")[0]
        name = re.match(r"# branchpoint_extras/(\w+\.py)\n", code)
        assert name, f"{page} does not say which file its module is"
        (package / name[1]).write_text(code)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: branchpoint-extras\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)


def documented_entry_points() -> str:
    """The TOML of the pages in the form that installers write."""
    toml = "\n".join(blocks(page, "toml")[0] for page in PAGES)
    return re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", toml).replace('"', "")


def run(folder: Path, script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), str(ROOT / "platform"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


@pytest.fixture
def dots(tmp_path: Path) -> Path:
    """Twelve pictures of a dot each, and the table of their radii."""
    root = tmp_path / "dots"
    root.mkdir()
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    lines = ["id,radius"]
    for number in range(12):
        radius = random.uniform(3, 12)
        dot = (rows - 16) ** 2 + (columns - 16) ** 2 < radius**2
        noise = random.integers(0, 50, (32, 32))
        Image.fromarray((dot * 200 + noise).astype(np.uint8)).save(root / f"D{number:02d}.png")
        lines.append(f"D{number:02d},{radius:.3f}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def test_a_package_made_of_the_guides_adds_all_five(tmp_path: Path, dots: Path) -> None:
    install(tmp_path / "site", documented_entry_points())
    done = run(tmp_path / "site", USE, dots, tmp_path / "cache")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "used Network" in done.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dots = branchpoint_extras.dots:MISSING", "has no attribute 'MISSING'"),
        ("dots = branchpoint_extras.absent:READER", "No module named 'branchpoint_extras.absent'"),
        ("dots = branchpoint_extras.dots:read", "must be a branchpoint.datasets.reader.Reader"),
    ],
)
def test_a_broken_package_is_named(tmp_path: Path, line: str, said: str) -> None:
    install(tmp_path / "site", f"[branchpoint.datasets]\n{line}\n")
    script = """
from branchpoint.config import DatasetConfig
from branchpoint.datasets.readers.registry import reader_of
assert reader_of(DatasetConfig(name="busi"))  # a package that is not used does no harm
reader_of(DatasetConfig(name="dots"))
"""
    done = run(tmp_path / "site", script)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: entry point 'dots' of 'branchpoint.datasets'"), done.stderr[-2000:]
    assert "branchpoint-extras" in last
    assert said in last


def test_an_unknown_search_space_is_refused() -> None:
    from branchpoint.search.space.extended import search_space

    with pytest.raises(ValueError, match="search space is 'nothing'"):
        search_space("nothing")
