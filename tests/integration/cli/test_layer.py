"""The layer for AWS Lambda: what goes in and what does not, for which platform, and how it gets there.

pip finds packages of the right names and no content in a directory, and asks no index.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from lambdaserver import REGION, USER_ID, LambdaServer
from lithops.serverless.backends.aws_lambda.config import DEFAULT_REQUIREMENTS
from s3servers import ACCESS_KEY, SECRET_KEY, Server, new_bucket, s3_client

from lithops_shm.cli import layer
from lithops_shm.errors import ConfigError, UnsupportedError

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHER = next(python for python in layer.GLIBC if python != HERE)
ANY = "py3-none-any"
FILES = {
    "pyarrow/__init__.py": "version = 1\n",
    "pyarrow/tests/test_it.py": "",
    "pyarrow/include/arrow/api.h": "",
    "pyarrow/lib.pyx": "",
    "pyarrow/libarrow.so.2600": "library",
    "pyarrow/libarrow_flight.so.2600": "library",
    "pyarrow/libarrow_python.so": "library",
    "pyarrow/libarrow_python.so.2600": "library",
    "pyarrow/libarrow_python.so.2600.1.0": "library",
}


class Wheels:
    """A directory of wheels, of packages without content unless it is given."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        for name in layer.REQUIREMENTS:
            self.add(name, metadata.version(name))

    def add(
        self, name: str, version: str, tag: str = ANY, files: dict[str, str] | None = None, *, older: bool = False
    ) -> None:
        """In place of what there is of that name, or, if it is an `older` one, beside it."""
        name = name.replace("-", "_")
        for path in () if older else self.directory.glob(f"{name}-*"):
            path.unlink()
        info = f"{name}-{version}.dist-info"
        contents = {
            **({f"{name}/__init__.py": "value = 1\n"} if files is None else files),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        record = "".join(f"{path},,\n" for path in contents) + f"{info}/RECORD,,\n"
        with zipfile.ZipFile(self.directory / f"{name}-{version}-{tag}.whl", "w") as archive:
            for path, text in {**contents, f"{info}/RECORD": record}.items():
                archive.writestr(path, text)


@pytest.fixture(scope="module")
def offline() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        yield patch


@pytest.fixture
def wheels(tmp_path: Path, offline: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> Wheels:
    found = Wheels(tmp_path / "wheels")
    monkeypatch.setenv("PIP_FIND_LINKS", str(found.directory))
    monkeypatch.chdir(tmp_path)
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, offline: pytest.MonkeyPatch) -> Path:
    """A layer for this Python, and beside it what the command printed."""
    directory = tmp_path_factory.mktemp("layer")
    found = Wheels(directory / "wheels")
    found.add("pyarrow", metadata.version("pyarrow"), files=FILES)
    offline.setenv("PIP_FIND_LINKS", str(found.directory))
    output = directory / "layer.zip"
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context((directory / "out").open("w"))))
        stack.enter_context(contextlib.redirect_stderr(stack.enter_context((directory / "err").open("w"))))
        assert build(output=str(output)) == 0
    return output


def build(**options: Any) -> int:
    """The command, as its parser would call it."""
    defaults = {
        "output": "layer.zip",
        "python": None,
        "architecture": "x86_64",
        "platform": [],
        "add": [],
        "unpinned": False,
        "publish": False,
        "json": False,
        "config": None,
    }
    return layer.run(argparse.Namespace(**{**defaults, **options}))


def names(path: Path | str = "layer.zip") -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_it_holds_the_package_and_what_a_shuffle_needs(built: Path) -> None:
    found = names(built)
    assert {f"python/{name}" for _, name in layer.own_files()} <= found
    assert {"python/lithops_shm.pth", "python/lithops_shm/refs.py", "python/numpy/__init__.py"} <= found
    assert f"python/lithops_shm/__pycache__/refs.cpython-{HERE.replace('.', '')}.pyc" in found
    assert not list(built.parent.glob("*.partial"))


def test_what_functions_do_not_need_is_left_out(built: Path) -> None:
    of_arrow = {name for name in names(built) if name.startswith("python/pyarrow/") and not name.endswith(".pyc")}
    kept = ("__init__.py", "libarrow.so.2600", "libarrow_python.so.2600")
    assert of_arrow == {f"python/pyarrow/{name}" for name in kept}


def test_what_is_done_and_how_large_it_is_are_said(built: Path) -> None:
    assert "installing" in (built.parent / "err").read_text()
    printed = (built.parent / "out").read_text()
    assert "of at most" in printed
    assert str(built) in printed


def test_bytecode_holds_after_unzipping(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'python')!r}); sys.dont_write_bytecode = True\n"
        "import lithops_shm\n"
        "print(open(lithops_shm.__cached__, 'rb').read()[4])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n", "PEP 552: by hash, and not to be checked"


def test_the_same_packages_give_the_same_bytes(tmp_path: Path) -> None:
    site = tmp_path / "python"
    (site / "package").mkdir(parents=True)
    written = []
    for time in (1_000_000_000, 1_700_000_000):
        for name in ("b.py", "a.py") if written else ("a.py", "b.py"):
            (site / "package" / name).write_text(name)
            os.utime(site / "package" / name, (time, time))
        layer._zip(site, tmp_path / "layer.zip")
        written.append((tmp_path / "layer.zip").read_bytes())
    assert written[0] == written[1]


def test_functions_get_the_versions_whose_pickles_travel_or_the_newest_that_fit(wheels: Wheels) -> None:
    here = metadata.version("pyarrow")
    wheels.add("pyarrow", here, "py3-none-manylinux_2_28_x86_64")
    with pytest.raises(UnsupportedError, match=rf"pyarrow=={here}.*newer Linux.*--unpinned"):
        build(python="3.11")
    wheels.add("pyarrow", "1.0", "py3-none-manylinux2014_x86_64", older=True)
    wheels.add("of-the-user", "2.0")
    assert build(python="3.11", unpinned=True, add=["of-the-user>=1"]) == 0
    assert {"python/pyarrow-1.0.dist-info/METADATA", "python/of_the_user/__init__.py"} <= names()


def test_wheels_are_those_of_the_linux_that_functions_run_on() -> None:
    older, newer = (layer._platforms(python, "x86_64") for python in ("3.11", "3.12"))
    assert "manylinux_2_28_x86_64" in newer
    assert "manylinux_2_28_x86_64" not in older
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64"} <= {*older} <= {*newer}
    assert "manylinux_2_28_aarch64" in layer._platforms("3.13", "arm64")


def test_a_layer_that_lithops_cannot_deploy_comes_with_a_dockerfile(
    wheels: Wheels, capsys: pytest.CaptureFixture[str]
) -> None:
    build(python=OTHER, architecture="arm64", output="arm.zip", json=True)
    found = json.loads(capsys.readouterr().out)
    text = Path("Dockerfile").read_text(encoding="utf-8")
    assert f"lambda/python:{OTHER}-arm64" in text
    assert "COPY arm.zip lithops_lambda.zip" in text
    assert found["dockerfile"] == "Dockerfile"
    with zipfile.ZipFile("arm.zip") as archive:
        total = sum(entry.file_size for entry in archive.infolist())
    assert found["unzipped_bytes"] == sum(found["packages"].values()) == total
    assert found["zip_bytes"] == Path("arm.zip").stat().st_size
    assert not [name for name in names("arm.zip") if name.endswith(".pyc")], "bytecode is for one Python"
    with pytest.raises(UnsupportedError, match="x86_64 only"):
        build(architecture="arm64", publish=True)


def test_what_is_too_large_is_refused() -> None:
    sizes = {"pandas": 3 << 20, "numpy": 1 << 20}
    layer._require_room(sizes, 4 << 20)
    with pytest.raises(UnsupportedError, match=r"4.0 MiB unzipped.*pandas 3.0 MiB.*container image"):
        layer._require_room(sizes, (4 << 20) - 1)


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"Python 3.9: .*3.10"):
        build(python="3.9")
    config = tmp_path / "config"
    config.write_text("aws: {region: us-east-1}")
    with pytest.raises(ConfigError, match="storage_bucket"):
        build(publish=True, config=str(config))


def test_all_that_lithops_puts_into_its_own_layer_is_there() -> None:
    theirs = {line.partition("<")[0] for line in DEFAULT_REQUIREMENTS} - {"urllib3"}  # requests brings it
    assert theirs <= set(layer.REQUIREMENTS)


@pytest.mark.parametrize(
    ("path", "is_needed"),
    [
        ("pandas/core/frame.py", True),
        ("pandas/tests/test_frame.py", False),
        ("numpy/_core/include/numpy/ndarrayobject.h", False),
        ("numpy/testing/__init__.py", True),
        ("numpy.libs/libscipy_openblas64_-1.so", True),
        ("pyarrow/_flight.cpython-311-x86_64-linux-gnu.so", False),
        ("pyarrow/_dataset.cpython-311-x86_64-linux-gnu.so", True),
        ("pyarrow/libparquet.so.2600", True),
        ("bin/f2py", False),
        ("sbin/bin/of_the_user.py", True),
    ],
)
def test_what_is_needed(path: str, is_needed: bool) -> None:
    assert layer.needed(path) is is_needed


def test_it_is_published_where_lithops_looks_for_it(
    built: Path,
    tmp_path: Path,
    lambda_server: LambdaServer,
    rclone_server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in lambda_server.client_environment.items():
        monkeypatch.setenv(name, value)
    bucket = new_bucket(rclone_server.url)
    sections: dict[str, Any] = {
        "aws": {"region": REGION, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY},
        "aws_lambda": {"execution_role": "arn:aws:iam::123456789012:role/lithops", "namespace": "tests"},
        "aws_s3": {"storage_bucket": bucket},
    }
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump(sections))
    arn = layer._publish(built, layer._aws_section(str(config)), HERE, "x86_64")
    assert lithops_layer(sections) == arn
    client = s3_client(rclone_server.url)
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    client.close()
    (published,) = lambda_server.layers[layer.layer_name(USER_ID, HERE, "tests")]
    found = {path.relative_to(published.directory).as_posix() for path in published.directory.rglob("*.py")}
    assert found == {name for name in names(built) if name.endswith(".py")}


def lithops_layer(sections: dict[str, Any]) -> Any:
    """The layer that Lithops' backend would deploy its default runtime with."""
    from lithops.serverless.backends.aws_lambda.aws_lambda import AWSLambdaBackend

    backend = AWSLambdaBackend({**sections["aws"], **sections["aws_lambda"], "user_agent": "tests"}, None)
    try:
        return backend._get_layer(backend._get_default_runtime_name())
    finally:
        for client in (backend.lambda_client, backend.ecr_client):
            client.close()
        backend.session.close()
