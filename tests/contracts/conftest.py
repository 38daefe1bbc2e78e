"""The implementations the contracts are run against."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest


@pytest.fixture
def shm(shm_directory: Path, tmp_path: Path) -> Iterator[Any]:
    """A `lithops.Storage` on shared memory, in a directory that holds nothing else."""
    shm_directory.mkdir(mode=0o700)
    config = {
        "lithops": {"storage": "shm"},
        "shm": {"directory": str(shm_directory / "store"), "spill_directory": str(tmp_path / "spill")},
    }
    storage = lithops.Storage(config=config)
    yield storage
    storage.storage_handler.store.close()
    shm_directory.rmdir()


@pytest.fixture(params=["shm", "localhost"])
def storage(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Either backend, for what both have to do alike."""
    if request.param == "shm":
        yield request.getfixturevalue("shm")
        return
    storage = lithops.Storage(config={"lithops": {"storage": "localhost"}})
    yield storage
    storage.delete_objects("bucket", storage.list_keys("bucket"))


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str | None]:
    """moto's S3 server, where it is installed (``pip install 'moto[server]>=5'``), else ``None``."""
    if importlib.util.find_spec("moto") is None:
        yield None
        return
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _ready(server, log)
        finally:
            server.kill()
            server.wait()


def _ready(server: "subprocess.Popen[bytes]", log: Any) -> str:
    """The address the server printed, once it answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        text = os.pread(log.fileno(), 4096, 0).decode()
        if "Running on http://" in text:
            address = text.partition("Running on ")[2].split()[0]
            urllib.request.urlopen(f"{address}/moto-api/", timeout=10).close()
            return address
        time.sleep(0.1)
    raise RuntimeError(f"moto's server did not start: {os.pread(log.fileno(), 4096, 0).decode()}")


@pytest.fixture(params=["shm", "s3"])
def client(request: pytest.FixtureRequest, s3_endpoint: str | None) -> Iterator[Any]:
    """Our client, or boto3's own with a server behind it."""
    if request.param == "shm":
        yield request.getfixturevalue("shm").get_client()
        return
    if s3_endpoint is None:
        pytest.skip("moto is not installed")
    import boto3

    urllib.request.urlopen(urllib.request.Request(f"{s3_endpoint}/moto-api/reset", method="POST"), timeout=10).close()
    client = boto3.client(
        "s3", endpoint_url=s3_endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="x"
    )
    yield client
    client.close()
