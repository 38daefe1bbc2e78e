"""Lithops' storage contract, through `lithops.Storage`, on shared memory and, where they agree, on its localhost."""

import io
import json
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lithops.storage.cloud_proxy import CloudStorage
from lithops.storage.utils import StorageNoSuchKeyError

from lithops_shm import errors
from lithops_shm.errors import ConfigError, InvalidKeyError, InvalidRangeError, SegmentNotFoundError, UnsupportedError
from lithops_shm.plugin.storage.errors import TABLE, as_client_error, as_lithops_error

HOSTILE = ["..", "../../x", "/lead", "a//b", "x\0y", "n\nl", "\U0001f600", "k" * 5000, ".hidden", "q[1]", "t/", "a*"]


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


@pytest.mark.parametrize(
    "body", [None, 7, {}, [], [b"a", b"b"], {"a": 1}, np.array([1, "a"], dtype=object), np.array(["2020"], "M8[D]")]
)
def test_what_has_no_bytes_is_refused(shm: Any, body: Any) -> None:
    """An empty dict is no empty object, and the buffer of an array of objects is full of addresses."""
    with pytest.raises(TypeError, match="cannot store a"):
        shm.put_object("bucket", "k", body)
    with pytest.raises(StorageNoSuchKeyError):
        shm.get_object("bucket", "k")


def test_structured_arrays_are_bytes(shm: Any) -> None:
    body = np.zeros(3, dtype=[("Open", "f8"), ("O", "i4")])
    shm.put_object("bucket", "k", body)
    assert shm.get_object("bucket", "k") == body.tobytes()


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
    with pytest.raises(UnsupportedError, match="IfMatch"):
        shm.get_object("bucket", "k", extra_get_args={"IfMatch": "x"})
    with pytest.raises(ConfigError, match="'range'"):
        shm.get_object("bucket", "k", extra_get_args={"range": "bytes=0-1"})
    assert shm.get_object("bucket", "k", extra_get_args={"RequestPayer": "requester"}) == b"x"


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
    """Globs as Lithops' S3 backend has them: `*` and `?` within a directory, `**` across."""
    for key in ("a1", "a2", "b1", "d/a1", "d/e/a1", "a1x"):
        shm.put_object("bucket", key, b"")

    def matching(pattern: str) -> list[str]:
        return [entry["Key"] for entry in shm.list_objects("bucket", match_pattern=pattern)]

    assert matching("a?") == ["a1", "a2"]
    assert matching("*1") == ["a1", "b1"]
    assert matching("d/*") == ["d/a1"]
    assert matching("**/a1") == ["a1", "d/a1", "d/e/a1"]


def test_deleting_many_reports_them(shm: Any) -> None:
    keys = [f"{number:04}" for number in range(1500)]
    for key in keys:
        shm.put_object("bucket", key, b"")
    (report,) = shm.storage_handler.delete_objects("bucket", keys)
    assert [item["Key"] for item in report["Deleted"]] == keys
    assert shm.list_keys("bucket") == []


def test_a_key_that_cannot_be_one_keeps_no_other_from_being_deleted(shm: Any) -> None:
    for key in "ab":
        shm.put_object("bucket", key, b"")
    with pytest.raises(InvalidKeyError):
        shm.delete_objects("bucket", ["a", "", "b"])
    assert shm.list_keys("bucket") == []


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_through_the_whole_contract(shm: Any, shm_directory: Path, tmp_path: Path, key: str) -> None:
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
    assert os.listdir(shm_directory) == ["store"]
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


@pytest.mark.parametrize("key", ["../../x", "/lead", "a/../../b", "nul\0", "dir/"])
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
