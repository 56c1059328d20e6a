"""The measurement against other stores runs, and leaves out politely what is not installed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_quick_benchmark(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "store.py"), "--quick", "--folder", str(tmp_path)]
    command += ["--skip", "MLflow SQLite"]  # ten seconds of setting up its tables
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in ("append, 40 rows", "best of 60", "best of 300", "fsync ", "MLflow SQLite: left out"):
        assert line in done.stdout
    if importlib.util.find_spec("deltalake") is None:
        assert "deltalake: left out, deltalake is not installed" in done.stdout
    assert not list(tmp_path.iterdir())
