"""Guards of the house: no package at the source root, imports point one way, the core needs neither Ray nor Optuna."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "platform" / "branchpoint"

# A room may import the rooms before it, and its own.
ORDER = (
    "io",
    "topology",
    "config",
    "store",
    "phantoms",
    "datasets",
    "balancing",
    "tasks",
    "networks",
    "training",
    "evaluation",
    "affinity",
    "deploy",
    "execution",
    "on_ray",
    "published",
    "search",
    "report",
    "commands",
)
LEVEL_OF = {room: level for level, room in enumerate(ORDER)}
CORE = {"io", "topology", "config", "datasets", "balancing", "tasks", "networks", "training", "deploy"}


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


def test_every_room_has_a_level() -> None:
    assert {room_of(path) for path in sources()} <= set(LEVEL_OF)


def test_imports_point_one_way() -> None:
    wrong = []
    for path in sources():
        for module in imported_modules(path):
            parts = module.split(".")
            if parts[0] != "branchpoint" or len(parts) < 2 or parts[1] not in LEVEL_OF:
                continue
            upwards = LEVEL_OF[parts[1]] > LEVEL_OF[room_of(path)]
            store_reaches_out = room_of(path) == "store" and parts[1] not in {"store", "config"}
            if upwards or store_reaches_out:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_core_sources_name_neither_ray_nor_optuna() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources()
        if room_of(path) in CORE
        for module in imported_modules(path)
        if module.split(".")[0] in {"ray", "optuna"}
    ]
    assert not wrong, "\n".join(wrong)


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
                  "nibabel", "PIL", "numba", "pydicom", "highdicom", "safetensors"}}
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
