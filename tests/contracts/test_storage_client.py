"""What code written for boto3's S3 client relies on: the same tests on our client and on boto3's own."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from lithops_shm.plugin.storage.client import ShmClient

KEYS = sorted(["a", "a/b", "a/c/d", "a/c/e", "b", "b/x", "c/y", "c/z", "d", "\u00e9", "\U0001f600"])


@pytest.fixture(autouse=True)
def bucket(client: Any) -> None:
    client.create_bucket(Bucket="bucket")


def failure(call: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as raised:
        call()
    return (
        raised.value.response["Error"]["Code"],
        raised.value.response["ResponseMetadata"]["HTTPStatusCode"],
    )


@pytest.mark.parametrize("kind", [bytes, bytearray, bytes.decode, io.BytesIO])
def test_put_get_and_head(client: Any, kind: Any) -> None:
    body = kind(b"bytes")
    put = client.put_object(Bucket="bucket", Key="k", Body=body, ContentType="text/plain", ACL="private")
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 200
    got = client.get_object(Bucket="bucket", Key="k")
    head = client.head_object(Bucket="bucket", Key="k")
    assert got["Body"].read() == b"bytes"
    assert got["ContentLength"] == head["ContentLength"] == 5
    assert put["ETag"] == got["ETag"] == head["ETag"]
    assert got["LastModified"] == head["LastModified"]
    assert got["LastModified"].tzinfo is not None
    assert got["Metadata"] == {}
    assert isinstance(got["ContentType"], str)


def test_bodies_read_as_boto3s(client: Any) -> None:
    text = b"one\r\ntwo\n\nlast"
    client.put_object(Bucket="bucket", Key="k", Body=text)

    def body() -> Any:
        return client.get_object(Bucket="bucket", Key="k")["Body"]

    assert list(body().iter_lines()) == [b"one", b"two", b"", b"last"]
    assert list(body().iter_lines(keepends=True)) == [b"one\r\n", b"two\n", b"\n", b"last"]
    assert b"".join(body().iter_chunks(4)) == text
    assert body().readlines() == text.splitlines(keepends=True)
    stream = body()
    assert stream.read(amt=3) == b"one"
    assert stream.tell() == 3
    assert stream.read() == text[3:]
    with body() as stream:
        assert stream.read() == text
    buffer = bytearray(4)
    assert body().readinto(buffer) == 4
    assert bytes(buffer) == text[:4]


@pytest.mark.parametrize(
    ("header", "expected", "described"),
    [
        ("bytes=2-3", b"23", "bytes 2-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ],
)
def test_ranges(client: Any, header: str, expected: bytes, described: str) -> None:
    client.put_object(Bucket="bucket", Key="k", Body=b"0123456789")
    part = client.get_object(Bucket="bucket", Key="k", Range=header)
    assert part["Body"].read() == expected
    assert part["ContentRange"] == described
    assert part["ContentLength"] == len(expected)
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206


def test_failures(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="k", Body=b"x")
    assert failure(lambda: client.get_object(Bucket="bucket", Key="missing")) == ("NoSuchKey", 404)
    assert failure(lambda: client.get_object(Bucket="missing", Key="k")) == ("NoSuchBucket", 404)
    assert failure(lambda: client.head_object(Bucket="bucket", Key="missing")) == ("404", 404)
    assert failure(lambda: client.head_bucket(Bucket="missing")) == ("404", 404)
    assert failure(lambda: client.get_object(Bucket="bucket", Key="k", Range="bytes=9-")) == ("InvalidRange", 416)
    assert failure(lambda: client.list_objects_v2(Bucket="missing")) == ("NoSuchBucket", 404)
    assert failure(lambda: client.delete_object(Bucket="missing", Key="k")) == ("NoSuchBucket", 404)
    assert failure(lambda: client.delete_bucket(Bucket="bucket")) == ("BucketNotEmpty", 409)
    assert failure(lambda: client.delete_bucket(Bucket="missing")) == ("NoSuchBucket", 404)
    assert failure(lambda: client.download_fileobj("bucket", "missing", io.BytesIO())) == ("404", 404)
    missing = {"Bucket": "bucket", "Key": "missing"}
    assert failure(lambda: client.copy_object(Bucket="bucket", Key="c", CopySource=missing)) == ("NoSuchKey", 404)


def test_exceptions_have_names(client: Any) -> None:
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket="bucket", Key="missing")
    with pytest.raises(client.exceptions.NoSuchBucket):
        client.list_objects_v2(Bucket="missing")
    with pytest.raises(client.exceptions.ClientError):
        client.head_object(Bucket="bucket", Key="missing")
    assert client.exceptions.from_code("NoSuchKey") is client.exceptions.NoSuchKey
    assert client.exceptions.from_code("Other") is ClientError


def test_misspelt_arguments_are_not_ignored(client: Any) -> None:
    """``Prefx`` ignored would list the whole bucket, and the next line of a program delete it."""
    with pytest.raises(ParamValidationError, match="Prefx"):
        client.list_objects_v2(Bucket="bucket", Prefx="tmp/")
    with pytest.raises(ParamValidationError, match="Bdy"):
        client.put_object(Bucket="bucket", Key="k", Bdy=b"")


def test_copies(client: Any) -> None:
    name = "a b%20c+d"  # boto3 quotes it, whatever it looks like
    client.put_object(Bucket="bucket", Key=name, Body=b"data")
    for key, source in (("c1", {"Bucket": "bucket", "Key": name}), ("c2", f"bucket/{name}"), ("c3", f"/bucket/{name}")):
        copied = client.copy_object(Bucket="bucket", Key=key, CopySource=source)
        assert copied["CopyObjectResult"]["ETag"]
        assert client.get_object(Bucket="bucket", Key=key)["Body"].read() == b"data"


def test_deletes(client: Any) -> None:
    for key in "abc":
        client.put_object(Bucket="bucket", Key=key, Body=b"")
    assert client.delete_object(Bucket="bucket", Key="a")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.delete_object(Bucket="bucket", Key="a")["ResponseMetadata"]["HTTPStatusCode"] == 204
    report = client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "b"}, {"Key": "missing"}]})
    assert sorted(item["Key"] for item in report["Deleted"]) == ["b", "missing"]
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket="bucket")["Contents"]] == ["c"]


def test_buckets(client: Any) -> None:
    client.create_bucket(Bucket="other")
    client.create_bucket(Bucket="other")
    client.head_bucket(Bucket="other")
    assert {"bucket", "other"} <= {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    client.delete_bucket(Bucket="other")
    assert "other" not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}


def test_files(client: Any, tmp_path: Path) -> None:
    data = os.urandom(9 << 20)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    steps: list[int] = []
    client.upload_file(str(source), "bucket", "k", ExtraArgs={"ContentType": "text/plain"}, Callback=steps.append)
    assert sum(steps) == len(data)
    client.upload_fileobj(io.BytesIO(b"more"), "bucket", "l")
    steps.clear()
    client.download_file("bucket", "k", str(target), Callback=steps.append)
    assert sum(steps) == len(data)
    stream = io.BytesIO()
    client.download_fileobj("bucket", "l", stream)
    assert (target.read_bytes(), stream.getvalue()) == (data, b"more")
    with pytest.raises(OSError, match="absent"):
        client.upload_file(str(tmp_path / "absent"), "bucket", "k")
    with pytest.raises(ClientError):
        client.download_file("bucket", "missing", str(tmp_path / "nothing"))
    assert sorted(os.listdir(tmp_path)) in (["source", "target"], ["source", "spill", "target"])


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_add_up(client: Any, operation: str, size: int, delimiter: str) -> None:
    if not isinstance(client, ShmClient) and operation == "list_objects" and delimiter:
        pytest.skip("moto counts rolled-up prefixes apart from objects here, S3 counts both together")
    for key in KEYS:
        client.put_object(Bucket="bucket", Key=key, Body=b"")
    for prefix in ("", "a/", "c", "none"):
        under = [key for key in KEYS if key.startswith(prefix)]
        rolled = {key[: key.index("/", len(prefix)) + 1] for key in under if delimiter and "/" in key[len(prefix) :]}
        plain = [key for key in under if not any(key.startswith(other) for other in rolled)]
        found: list[str] = []
        prefixes: list[str] = []
        arguments = {"Bucket": "bucket", "Prefix": prefix, "Delimiter": delimiter}
        for page in client.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": size}):
            assert len(page.get("Contents", [])) + len(page.get("CommonPrefixes", [])) <= size
            found += [entry["Key"] for entry in page.get("Contents", [])]
            prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        assert found == plain
        assert prefixes == sorted(rolled)


def test_a_page(client: Any) -> None:
    for key in KEYS:
        client.put_object(Bucket="bucket", Key=key, Body=b"12345")
    page = client.list_objects_v2(Bucket="bucket", MaxKeys=2, StartAfter="a")
    assert [entry["Key"] for entry in page["Contents"]] == ["a/b", "a/c/d"]
    assert {"Key", "Size", "LastModified", "ETag", "StorageClass"} <= set(page["Contents"][0])
    assert page["Contents"][0]["Size"] == 5
    assert (page["KeyCount"], page["MaxKeys"], page["IsTruncated"], page["Name"]) == (2, 2, True, "bucket")
    token = page["NextContinuationToken"]
    following = client.list_objects_v2(Bucket="bucket", MaxKeys=2, ContinuationToken=token)
    assert [entry["Key"] for entry in following["Contents"]] == ["a/c/e", "b"]
    everything = client.list_objects_v2(Bucket="bucket", MaxKeys=5000)
    assert [entry["Key"] for entry in everything["Contents"]] == KEYS
    assert not everything["IsTruncated"]
    marked = client.list_objects(Bucket="bucket", Marker="c/z")
    assert [entry["Key"] for entry in marked["Contents"]] == KEYS[KEYS.index("c/z") + 1 :]


def test_results_of_a_paginator(client: Any) -> None:
    for key in KEYS:
        client.put_object(Bucket="bucket", Key=key, Body=b"")

    def pages(**config: int) -> Any:
        return client.get_paginator("list_objects_v2").paginate(Bucket="bucket", PaginationConfig=config)

    assert [entry["Key"] for entry in pages(PageSize=3).build_full_result()["Contents"]] == KEYS
    assert list(pages(PageSize=3).search("Contents[].Key")) == KEYS
    few = pages(MaxItems=4, PageSize=3)
    assert [entry["Key"] for page in few for entry in page.get("Contents", [])] == KEYS[:4]
    with pytest.raises(ClientError, match="NoSuchBucket"):
        list(client.get_paginator("list_objects").paginate(Bucket="missing"))


class TestOursAlone:
    """Where the two have to differ, or a server's answer would be about servers."""

    @pytest.fixture
    def client(self, shm: Any) -> Any:
        return shm.get_client()

    @pytest.mark.parametrize(
        ("arguments"),
        [
            {"IfNoneMatch": "*"},
            {"ServerSideEncryption": "AES256"},
            {"SSECustomerKey": "secret", "SSECustomerAlgorithm": "AES256"},
            {"Metadata": {"owner": "me"}},
            {"Tagging": "a=b"},
        ],
    )
    def test_what_cannot_be_honoured_is_refused(self, client: Any, arguments: dict[str, Any]) -> None:
        with pytest.raises(ClientError, match=next(iter(arguments))) as raised:
            client.put_object(Bucket="bucket", Key="k", Body=b"x", **arguments)
        assert raised.value.response["Error"]["Code"] == "NotImplemented"
        assert "secret" not in str(raised.value)
        assert "Contents" not in client.list_objects_v2(Bucket="bucket")

    def test_bad_keys_and_tokens(self, client: Any) -> None:
        assert failure(lambda: client.put_object(Bucket="bucket", Key="", Body=b"")) == ("InvalidArgument", 400)
        for token in ("%%%", "\u00e9", "/w=="):
            assert failure(lambda: client.list_objects_v2(Bucket="bucket", ContinuationToken=token)) == (  # noqa: B023
                "InvalidArgument",
                400,
            )
        client.put_object(Bucket="bucket", Key="k", Body=b"")
        report = client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": ""}, {"Key": "k"}]})
        assert [item["Key"] for item in report["Deleted"]] == ["k"]
        assert [item["Code"] for item in report["Errors"]] == ["InvalidArgument"]

    def test_quiet_deletes_report_errors_only(self, client: Any) -> None:
        client.put_object(Bucket="bucket", Key="k", Body=b"")
        quiet = client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "k"}], "Quiet": True})
        assert set(quiet) == {"ResponseMetadata"}

    def test_the_body_is_the_segment(self, client: Any) -> None:
        client.put_object(Bucket="bucket", Key="k", Body=b"data")
        view = client.get_object(Bucket="bucket", Key="k")["Body"].getbuffer()
        assert view.readonly
        assert view == b"data"

    def test_no_keys_asked_for_is_no_keys(self, client: Any) -> None:
        client.put_object(Bucket="bucket", Key="k", Body=b"")
        page = client.list_objects_v2(Bucket="bucket", MaxKeys=0)
        assert (page["KeyCount"], page["IsTruncated"]) == (0, False)

    def test_lithops_own_bucket_is_always_there(self, client: Any, shm: Any) -> None:
        client.head_bucket(Bucket=shm.bucket)
        assert client.list_objects_v2(Bucket=shm.bucket)["KeyCount"] == 0
        assert shm.bucket in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}

    def test_a_paginator_shows_one_moment(self, client: Any) -> None:
        for key in "abcd":
            client.put_object(Bucket="bucket", Key=key, Body=b"")
        pages = iter(
            client.get_paginator("list_objects_v2").paginate(Bucket="bucket", PaginationConfig={"PageSize": 2})
        )
        assert [entry["Key"] for entry in next(pages)["Contents"]] == ["a", "b"]
        client.delete_object(Bucket="bucket", Key="c")
        assert [entry["Key"] for entry in next(pages)["Contents"]] == ["c", "d"]
        with pytest.raises(ValueError, match="list_parts"):
            client.get_paginator("list_parts")
