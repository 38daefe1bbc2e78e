"""The rules of the rooms, checked on the syntax trees; and what an import costs, in fresh interpreters."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lithops_shm
import seer_integration

PACKAGE = Path(lithops_shm.__file__).parent
SEER = Path(seer_integration.__file__).parent
MODULES = sorted([*PACKAGE.rglob("*.py"), *SEER.rglob("*.py")])

# A room may import those below it: the number says how high it stands. Rooms of one height do not know each other,
# but for what BESIDE allows.
LEVELS = {
    "errors": 0,
    "forks": 0,
    "sizes": 0,
    "config": 1,
    "host": 1,
    "store": 2,
    "codec": 2,
    "refs": 3,
    "workers": 3,
    "shuffle": 3,
    "selector": 3,
    "plugin": 4,
    "placement": 4,
    "executor": 5,
    "doctor": 5,
    "calibrate": 6,
    "bench": 7,
    "cli": 8,
    "__main__": 9,
    "__init__": 9,  # resolves the public names on first use, and so knows the rooms that define them
    "seer_integration": 10,
}
# The same for the rooms of seer_integration among themselves.
SEER_LEVELS = {
    "errors": 0,
    "operations": 1,
    "expressions": 2,
    "kernels": 3,
    "datasets": 3,
    "skipping": 4,
    "dag": 4,
    "planner": 5,
    "runner": 6,
    "environment": 6,
    "cached": 7,
    "job": 8,
    "pipeline": 9,
    "jobfile": 9,
    "cli": 10,
    "__main__": 11,
    "__init__": 11,
}
BESIDE = {
    ("doctor", "__init__"),  # it reports the version, through the package itself
}
# The plugin is backends of Lithops; placement reads its configuration and asks its storages for sizes, the doctor where
# its configuration is; calibrating and benchmarks run jobs.
KNOW_LITHOPS = {"plugin", "placement", "executor", "doctor", "calibrate", "bench"}
# The codec turns their objects into buffers, the shuffle cuts and joins them, the executor's tasks carry them from the
# user's functions to it; the doctor asks for their versions; calibrating and benchmarks measure with them.
KNOW_ARROW = {"codec", "doctor", "shuffle", "executor", "calibrate", "bench", "seer_integration"}
ARROW = {"pyarrow", "numpy", "pandas", "polars"}
# These use the standard library alone: every program on the machine may load them.
ALONE = {"store", "host", "errors", "forks", "sizes", "config", "selector"}
LONGEST = 399


def shown(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def room(path: Path) -> str:
    if path.is_relative_to(SEER):
        return "seer_integration"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """The modules a file imports, wherever in it and for whatever purpose, by full name; `a.b` for a.b or b of a."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}:{node.lineno}: a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def target_room(name: str) -> str | None:
    """The room of ours a full name leads to, ``None`` for somebody else's module."""
    parts = name.split(".")
    if parts[0] == "seer_integration":
        return "seer_integration"
    if parts[0] != "lithops_shm":
        return None
    if parts[1:] == ["__version__"]:  # of the distribution, and no room's
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LEVELS else "__init__"


def broken_rules(path: Path, name: str) -> list[str]:
    """What is wrong with the file at `path` importing `name`, in words."""
    here, there, top = room(path), target_room(name), name.partition(".")[0]
    wrong = []
    if there is not None and there != here and LEVELS[there] >= LEVELS[here] and (here, there) not in BESIDE:
        wrong.append(f"{here} may not import {name}: {there} is not below it")
    if there is not None and there != here and any(_private(part) for part in name.split(".")):
        wrong.append(f"{here} may not import {name}: it is private to {there}")
    if top == "lithops" and here not in KNOW_LITHOPS:
        wrong.append(f"{here} may not import {name}: only {', '.join(sorted(KNOW_LITHOPS))} know Lithops")
    if top in ARROW and here not in KNOW_ARROW:
        wrong.append(f"{here} may not import {name}: only {', '.join(sorted(KNOW_ARROW))} know Arrow")
    if here in ALONE and top not in {"lithops_shm", *sys.stdlib_module_names}:
        wrong.append(f"{here} may not import {name}: it has the standard library alone")
    return wrong


def _private(part: str) -> bool:
    return part.startswith("_") and not part.startswith("__")


@pytest.mark.parametrize("path", sorted(SEER.rglob("*.py")), ids=shown)
def test_the_rooms_of_jobs_are_in_order(path: Path) -> None:
    here = path.relative_to(SEER).parts[0].removesuffix(".py")
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "seer_integration":
            continue
        there = parts[1] if parts[1] in SEER_LEVELS else "__init__"
        assert there == here or SEER_LEVELS[there] < SEER_LEVELS[here], f"{here} may not import {name}"
        assert there == here or not any(_private(part) for part in parts), f"{here} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_keeps_the_rules(path: Path) -> None:
    assert room(path) in LEVELS, f"{shown(path)} is in a room whose place is not known; give it one in LEVELS"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
    assert [wrong for name in imports(path) for wrong in broken_rules(path, name)] == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("errors.py", "lithops_shm.store.Store"),
        ("store/store.py", "lithops_shm.codec.encode"),
        ("store/store.py", "lithops_shm.refs"),
        ("store/store.py", "numpy"),
        ("codec/codec.py", "lithops_shm.store.segment._MAGIC"),
        ("refs.py", "lithops_shm.store._private.name"),
        ("refs.py", "lithops.Storage"),
        ("cli/main.py", "pandas"),
        ("store/store.py", "lithops_shm.put"),
        ("cli/main.py", "seer_integration.job"),
    ],
)
def test_the_rules_forbid(path: str, name: str) -> None:
    """The check itself: each of these breaks a rule."""
    assert broken_rules(PACKAGE / path, name)


def test_the_rules_allow_what_is_below() -> None:
    assert not broken_rules(PACKAGE / "refs.py", "lithops_shm.codec.encode")
    assert not broken_rules(PACKAGE / "store/store.py", "lithops_shm.store.keys._encoded")
    assert not broken_rules(PACKAGE / "plugin/storage/backend.py", "lithops.storage.utils.StorageNoSuchKeyError")


def loaded_by(code: str) -> set[str]:
    """The modules that running the code adds, by top-level name.

    Without `site`, which would run our own .pth file, and those of others, before the counting starts.
    """
    program = f"""
import sys
sys.path[:] = [path for path in sys.path if path]
sys.path.append({str(PACKAGE.parent)!r})
before = set(sys.modules)
{code}
print(*set(sys.modules) - before)
"""
    run = subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


# What `typing` brings, and the package still loads.
TYPING = loaded_by("import typing, __future__")


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded_by("import lithops_shm") - TYPING == {"lithops_shm"}


def test_the_line_in_the_pth_file_loads_nothing() -> None:
    """Every interpreter of the environment runs this at its start, and then imports what it likes."""
    line = (PACKAGE.parent / "lithops_shm.pth").read_text(encoding="utf-8")
    assert loaded_by(f"{line}import json") <= loaded_by("import json")


def test_the_hook_loads_nothing_else() -> None:
    """Every interpreter that imports a module of Lithops runs this."""
    code = "import lithops_shm.plugin.hook as hook; hook.install(); hook.BackendFinder.find_spec('json')"
    assert loaded_by(code) - TYPING == {"lithops_shm", "importlib"}


def test_the_hook_itself_imports_sys_alone() -> None:
    tree = ast.parse((PACKAGE / "plugin" / "hook.py").read_text(encoding="utf-8"))
    names = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    assert names == ["sys"]
    assert not [node for node in tree.body if isinstance(node, ast.ImportFrom)]


def test_the_store_and_the_codec_load_no_arrow() -> None:
    assert loaded_by("import lithops_shm.store, lithops_shm.codec") & {*ARROW, "lithops", "boto3"} == set()


def test_a_vacuous_check_would_be_noticed() -> None:
    assert "json" in loaded_by("import json")
