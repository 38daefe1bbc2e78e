"""What is built, installed and uninstalled: sdist, wheel, editable; and what a damaged installation does not do.

The builds need setuptools from the package index, once; installs are of this package alone and borrow the rest from the
environment that runs the tests.
"""

import ast
import base64
import configparser
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PTH = "lithops_shm.pth"
PACKAGES = ("lithops_shm", "seer_integration")
FIND = "import importlib; print(importlib.import_module('lithops.storage.backends.shm').__file__)"
MATRIX = ("3.10", "3.11", "3.12", "3.13")

# The interpreters under test start as a user's would: no path and no option of the one that runs the tests.
ENVIRON = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def run(*command: "str | Path", cwd: "Path | None" = None) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, env=ENVIRON, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def pip(python: Path, *arguments: "str | Path") -> str:
    """pip of this environment, working on another."""
    options = ["--python", python, "--quiet", "--disable-pip-version-check", "--no-input"]
    return run(sys.executable, "-m", "pip", *options, *arguments)


def environment(path: Path) -> Path:
    """A virtual environment without anything; its interpreter."""
    venv.create(path, with_pip=False)
    return path / "bin" / "python"


def site_of(python: Path) -> Path:
    """Where the environment of that interpreter, made by :func:`environment`, keeps its packages."""
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    # Asked without `site` (-S) it names the directory of the interpreter below the environment: never write there.
    assert site.is_relative_to(python.parent.parent), f"{site} is not of the environment of {python}"
    return site


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with what pyproject.toml says is needed to build."""
    if sys.version_info >= (3, 11):
        import tomllib

        requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    else:
        requires = ["setuptools>=77"]
    python = environment(tmp_path_factory.mktemp("builder") / "venv")
    pip(python, "install", *requires)
    return python


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that building leaves nothing in the checkout; with remains of an older build."""
    target = tmp_path_factory.mktemp("sources") / "checkout"
    target.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "build_backend.py", PTH, "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    stale = target / "build" / "lib" / "lithops_shm"
    stale.mkdir(parents=True)
    (stale / "removed.py").write_text("")
    return target


@pytest.fixture(scope="module")
def sdist(builder: Path, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sdist")
    code = "import sys; sys.path.insert(0, '.'); import build_backend; build_backend.build_sdist(sys.argv[1])"
    run(builder, "-c", code, target, cwd=sources)
    return next(target.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheels(builder: Path, sources: Path, sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel built from the sources, and the one built from the sdist."""
    found = {}
    for name, origin in (("sources", sources), ("sdist", sdist)):
        target = tmp_path_factory.mktemp(f"wheel-{name}")
        pip(builder, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, origin)
        found[name] = next(target.glob("*.whl"))
    return found


@pytest.fixture
def borrowed(tmp_path: Path) -> Path:
    """An environment that has the dependencies of the one running the tests, and not what this package put there."""
    python = environment(tmp_path / "venv")
    dependencies = tmp_path / "dependencies"
    dependencies.mkdir()
    for place in {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}:
        for path in place.iterdir():
            if not path.name.startswith((*PACKAGES, "__editable__")):
                (dependencies / path.name).symlink_to(path)
    # A path in a .pth file is not searched for further .pth files.
    (site_of(python) / "zz-borrowed.pth").write_text(f"{dependencies}\n")
    return python


def test_the_sdist_has_what_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"setup.cfg", "pyproject.toml", "build_backend.py", PTH, "README.md", "LICENSE", "lithops_shm/py.typed"}
    assert wanted <= names


@pytest.mark.parametrize("origin", ["sources", "sdist"])
def test_the_wheel_is_the_packages_and_the_hook(wheels: dict[str, Path], origin: str) -> None:
    with zipfile.ZipFile(wheels[origin]) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
        modes = {entry.external_attr >> 16 & 0o777 for entry in wheel.infolist() if not entry.is_dir()}
        dates = {entry.date_time for entry in wheel.infolist() if entry.filename.endswith((PTH, "RECORD"))}
    expected = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert sorted(names) == sorted({*expected, "lithops_shm/py.typed", PTH})
    assert all(mode & 0o444 == 0o444 for mode in modes), "somebody may not read what root installs"
    assert len(dates) == 1


@pytest.mark.parametrize("origin", ["sources", "sdist"])
def test_the_record_is_right_for_every_file(wheels: dict[str, Path], origin: str) -> None:
    with zipfile.ZipFile(wheels[origin]) as wheel:
        record = next(name for name in wheel.namelist() if name.endswith(".dist-info/RECORD"))
        rows = [line.rsplit(",", 2) for line in wheel.read(record).decode().splitlines()]
        assert sorted(row[0] for row in rows) == sorted(wheel.namelist())
        assert len({row[0] for row in rows}) == len(rows)
        for name, digest, size in rows:
            if name != record:
                data = wheel.read(name)
                actual = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                assert (digest, size) == (f"sha256={actual}", str(len(data))), name


def test_the_metadata_is_that_of_setup_cfg(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["sdist"]) as wheel:
        read = {
            name.rpartition("/")[2]: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name
        }
    metadata = HeaderParser().parsestr(read["METADATA"])
    assert metadata["Name"] == "lithops-shm"
    assert metadata["Requires-Python"] == ">=3.10"
    literal = next(
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / "lithops_shm" / "__init__.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    )
    assert metadata["Version"] == literal
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = {_normal(line) for line in setup["options"]["install_requires"].split("\n") if line}
    given = {_normal(line) for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert given == wanted
    # Without this floor pip takes an s3fs of 2020, which is older than any boto3 it could be used with.
    assert _normal("s3fs>=2025.12") in given
    assert "lithops-shm = lithops_shm.cli:main" in read["entry_points.txt"]
    assert "Root-Is-Purelib: true" in read["WHEEL"], "the hook has to land where .pth files are read"


def _normal(requirement: str) -> "tuple[str, frozenset[str]]":
    """A requirement's name and bounds, in whatever order they are written."""
    start = min((requirement.find(sign) for sign in "<>=!~" if sign in requirement), default=len(requirement))
    return requirement[:start].strip(), frozenset(part.strip() for part in requirement[start:].split(",") if part)


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_install_find_and_uninstall(
    borrowed: Path, builder: Path, sources: Path, wheels: dict[str, Path], kind: str
) -> None:
    site = site_of(borrowed)
    before = set(site.iterdir())
    at_start = modules(borrowed, site)
    if kind == "wheel":
        pip(borrowed, "install", "--no-deps", wheels["sdist"])
    else:
        # Without isolation pip builds with what the target environment has: lend it the builder's, ahead of the rest.
        (site / "aa-builder.pth").write_text(f"{site_of(builder)}\n")
        pip(borrowed, "install", "--no-deps", "--no-build-isolation", "--editable", sources)
        (site / "aa-builder.pth").unlink()
    assert (site / PTH).read_bytes() == (ROOT / PTH).read_bytes()

    found = Path(run(borrowed, "-c", FIND, cwd=site))
    assert found == (sources if kind == "editable" else site) / "lithops_shm" / "plugin" / "storage" / "__init__.py"
    added = modules(borrowed, site) - at_start
    # An editable install has a finder of setuptools' besides.
    assert kind == "editable" or not added, "every interpreter of the environment pays for each of them"
    assert not [name for name in added if name.startswith("lithops")]
    assert run(borrowed.parent / "lithops-shm", "--version").endswith(_version(wheels["sdist"]))

    pip(borrowed, "uninstall", "--yes", "lithops-shm")
    assert set(site.iterdir()) - before <= {site / "__pycache__"}
    refused = subprocess.run([borrowed, "-c", FIND], env=ENVIRON, cwd=site, capture_output=True, text=True, check=False)
    assert "No module named 'lithops.storage.backends.shm'" in refused.stderr


def modules(python: Path, place: Path) -> set[str]:
    """What an interpreter has loaded when its first line runs."""
    return set(run(python, "-c", "import sys; print(*sys.modules)", cwd=place).split())


def _version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


BROKEN = {
    "gone": None,
    "moved away, but for a directory": {},
    "without its hook": {"__init__.py": "", "plugin/__init__.py": ""},
    "half written": {"__init__.py": "def"},
    "not to be decoded": {"__init__.py": "\udcff"},
    "raising": {"__init__.py": "raise RuntimeError('on import')"},
    "of another release": {"__init__.py": "", "plugin/__init__.py": "", "plugin/hook.py": "x = 1"},
}


@pytest.mark.parametrize("files", BROKEN.values(), ids=BROKEN)
def test_a_broken_package_does_not_disturb_an_interpreter(tmp_path: Path, files: "dict[str, str] | None") -> None:
    python = environment(tmp_path / "venv")
    site = site_of(python)
    shutil.copy(ROOT / PTH, site)
    if files is not None:
        (site / "lithops_shm").mkdir()
    for name, text in (files or {}).items():
        (site / "lithops_shm" / name).parent.mkdir(exist_ok=True)
        (site / "lithops_shm" / name).write_bytes(text.encode(errors="surrogateescape"))
    (site / "lithops").mkdir()
    (site / "lithops" / "constants.py").touch()
    command = [python, "-W", "error", "-c", "import lithops.constants; print('fine')"]
    done = subprocess.run(command, env=ENVIRON, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def interpreter(version: str) -> Path:
    """Another interpreter of this machine; skips the test where there is none."""
    # Stand-ins such as pyenv's are on PATH for interpreters that are not chosen: ask, rather than look.
    command = [f"python{version}", "-c", "import sys; print(sys.executable)"]
    environ = {**ENVIRON, "PYENV_VERSION": version}
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no Python {version} here")
    return Path(done.stdout.strip())


@pytest.mark.parametrize("version", MATRIX)
def test_the_hook_and_the_store_load_on_every_supported_python(
    wheels: dict[str, Path], tmp_path: Path, version: str
) -> None:
    """The part that needs the standard library alone, from the wheel; and that all else is valid syntax there."""
    python = interpreter(version)
    with zipfile.ZipFile(wheels["sdist"]) as wheel:
        wheel.extractall(tmp_path)
    code = f"""
import pathlib, sys
sys.path.insert(0, {str(tmp_path)!r})
import lithops_shm.plugin.hook as hook
hook.install()
import lithops_shm.store, lithops_shm.codec, lithops_shm.host, lithops_shm.refs, lithops_shm.errors, seer_integration
assert lithops_shm.put is lithops_shm.refs.put
for place in ({str(tmp_path)!r}, {str(ROOT / "tests")!r}):
    for path in pathlib.Path(place).rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
print("fine")
"""
    # Bytecode would go to the wheel's own place; and whatever that interpreter has installed is left out.
    assert run(python, "-I", "-S", "-B", "-W", "error", "-c", code) == "fine"
