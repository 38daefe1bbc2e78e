"""The import hook: what it answers for, in whatever place Lithops is, and with which Lithops."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import lithops
import pytest

import lithops_shm
from lithops_shm.errors import UnsupportedError
from lithops_shm.plugin import hook
from lithops_shm.plugin.versions import check_lithops

NAMES = sorted(hook.BACKENDS)


@pytest.mark.parametrize(
    "name",
    ["json", "lithops", "lithops.storage", "lithops.storage.backends", "lithops.storage.backends.shmx", "shm", ""],
)
def test_the_finder_answers_for_no_other_name(name: str) -> None:
    assert hook.BackendFinder.find_spec(name) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_finder_answers_for_what_exists(name: str) -> None:
    spec = hook.BackendFinder.find_spec(name)
    assert spec is not None
    assert spec.name == name
    assert spec.origin is not None
    assert Path(spec.origin).is_file()
    assert spec.submodule_search_locations == [str(Path(spec.origin).parent)]


@pytest.mark.parametrize("name", NAMES)
def test_lithops_name_leads_to_our_package_and_its_modules(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__name__ == name
    assert Path(str(module.__file__)).is_relative_to(Path(lithops_shm.__file__).parent)
    assert importlib.import_module(f"{name}.config").__name__ == f"{name}.config"
    with pytest.raises(ModuleNotFoundError, match="nothing"):
        importlib.import_module(f"{name}.nothing")


def test_installing_twice_is_installing_once() -> None:
    hook.install()
    count = sys.meta_path.count(hook.BackendFinder)
    hook.install()
    assert sys.meta_path.count(hook.BackendFinder) == count == 1
    assert hook.is_installed()


@pytest.fixture
def copied_lithops(tmp_path: Path) -> Path:
    """A copy of Lithops in a place of its own, as workers on localhost import it."""
    place = tmp_path / "lithops-root"
    ignore = shutil.ignore_patterns("__pycache__", "tests")
    shutil.copytree(Path(lithops.__file__).parent, place / "lithops", ignore=ignore)
    return place


def run_with(place: Path, code: str) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "PYTHONPATH": str(place)}
    return subprocess.run([sys.executable, "-c", code], env=environ, cwd=place, capture_output=True, text=True)


FILES = f"import lithops, importlib; print(*[importlib.import_module(name).__file__ for name in ['lithops', *{NAMES}]])"


def test_a_copy_of_lithops_finds_it_too(copied_lithops: Path) -> None:
    run = run_with(copied_lithops, FILES)
    assert run.returncode == 0, run.stderr
    theirs, *ours = map(Path, run.stdout.split())
    assert theirs.is_relative_to(copied_lithops)
    place = Path(lithops_shm.__file__).parent / "plugin"
    assert ours == [place / hook.BACKENDS[name] / "__init__.py" for name in NAMES]


def test_a_backend_of_that_name_in_lithops_itself_comes_first(copied_lithops: Path) -> None:
    """Should Lithops get one some day, it is not hidden."""
    packages = [copied_lithops.joinpath(*name.split(".")) for name in NAMES]
    for package in packages:
        package.mkdir()
        (package / "__init__.py").write_text("")
    run = run_with(copied_lithops, FILES)
    assert [*map(Path, run.stdout.split())][1:] == [package / "__init__.py" for package in packages], run.stderr


def test_lithops_knows_the_compute_backend(copied_lithops: Path) -> None:
    """Of its copies too, and whether the hook or Lithops is there first; of the source, the loader tells as ever."""
    code = """
import inspect, sys
from lithops import constants
from lithops_shm.plugin import hook
sys.meta_path.remove(hook.BackendFinder)
constants.SERVERLESS_BACKENDS = tuple(name for name in constants.SERVERLESS_BACKENDS if name != "shm")
hook.install()
print(constants.SERVERLESS_BACKENDS.count("shm"), "SERVERLESS_BACKENDS" in inspect.getsource(constants))
"""
    assert "shm" in lithops.constants.SERVERLESS_BACKENDS
    assert run_with(copied_lithops, code).stdout == "1 True\n"


def test_another_lithops_is_refused_by_version(copied_lithops: Path) -> None:
    (copied_lithops / "lithops" / "version.py").write_text("__version__ = '4.0.0'\n")
    run = run_with(copied_lithops, "import lithops.storage.backends.shm")
    assert run.returncode != 0
    last = run.stderr.strip().splitlines()[-1]
    assert "UnsupportedError" in last
    assert "4.0.0" in last
    assert "lithops>=3.8,<4" in last


@pytest.mark.parametrize("version", [None, "3.8.0", "3.8", "3.8.1.dev0", "3.10.2", "3.99"])
def test_versions_that_work(version: "str | None") -> None:
    check_lithops(version)


@pytest.mark.parametrize("version", ["3.7.9", "2.9.0", "4.0.0", "4.0.0rc1", "4.0", "10.1", "unknown"])
def test_versions_that_do_not_are_named(version: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        check_lithops(version)
    assert version in str(caught.value)
    assert "3.8" in str(caught.value)


def test_the_start_of_an_interpreter_imports_no_lithops() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], check=True, capture_output=True, text=True
    )
    assert not {"lithops", "lithops_shm", "numpy", "pyarrow"} & set(run.stdout.split())


def test_the_first_module_of_lithops_that_is_asked_for_may_be_any() -> None:
    for name in ("lithops", hook.CONSTANTS, *NAMES):
        code = f"import sys, {name}, lithops.constants as c; print('lithops_shm.plugin.hook' in sys.modules)"
        code += "; print(c.SERVERLESS_BACKENDS.count('shm'))"
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert run.stdout.split() == ["True", "1"], name
