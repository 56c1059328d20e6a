"""Guards of the house: no package at the source root, imports point one way, the core needs neither Ray nor Optuna."""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "platform" / "branchpoint"

CORE = {"values", "io", "topology", "config", "datasets", "balancing", "tasks", "networks", "training", "deploy"}
SOLE_IMPORTERS = {"ray": "on_ray", "optuna": "search"}


def architecture() -> dict[str, set[str]]:
    """Room to the rooms that it may import, from the table in ARCHITECTURE.md; rooms are listed bottom up."""
    rooms: dict[str, set[str]] = {}
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", (ROOT / "ARCHITECTURE.md").read_text(), flags=re.MULTILINE)
    for room, cell in rows:
        named = {"nothing": set(), "every room above": set(rooms)}.get(cell.strip())
        rooms[room] = {name.strip() for name in cell.split(",")} if named is None else named
    return rooms


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return modules


def sources() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE]


def test_source_root_is_not_a_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists(), "it would shadow the standard library's platform"


def imports_between_rooms() -> list[tuple[Path, str]]:
    """(file, room) for each room that a file of another room imports."""
    found = set()
    for path in sources():
        parts = [module.split(".") for module in imported_modules(path)]
        rooms = {names[1] for names in parts if names[0] == "branchpoint" and len(names) > 1}
        found |= {(path, room) for room in rooms & set(architecture()) if room != room_of(path)}
    return sorted(found)


def test_architecture_lists_every_room_bottom_up() -> None:
    rooms = architecture()
    assert {room_of(path) for path in sources()} <= set(rooms)
    order = {room: place for place, room in enumerate(rooms)}
    for room, allowed in rooms.items():
        assert all(order[other] < order[room] for other in allowed), f"{room} may import {allowed}"


def test_rooms_import_what_architecture_allows() -> None:
    rooms = architecture()
    imports = imports_between_rooms()
    assert len(imports) > 100, "the test sees the imports"
    wrong = [f"{path.relative_to(ROOT)} imports {room}" for path, room in imports if room not in rooms[room_of(path)]]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", SOLE_IMPORTERS)
def test_one_room_imports_the_library(library: str) -> None:
    outside = [*ROOT.glob("jobs/*.py"), *ROOT.glob("search_spaces/*.py")]
    users = {path for path in [*sources(), *outside] if library in {m.split(".")[0] for m in imported_modules(path)}}
    assert users, "the test sees the imports"
    strangers = [path for path in users if path in outside or room_of(path) != SOLE_IMPORTERS[library]]
    assert not strangers, "\n".join(str(path.relative_to(ROOT)) for path in sorted(strangers))


def test_core_imports_with_torch_and_numpy_alone() -> None:
    """As on a GPU machine where nothing else is installed: every other third-party package is made to fail."""
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sources()
        if room_of(path) in CORE and path.name != "__init__.py"
    ]
    script = textwrap.dedent(f"""
        import importlib, sys
        ABSENT = {{"ray", "optuna", "pyarrow", "duckdb", "SimpleITK", "sksurv", "scipy", "pandas", "sklearn", "rich",
                  "typer", "plotly", "monai", "skimage", "pydantic", "jinja2", "segmentation_models_pytorch", "torchjd",
                  "nibabel", "PIL", "numba", "pydicom", "highdicom", "safetensors", "filelock"}}
        class Absent:
            def find_spec(self, name, path=None, target=None):
                # torch itself probes for some of these; only our own imports are refused.
                caller = sys._getframe(1)
                while caller and caller.f_globals.get("__name__", "").startswith("importlib"):
                    caller = caller.f_back
                ours = caller and caller.f_globals.get("__name__", "").startswith("branchpoint")
                if ours and name.split(".")[0] in ABSENT:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Absent())
        for module in {modules!r}:
            importlib.import_module(module)
        assert not {{"ray", "optuna"}} & set(sys.modules)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
