"""The rules of the layers, checked on the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lithops_shm

PACKAGE = Path(lithops_shm.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room may import those below it: the number says how high it stands.
LEVELS = {
    "errors": 0,
    "sizes": 0,
    "config": 1,
    "host": 1,
    "store": 2,
    "codec": 2,
    "refs": 3,
    "plugin": 4,
    "doctor": 5,
    "cli": 6,
}
ARROW = {"pyarrow", "numpy", "pandas", "polars"}


def imports(path: Path, *, top_level: bool = False) -> list[str]:
    """The modules a file imports, by full name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_one_room_and_imports_downward(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    here = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "seer_integration":
            raise AssertionError(f"{path}: {name} is above")
        if parts[0] == "lithops_shm" and len(parts) > 1 and here in LEVELS and parts[1] in LEVELS and parts[1] != here:
            if (here, parts[1]) == ("store", "host") or LEVELS[parts[1]] < LEVELS[here]:
                continue
            raise AssertionError(f"{here} may not import {name}")
        if parts[0] == "lithops" and here not in ("plugin", "doctor"):
            raise AssertionError(f"{here} may not import {name}: only the plugin knows Lithops")


@pytest.mark.parametrize("path", sorted((PACKAGE / "store").glob("*.py")), ids=lambda path: path.name)
def test_the_store_knows_the_standard_library_alone(path: Path) -> None:
    for name in imports(path):
        top = name.partition(".")[0]
        assert top == "lithops_shm" or top in sys.stdlib_module_names, name
        assert not name.startswith("lithops_shm.codec")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_uses_another_rooms_private_names(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "lithops_shm" and any(part.startswith("_") and not part.startswith("__") for part in parts):
            raise AssertionError(f"{path}: {name}")


def loaded_by(code: str) -> set[str]:
    """The modules that running the code in a bare interpreter loads, beyond those it starts with."""
    program = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_importing_the_package_loads_nothing() -> None:
    assert loaded_by("import lithops_shm") <= {
        "lithops_shm",
        "typing",
        "collections",
        "functools",
        "re",
        "enum",
        "types",
    }


def test_the_hook_loads_sys_alone() -> None:
    assert not loaded_by("import lithops_shm.plugin.hook") & {"dataclasses", "logging", "lithops", "json", *ARROW}


def test_the_store_and_the_codec_load_no_arrow() -> None:
    assert not loaded_by("import lithops_shm.store, lithops_shm.codec") & ARROW
