"""Lithops' storage contract, through `lithops.Storage`, on shared memory and, where they agree, on its localhost."""

import io
import json
import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lithops
import numpy as np
import pytest
from lithops.storage.cloud_proxy import CloudStorage
from lithops.storage.utils import StorageNoSuchKeyError

from lithops_shm import errors
from lithops_shm.errors import ConfigError, InvalidKeyError, InvalidRangeError, SegmentNotFoundError
from lithops_shm.plugin.storage.errors import TABLE, as_client_error, as_lithops_error

HOSTILE = ["..", "../../x", "/lead", "a//b", "x\0y", "n\nl", "\U0001f600", "k" * 5000, ".hidden", "q[1]", "t/", "a*"]


@pytest.fixture
def shm(shm_directory: Path, tmp_path: Path) -> Iterator[Any]:
    config = {
        "lithops": {"storage": "shm"},
        "shm": {"directory": str(shm_directory), "spill_directory": str(tmp_path / "spill")},
    }
    storage = lithops.Storage(config=config)
    yield storage
    storage.storage_handler.store.close()


@pytest.fixture(params=["shm", "localhost"])
def storage(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Either backend, for what both have to do alike."""
    if request.param == "shm":
        yield request.getfixturevalue("shm")
        return
    storage = lithops.Storage(config={"lithops": {"storage": "localhost"}})
    yield storage
    for bucket in ("bucket",):
        storage.delete_objects(bucket, storage.list_keys(bucket))


@pytest.mark.parametrize("body", [b"bytes", "t\u00e9xt", io.BytesIO(b"file"), b""])
def test_bodies_both_take(storage: Any, body: Any) -> None:
    if isinstance(body, io.BytesIO):
        body.seek(0)
    expected = body.getvalue() if isinstance(body, io.BytesIO) else body.encode() if isinstance(body, str) else body
    storage.put_object("bucket", "k", body)
    found = storage.get_object("bucket", "k")
    assert type(found) is bytes
    assert found == expected
    assert storage.get_object("bucket", "k", stream=True).read() == expected
    assert storage.head_object("bucket", "k")["content-length"] == str(len(expected))


def test_range_head_list_and_delete(storage: Any) -> None:
    for key in ("p/a", "p/b/c", "pq", "z"):
        storage.put_object("bucket", key, b"0123456789")
    assert storage.get_object("bucket", "z", extra_get_args={"Range": "bytes=1-4"}) == b"1234"
    assert storage.get_object("bucket", "z", stream=True, extra_get_args={"Range": "bytes=1-4"}).read() == b"1234"
    assert sorted(storage.list_keys("bucket", "p")) == ["p/a", "p/b/c", "pq"]
    assert sorted(storage.list_keys("bucket", "p/")) == ["p/a", "p/b/c"]
    assert {entry["Key"]: entry["Size"] for entry in storage.list_objects("bucket", "p/")} == {"p/a": 10, "p/b/c": 10}
    assert storage.head_bucket("bucket")["ResponseMetadata"]["HTTPStatusCode"] == 200
    storage.delete_object("bucket", "z")
    storage.delete_object("bucket", "never there")
    storage.delete_objects("bucket", ["p/a", "p/b/c", "pq"])
    assert storage.list_keys("bucket") == []


def test_missing_keys_and_buckets(storage: Any) -> None:
    for call in (storage.get_object, storage.head_object):
        with pytest.raises(StorageNoSuchKeyError):
            call("bucket", "missing")
    with pytest.raises(StorageNoSuchKeyError):
        storage.head_bucket("no-such-bucket")


def test_files(storage: Any, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(5 << 20))
    assert storage.upload_file(str(source), "bucket", "up") is True
    assert storage.upload_file(str(source), "bucket") is True
    assert storage.get_object("bucket", "source.bin") == source.read_bytes()
    target = tmp_path / "new" / "directory" / "target.bin"
    assert storage.download_file("bucket", "up", str(target)) is True
    assert target.read_bytes() == source.read_bytes()


def test_cloudobjects(storage: Any) -> None:
    cloudobject = storage.put_cloudobject(b"cloud", bucket="bucket", key="co")
    assert storage.get_cloudobject(cloudobject) == b"cloud"
    assert storage.get_cloudobject(cloudobject, stream=True).read() == b"cloud"
    storage.delete_cloudobject(cloudobject)
    with pytest.raises(StorageNoSuchKeyError):
        storage.get_cloudobject(cloudobject)


@pytest.mark.parametrize(
    "body", [bytearray(b"abcd"), memoryview(b"abcd"), np.frombuffer(b"abcd", np.uint8), io.StringIO("abcd")]
)
def test_bodies_only_we_take(shm: Any, body: Any) -> None:
    shm.put_object("bucket", "k", body)
    assert shm.get_object("bucket", "k") == b"abcd"


def test_a_stream_of_unknown_length(shm: Any) -> None:
    class Endless:
        left = 11

        def read(self, size: int) -> bytes:
            self.left -= 1
            return b"x" * 1_000_000 if self.left > 0 else b""

    shm.put_object("bucket", "k", Endless())
    assert shm.head_object("bucket", "k")["content-length"] == "10000000"


def test_text_is_not_taken_for_a_list_of_buffers(shm: Any) -> None:
    with pytest.raises(TypeError):
        shm.put_object("bucket", "k", ["text"])
    with pytest.raises(TypeError):
        shm.put_object("bucket", "k", 7)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=5-", b"56789"),
        ("bytes=-3", b"789"),
        ("bytes=8-99", b"89"),
        ("bytes=-99", b"0123456789"),
    ],
)
def test_every_form_of_range(shm: Any, header: str, expected: bytes) -> None:
    shm.put_object("bucket", "k", b"0123456789")
    assert shm.get_object("bucket", "k", extra_get_args={"Range": header}) == expected
    assert shm.get_object("bucket", "k", stream=True, extra_get_args={"Range": header}).read() == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=5-2", "bytes=-0", "0-3", "bytes=0-1,4-5", "lines=1-2"])
def test_illegal_ranges(shm: Any, header: str) -> None:
    shm.put_object("bucket", "k", b"0123456789")
    for stream in (False, True):
        with pytest.raises(InvalidRangeError):
            shm.get_object("bucket", "k", stream=stream, extra_get_args={"Range": header})


def test_unknown_get_arguments_are_refused(shm: Any) -> None:
    shm.put_object("bucket", "k", b"x")
    with pytest.raises(ConfigError, match="'IfMatch'"):
        shm.get_object("bucket", "k", extra_get_args={"IfMatch": "x"})


def test_a_stream_is_a_file_over_the_segment(shm: Any) -> None:
    body = b"line one\nline two\n\nlast, without an end"
    shm.put_object("bucket", "k", body)
    stream = shm.get_object("bucket", "k", stream=True)
    shm.delete_object("bucket", "k")  # what is open stays readable
    assert list(stream) == body.splitlines(keepends=True)
    assert stream.read() == b""
    assert stream.seek(5) == 5
    assert stream.read(3) == body[5:8]
    buffer = bytearray(4)
    assert stream.readinto(buffer) == 4
    assert bytes(buffer) == body[8:12]
    assert stream.tell() == 12
    assert stream.seek(-4, io.SEEK_END) == len(body) - 4
    assert list(stream.iter_chunks(3)) == [b" en", b"d"]
    stream.seek(0)
    assert list(stream.iter_lines()) == body.splitlines()
    stream.seek(0)
    view = stream.getbuffer()
    assert view.readonly
    assert view == body
    assert io.TextIOWrapper(io.BufferedReader(stream)).read() == body.decode()
    with pytest.raises(ValueError, match="closed"):
        stream.read()


def test_reading_a_large_object_as_a_stream_copies_nothing(shm: Any) -> None:
    shm.put_object("bucket", "k", bytes(64 << 20))
    before = anonymous_bytes()
    view = shm.get_object("bucket", "k", stream=True).getbuffer()
    assert sum(view[:: 1 << 12]) == 0
    assert anonymous_bytes() - before < 2 << 20


def anonymous_bytes() -> int:
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Anonymous:"))


def test_downloads_are_whole_or_not_at_all(shm: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"before")
    with caplog.at_level(logging.ERROR):
        assert shm.download_file("bucket", "missing", str(target)) is False
        assert shm.upload_file(str(tmp_path / "absent"), "bucket", "k") is False
    assert "bucket/missing" in caplog.text
    assert "absent" in caplog.text
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["target"]


def test_unknown_buckets(shm: Any) -> None:
    for call in (shm.list_keys, shm.list_objects):
        with pytest.raises(StorageNoSuchKeyError):
            call("no-such-bucket")
    assert shm.list_keys(shm.bucket) == []  # Lithops' own bucket is always there
    assert shm.head_bucket(shm.bucket)
    shm.create_bucket("made")
    assert shm.list_keys("made") == []


def test_match_pattern(shm: Any) -> None:
    for key in ("a1", "a2", "b1"):
        shm.put_object("bucket", key, b"")
    assert [entry["Key"] for entry in shm.list_objects("bucket", match_pattern="a[0-9]")] == ["a1", "a2"]


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_through_the_whole_contract(shm: Any, shm_directory: Path, tmp_path: Path, key: str) -> None:
    beside = sorted(os.listdir(shm_directory.parent))
    source = tmp_path / "source"
    source.write_bytes(key.encode())
    shm.put_object("../bucket", key, key.encode())
    shm.put_object("../bucket", "neighbour", b"")
    assert shm.get_object("../bucket", key) == key.encode()
    assert shm.get_object("../bucket", key, stream=True).read() == key.encode()
    assert shm.head_object("../bucket", key)["content-length"] == str(len(key.encode()))
    assert sorted(shm.list_keys("../bucket")) == sorted([key, "neighbour"])
    assert [entry["Key"] for entry in shm.list_objects("../bucket", key)] == [key]
    assert shm.upload_file(str(source), "../bucket", key)
    assert shm.download_file("../bucket", key, str(tmp_path / "target"))
    shm.delete_objects("../bucket", [key])
    assert shm.list_keys("../bucket") == ["neighbour"]
    assert sorted(os.listdir(shm_directory.parent)) == beside
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_impossible_keys(shm: Any, key: str) -> None:
    for call in (lambda: shm.put_object("bucket", key, b""), lambda: shm.get_object("bucket", key)):
        with pytest.raises(InvalidKeyError):
            call()


SAMPLES = {
    errors.StoreError: ("sentence",),
    errors.SegmentNotFoundError: ("b", "k"),
    errors.InvalidKeyError: ("key", "k", "reason"),
    errors.InvalidRangeError: ("bytes=9-", "reason"),
    errors.SegmentCorruptError: ("b/k", "what"),
    errors.StoreFullError: (),
    errors.SessionLostError: ("abc",),
    errors.UnsafeDirectoryError: ("/path", "reason"),
}


def test_every_error_of_the_store_has_a_row() -> None:
    kinds = {kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), errors.StoreError)}
    assert set(TABLE) == set(SAMPLES) == kinds


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_errors_come_out_as_lithops_and_boto3_have_them(kind: type[errors.StoreError]) -> None:
    from botocore.exceptions import ClientError

    error = kind(*SAMPLES[kind])
    with (
        pytest.raises(StorageNoSuchKeyError if kind is SegmentNotFoundError else kind) as raised,
        as_lithops_error("b", "k"),
    ):
        raise error
    assert raised.value is error or raised.value.__cause__ is error
    with pytest.raises(ClientError) as refused, as_client_error("GetObject"):
        raise error
    assert refused.value.__cause__ is error
    assert refused.value.response["Error"]["Message"] == str(error)


def test_a_missing_key_comes_from_ours(shm: Any) -> None:
    shm.create_bucket("bucket")
    for call in (shm.get_object, shm.head_object):
        with pytest.raises(StorageNoSuchKeyError) as raised:
            call("bucket", "missing")
        assert isinstance(raised.value.__cause__, SegmentNotFoundError)


def test_a_stream_that_has_nothing_yet_is_not_taken_for_its_end(shm: Any) -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    with open(read, "rb", buffering=0) as stream, open(write, "wb", buffering=0) as feed:
        feed.write(b"begin")
        with pytest.raises(BlockingIOError):
            shm.put_object("bucket", "k", stream)
    with pytest.raises(StorageNoSuchKeyError):
        shm.get_object("bucket", "k")


def test_files_that_do_not_know_their_size(shm: Any, tmp_path: Path) -> None:
    assert shm.upload_file("/proc/self/cmdline", "bucket", "k")
    assert shm.get_object("bucket", "k") == Path("/proc/self/cmdline").read_bytes()
    assert shm.download_file("bucket", "k", os.devnull)
    assert not os.path.isfile(os.devnull)


@pytest.mark.parametrize("key", ["../../x", "/lead", "a/../../b", "nul\0"])
def test_a_key_alone_does_not_say_where_to_download(
    shm: Any, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "deep" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    shm.put_object("bucket", key, b"x")
    assert shm.download_file("bucket", key) is False
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "here"]


def test_a_download_without_a_name_is_called_as_the_key(
    shm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shm.put_object("bucket", "d/f", b"x")
    assert shm.download_file("bucket", "d/f")
    assert (tmp_path / "d" / "f").read_bytes() == b"x"


def test_closing_a_stream_leaves_its_views(shm: Any) -> None:
    shm.put_object("bucket", "k", b"abc")
    with shm.get_object("bucket", "k", stream=True) as stream:
        view = stream.getbuffer()
        assert stream.read(amt=2) == b"ab"
    assert view == b"abc"
    with pytest.raises(ValueError, match="closed"):
        stream.getbuffer()


def test_a_backend_travels_by_pickle(shm: Any) -> None:
    shm.put_object("bucket", "k", b"x")
    other = pickle.loads(pickle.dumps(shm.storage_handler))
    assert other.get_object("bucket", "k") == b"x"
    other.store.close()


def test_the_configuration_a_worker_gets_is_json_and_names_the_session(shm: Any) -> None:
    shipped = json.loads(json.dumps(shm.get_storage_config()))
    assert shipped["shm"]["session"] == shm.storage_handler.store.session.id


def test_cloud_storage_travels_by_pickle(shm_directory: Path) -> None:
    config = {"lithops": {"storage": "shm"}, "shm": {"directory": str(shm_directory), "storage_bucket": "lithops"}}
    storage = CloudStorage(config)
    storage.put_data("k", b"x")
    other = pickle.loads(pickle.dumps(storage))
    assert other.get_data("k") == b"x"
    assert other.storage_handler.store.session.id == storage.storage_handler.store.session.id
    for each in (storage, other):
        each.storage_handler.store.close()


class TestClient:
    """The client in boto3's shape."""

    def test_objects(self, shm: Any) -> None:
        client = shm.get_client()
        client.put_object(Bucket="b", Key="k", Body=b"0123456789", ContentType="text/plain")
        found = client.get_object(Bucket="b", Key="k")
        assert found["Body"].read() == b"0123456789"
        assert found["ContentLength"] == 10
        part = client.get_object(Bucket="b", Key="k", Range="bytes=2-3")
        assert (part["Body"].read(), part["ContentRange"]) == (b"23", "bytes 2-3/10")
        assert client.head_object(Bucket="b", Key="k")["ETag"] == found["ETag"]
        client.copy_object(Bucket="c", Key="copy", CopySource={"Bucket": "b", "Key": "k"})
        client.copy_object(Bucket="c", Key="copy2", CopySource="b/k")
        assert client.get_object(Bucket="c", Key="copy2")["Body"].read() == b"0123456789"
        assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["b", "c", "lithops"]
        client.delete_objects(Bucket="c", Delete={"Objects": [{"Key": "copy"}, {"Key": "copy2"}]})
        client.delete_object(Bucket="b", Key="k")
        client.delete_bucket(Bucket="c")
        client.create_bucket(Bucket="d")
        client.head_bucket(Bucket="d")

    def test_errors_are_botocores(self, shm: Any) -> None:
        from botocore.exceptions import ClientError

        client = shm.get_client()
        client.put_object(Bucket="b", Key="k", Body=b"x")
        for call, code, status in (
            (lambda: client.get_object(Bucket="b", Key="missing"), "NoSuchKey", 404),
            (lambda: client.get_object(Bucket="missing", Key="k"), "NoSuchBucket", 404),
            (lambda: client.head_object(Bucket="b", Key="missing"), "404", 404),
            (lambda: client.head_bucket(Bucket="missing"), "404", 404),
            (lambda: client.get_object(Bucket="b", Key="k", Range="bytes=9-"), "InvalidRange", 416),
            (lambda: client.put_object(Bucket="b", Key="", Body=b""), "InvalidArgument", 400),
            (lambda: client.list_objects_v2(Bucket="missing"), "NoSuchBucket", 404),
        ):
            with pytest.raises(ClientError) as raised:
                call()
            assert raised.value.response["Error"]["Code"] == code
            assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status

    def test_files(self, shm: Any, tmp_path: Path) -> None:
        client = shm.get_client()
        (tmp_path / "f").write_bytes(b"data")
        client.upload_file(str(tmp_path / "f"), "b", "k")
        client.upload_fileobj(io.BytesIO(b"more"), "b", "l")
        client.download_file("b", "k", str(tmp_path / "g"))
        target = io.BytesIO()
        client.download_fileobj("b", "l", target)
        assert ((tmp_path / "g").read_bytes(), target.getvalue()) == (b"data", b"more")

    @pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
    @pytest.mark.parametrize("page", [1, 2, 3, 1000])
    @pytest.mark.parametrize("delimiter", ["", "/"])
    def test_pages_add_up(self, shm: Any, operation: str, page: int, delimiter: str) -> None:
        keys = sorted(["a", "a/b", "a/c/d", "a/c/e", "b", "b/x", "c/y", "c/z", "d"])
        client = shm.get_client()
        for key in keys:
            client.put_object(Bucket="b", Key=key, Body=b"")
        for prefix in ("", "a/", "c"):
            rolled = {
                key[: key.index("/", len(prefix)) + 1]
                for key in keys
                if delimiter and key.startswith(prefix) and "/" in key[len(prefix) :]
            }
            plain = [
                key for key in keys if key.startswith(prefix) and not any(key.startswith(other) for other in rolled)
            ]
            found: list[str] = []
            prefixes: list[str] = []
            arguments = {"Bucket": "b", "Prefix": prefix, "Delimiter": delimiter}
            for each in client.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": page}):
                count = len(each.get("Contents", [])) + len(each.get("CommonPrefixes", []))
                assert count <= page
                found += [entry["Key"] for entry in each.get("Contents", [])]
                prefixes += [entry["Prefix"] for entry in each.get("CommonPrefixes", [])]
            assert found == plain
            assert prefixes == sorted(rolled)

    def test_start_after(self, shm: Any) -> None:
        client = shm.get_client()
        for key in "abc":
            client.put_object(Bucket="b", Key=key, Body=b"")
        page = client.list_objects_v2(Bucket="b", StartAfter="a")
        assert [entry["Key"] for entry in page["Contents"]] == ["b", "c"]
        assert page["KeyCount"] == 2

    def test_start_after_and_prefixes(self, shm: Any) -> None:
        client = shm.get_client()
        for key in ("a/b", "a/c", "d"):
            client.put_object(Bucket="b", Key=key, Body=b"")
        page = client.list_objects_v2(Bucket="b", StartAfter="a/b", Delimiter="/")
        assert page["CommonPrefixes"] == [{"Prefix": "a/"}]
        assert client.list_objects_v2(Bucket="b", MaxKeys=0)["IsTruncated"] is False

    def test_nothing_that_matters_is_ignored(self, shm: Any) -> None:
        from botocore.exceptions import ClientError

        client = shm.get_client()
        client.put_object(Bucket="b", Key="k", Body=b"x")
        for call in (
            lambda: client.put_object(Bucket="b", Key="k", Body=b"y", IfNoneMatch="*"),
            lambda: client.get_object(Bucket="b", Key="k", VersionId="1"),
            lambda: client.list_objects_v2(Bucket="b", ContinuationToken="not one of ours"),
        ):
            with pytest.raises(ClientError):
                call()
        assert client.get_object(Bucket="b", Key="k")["Body"].read() == b"x"

    def test_the_configured_bucket_is_always_there(self, shm: Any) -> None:
        client = shm.get_client()
        client.head_bucket(Bucket=shm.bucket)
        assert client.list_objects_v2(Bucket=shm.bucket)["KeyCount"] == 0

    def test_deleting_many_reports_what_is_no_key(self, shm: Any) -> None:
        client = shm.get_client()
        client.put_object(Bucket="b", Key="k", Body=b"")
        answer = client.delete_objects(Bucket="b", Delete={"Objects": [{"Key": ""}, {"Key": "k"}]})
        assert answer["Deleted"] == [{"Key": "k"}]
        assert answer["Errors"][0]["Code"] == "InvalidArgument"
