"""The import hook, in wheels and editable installs, and when something is wrong with the package."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from lithops_shm.plugin import hook

ROOT = Path(__file__).parents[2]
FIND = "import importlib; print(importlib.import_module('lithops.storage.backends.shm').__file__)"


def test_the_finder_answers_for_its_names_alone() -> None:
    assert hook.BackendFinder.find_spec("json") is None
    assert hook.BackendFinder.find_spec("lithops.storage.backends.shmx") is None
    spec = hook.BackendFinder.find_spec("lithops.storage.backends.shm")
    assert spec is not None
    assert spec.submodule_search_locations is not None


def test_installing_twice_is_installing_once() -> None:
    hook.install()
    count = sys.meta_path.count(hook.BackendFinder)
    hook.install()
    assert sys.meta_path.count(hook.BackendFinder) == count == 1


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that building leaves nothing in the checkout."""
    target = tmp_path_factory.mktemp("sources") / "checkout"
    target.mkdir()
    for name in (
        "setup.cfg",
        "pyproject.toml",
        "build_backend.py",
        "lithops_shm.pth",
        "MANIFEST.in",
        "README.md",
        "LICENSE",
    ):
        shutil.copy(ROOT / name, target)
    for name in ("lithops_shm", "seer_integration"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_lithops_finds_shm_after_an_install(sources: Path, tmp_path: Path, editable: bool) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(_output(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    # The dependencies of this environment, without what this package has put in it.
    dependencies = tmp_path / "dependencies"
    dependencies.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "lithops_shm" not in path.name and path.suffix != ".pth":
            (dependencies / path.name).symlink_to(path)
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    what = ["--editable", str(sources)] if editable else [str(sources)]
    subprocess.run([*pip, "install", "--no-deps", *what], check=True, capture_output=True)
    assert (site / "lithops_shm.pth").exists()
    found = Path(_output(python, FIND))
    assert found.is_relative_to(sources if editable else site)
    assert "lithops" not in _output(python, "import sys; print(*[m for m in sys.modules if m == 'lithops'])")

    subprocess.run([*pip, "uninstall", "--yes", "lithops-shm"], check=True, capture_output=True)
    assert not (site / "lithops_shm.pth").exists()


def test_a_broken_package_does_not_disturb_the_interpreter(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(_output(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    shutil.copy(ROOT / "lithops_shm.pth", site)
    run = subprocess.run([str(python), "-c", "print('fine')"], check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("fine\n", "")


def _output(python: Path, code: str) -> str:
    return subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.strip()
