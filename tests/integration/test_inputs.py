"""Sizes of inputs: asked of real storages, of files and of servers; bounded, and never made up."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from s3servers import ACCESS_KEY, SECRET_KEY, Server, new_bucket

import lithops_shm as shm
from lithops_shm.errors import ProfileError
from lithops_shm.placement import inputs
from lithops_shm.placement.inputs import sized
from lithops_shm.placement.storages import storages_of


def no_storage(name: str) -> Any:
    raise AssertionError(f"nobody should ask for {name}")


def found(*uris: str, storage_of: Callable[[str], Any] = no_storage) -> tuple[int | None, int, str | None]:
    job = sized(shm.JobProfile(inputs=uris), storage_of)
    return job.input_bytes, job.at_least_bytes, job.input_place


def test_files_directories_and_patterns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(bytes(1000))
    (tmp_path / "b.csv").write_bytes(bytes(500))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.txt").write_bytes(bytes(70))
    assert found(str(tmp_path / "a.csv")) == (1000, 0, "local")
    assert found(f"file://{tmp_path}/a.csv") == (1000, 0, "local")
    assert found(str(tmp_path / "*.csv")) == (1500, 0, "local")
    assert found(str(tmp_path)) == (1570, 0, "local")
    assert found(str(tmp_path / "**" / "*.txt"), str(tmp_path / "b.csv")) == (570, 0, "local")


@pytest.mark.parametrize("name", ["missing.csv", "*.nothing"])
def test_what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProfileError, match=r"is no file or directory"):
        found(str(tmp_path / name))
    with pytest.raises(ProfileError, match="names no bucket"):
        found("s3:///key")


@pytest.fixture(params=["minio", "shm"])
def stored(request: pytest.FixtureRequest, rclone_server: Server, shm_directory: Path) -> Iterator[tuple[str, Any]]:
    """A storage with a bucket that holds a few objects, and its name."""
    name, bucket = request.param, "inputs"
    config: dict[str, Any] = {"shm": {"directory": str(shm_directory)}}
    if name == "minio":
        bucket = new_bucket(rclone_server.url)
        section = {"endpoint": rclone_server.url, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
        config = {"minio": {**section, "storage_bucket": bucket}}
    objects = {"logs/1.csv": 10, "logs/2.csv": 200, "logs/2.txt": 3000, "logs/deep/3.csv": 40_000, "other": 5}
    with storages_of({"lithops": {"storage": name}, **config}) as storage_of:
        storage = storage_of(name)
        for key, nbytes in objects.items():
            storage.put_object(bucket, key, bytes(nbytes))
        yield f"{name}://{bucket}", storage
        if name == "shm":
            storage.storage_handler.store.close()


def test_objects_prefixes_and_patterns(stored: tuple[str, Any]) -> None:
    bucket, asked = stored[0], []

    def storage_of(name: str) -> Any:
        asked.append(name)
        return stored[1]

    place = "local" if bucket.startswith("shm") else "remote"
    for uri, nbytes in [
        ("/logs/1.csv", 10),
        ("/logs/", 43_210),
        ("/logs/2", 3200),
        ("/logs/*.csv", 40_210),
        ("/logs/?.csv", 210),
        ("/", 43_215),
        ("", 43_215),
    ]:
        assert found(bucket + uri, storage_of=storage_of) == (nbytes, 0, place), uri
    assert set(asked) == {bucket.partition(":")[0]}
    for uri in ("/nothing", "/nothing/", "/logs/*.parquet"):
        with pytest.raises(ProfileError, match="names no object"):
            found(bucket + uri, storage_of=storage_of)


def test_a_listing_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def get_client(self) -> Any:
            return self

        def get_paginator(self, name: str) -> Any:
            return self

        def paginate(self, **options: Any) -> Iterator[dict[str, Any]]:
            while True:
                yield {"Contents": [{"Key": "k", "Size": 7}] * 1000}

    monkeypatch.setattr(inputs, "_PROBE_S", 0.2)
    nbytes, at_least, place = found("s3://bucket/", storage_of=lambda name: Endless())
    assert nbytes is None
    assert at_least >= 7
    assert place == "remote"


def test_inputs_of_both_kinds_are_where_most_of_them_are(stored: tuple[str, Any], tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(bytes(10))
    (tmp_path / "large").write_bytes(bytes(100_000))
    far = f"{stored[0]}/logs/"
    place = "local" if far.startswith("shm") else "remote"
    assert found(far, str(tmp_path / "small"), storage_of=lambda name: stored[1])[2] == place
    assert found(far, str(tmp_path / "large"), storage_of=lambda name: stored[1])[2] == "local"


def test_what_the_profile_says_is_not_asked_for() -> None:
    job = shm.JobProfile(10**9, ("s3://bucket/key",), input_place="remote")
    assert sized(job, no_storage) is job
    job = shm.JobProfile(10**9)
    assert sized(job, no_storage) is job


class Pages(http.server.BaseHTTPRequestHandler):
    """One that says how long it is, one that does not, one that never ends, and nothing else."""

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path in ("/known", "/unknown", "/endless") else 404)
        if self.path == "/known":
            self.send_header("Content-Length", "123456")
        self.end_headers()

    def do_GET(self) -> None:
        if self.path not in ("/unknown", "/endless"):
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(3 if self.path == "/unknown" else 1_000_000):
                self.wfile.write(bytes(1000))
        except ConnectionError:
            """The other side has seen enough."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def pages() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_streams_are_probed_within_bounds(pages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(f"{pages}/known") == (123_456, 0, "remote")
    assert found(f"{pages}/unknown") == (3000, 0, "remote")
    monkeypatch.setattr(inputs, "_PROBE_BYTES", 3_000_000)
    nbytes, at_least, _ = found(f"{pages}/endless")
    assert nbytes is None
    assert at_least >= 3_000_000
    with pytest.raises(ProfileError, match="cannot be reached"):
        found(f"{pages}/missing")


def test_a_decision_knows_the_sizes_of_its_inputs(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(bytes(5_000_000))
    decision = shm.select({"inputs": [str(tmp_path / "*.csv")]}, config={"lithops": {}}, history=False)
    assert decision.job.input_bytes == 5_000_000
    assert "4.8 MiB of input" in decision.explain()
