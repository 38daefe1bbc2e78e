"""What a shuffle's objects go through when the server or the way to it fails."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from s3servers import ACCESS_KEY, SECRET_KEY, Proxy, Server, new_bucket

from lithops_shm.errors import SegmentNotFoundError, ShuffleStorageError, UnsupportedError
from lithops_shm.shuffle.media import Medium, ObjectStore, RetryPolicy, S3Settings, open_objects


@pytest.fixture(params=["boto3", "s3fs"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def opened(
    engine: str, url: str, bucket: str, *, deadline_s: float = 60, secret_key: str = SECRET_KEY
) -> Iterator[ObjectStore]:
    settings = S3Settings(bucket, url, "us-east-1", ACCESS_KEY, secret_key)
    objects = open_objects(Medium.of_s3(engine, settings, RetryPolicy(deadline_s=deadline_s, cap_s=0.5)))
    try:
        yield objects
    finally:
        objects.close()


def test_a_server_killed_and_restarted_is_waited_for(engine: str, rclone: Callable[..., Server]) -> None:
    """While transfers of many requests each are under way: uploads in parts, which it forgets, and reads."""
    server = rclone()
    bucket = new_bucket(server.url)
    data = os.urandom(20 << 20)
    transfers, over = [], threading.Event()

    def transfer(objects: ObjectStore) -> None:
        while not over.is_set():
            assert objects.put("big", [data]) == len(data)
            assert objects.get("big") == data
            assert (
                b"".join(objects.get_many([("big", at, at + 1000) for at in range(0, 20_000, 1000)])) == data[:20_000]
            )
            transfers.append(time.monotonic())

    def guarded(objects: ObjectStore) -> None:
        try:
            transfer(objects)
        except BaseException as error:
            failures.append(error)

    failures: list[BaseException] = []
    with opened(engine, server.url, bucket) as objects:
        thread = threading.Thread(target=guarded, args=(objects,))
        thread.start()
        try:
            time.sleep(0.4)
            server.kill()
            time.sleep(0.2)
            server.start()
            restarted = time.monotonic()
            while thread.is_alive() and not (transfers and transfers[-1] > restarted + 0.2):
                time.sleep(0.05)
        finally:
            over.set()
            thread.join()
    assert failures == []


def test_a_storm_of_503_is_ridden_out(engine: str, rclone_server: Server, s3_proxy: Callable[[str], Proxy]) -> None:
    proxy = s3_proxy(rclone_server.url)
    with opened(engine, proxy.url, new_bucket(rclone_server.url)) as objects:
        proxy.trouble.unavailable = 4
        objects.put("key", [b"0123456789"])
        assert len(proxy.trouble.seen) == 5
        proxy.trouble.unavailable = 6
        assert b"".join(objects.get_many([("key", at, at + 1) for at in range(10)])) == b"0123456789"
        assert objects.delete_prefix("key") == 1


def test_an_outage_beyond_the_deadline_is_told(
    engine: str, rclone_server: Server, s3_proxy: Callable[[str], Proxy]
) -> None:
    proxy = s3_proxy(rclone_server.url)
    proxy.trouble.unavailable = 1_000_000
    bucket = new_bucket(rclone_server.url)
    with opened(engine, proxy.url, bucket, deadline_s=0.6) as objects:
        began = time.monotonic()
        with pytest.raises(ShuffleStorageError, match=r"gave up after \d+ tries in .* 503") as raised:
            objects.get_many([("a", 0, 1), ("b", 0, 1)])
        assert time.monotonic() - began < 20, "the deadline is 0.6 s"
    assert bucket in str(raised.value)
    assert proxy.url in str(raised.value)
    assert raised.value.__cause__ is not None


def test_nobody_there_is_told(engine: str, rclone: Callable[..., Server]) -> None:
    server = rclone()
    server.kill()
    with (
        opened(engine, server.url, "bucket", deadline_s=0.5) as objects,
        pytest.raises(ShuffleStorageError, match="gave up") as raised,
    ):
        objects.put("key", [b"x"])
    assert server.url in str(raised.value)


def test_wrong_credentials_fail_at_once(engine: str, rclone_server: Server) -> None:
    bucket = new_bucket(rclone_server.url)
    with opened(engine, rclone_server.url, bucket, secret_key="NOTTHESECRET") as objects:
        uses: list[Callable[[], object]] = [
            lambda: objects.put("key", [b"x"]),
            lambda: objects.get("key"),
            lambda: objects.get_many([("key", 0, 1), ("other", 0, 1)]),
            lambda: objects.put_if_absent("key", [b"x"]),
            lambda: objects.put("large", [bytes(20 << 20)]),
        ]
        for use in uses:
            with pytest.raises(ShuffleStorageError, match=r"access was denied.*check the access key") as raised:
                use()
            assert bucket in str(raised.value)
            assert rclone_server.url in str(raised.value)
            assert "NOTTHESECRET" not in str(raised.value)
            assert "gave up" not in str(raised.value), "it is not tried again"


def test_no_credentials_at_all_are_denied(engine: str, rclone_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    objects = open_objects(Medium.of_s3(engine, S3Settings("bucket", rclone_server.url)))
    with pytest.raises(ShuffleStorageError, match="access was denied"):
        objects.get("key")
    objects.close()


def test_a_bucket_that_is_not_there_is_told(engine: str, rclone_server: Server) -> None:
    with opened(engine, rclone_server.url, "no-such-bucket") as objects:
        for use in (lambda: objects.get("key"), lambda: objects.put("key", [b"x"]), lambda: objects.delete_prefix("a")):
            with pytest.raises(ShuffleStorageError, match="no such bucket"):
                use()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("cut", ["announced", "agreed", "emptied"])
def test_a_body_cut_short_is_never_taken_for_data(
    engine: str, cut: str, rclone_server: Server, s3_proxy: Callable[[str], Proxy]
) -> None:
    proxy = s3_proxy(rclone_server.url)
    with opened(engine, proxy.url, new_bucket(rclone_server.url), deadline_s=0.3) as objects:
        objects.put("key", [b"0123456789" * 100])
        objects.put("large", [os.urandom(17 << 20)])
        proxy.trouble.cut = cut
        for read in (
            lambda: objects.get("key"),
            lambda: objects.get("key", 5),
            lambda: objects.get("key", 5, 500),
            lambda: objects.get_many([("key", 0, 10), ("key", 10, 20)]),
            lambda: objects.get("large"),
        ):
            with pytest.raises(ShuffleStorageError):
                read()
        proxy.trouble.cut = None
        assert bytes(objects.get("key", 5, 15)) == b"5678901234"


def test_an_answer_lost_on_the_way_does_not_turn_the_first_into_a_second(
    engine: str, moto_server: Server, s3_proxy: Callable[[str], Proxy]
) -> None:
    """The conditional put was done, and nobody heard: tried again, it meets its own object."""
    proxy = s3_proxy(moto_server.url)
    with opened(engine, proxy.url, new_bucket(moto_server.url)) as objects:
        assert objects.put_if_absent("warm", [b"x"])
        proxy.trouble.lose_answers = 1
        assert objects.put_if_absent("key", [b"first"])
        proxy.trouble.lose_answers = 1
        assert not objects.put_if_absent("key", [b"first"])
        assert bytes(objects.get("key")) == b"first"


def test_the_server_is_asked_once_whether_it_honours_conditions(
    engine: str, rclone_server: Server, moto_server: Server, s3_proxy: Callable[[str], Proxy]
) -> None:
    for server in (rclone_server, moto_server):
        proxy = s3_proxy(server.url)
        with opened(engine, proxy.url, new_bucket(server.url)) as objects:
            for number in range(3):
                try:
                    objects.put_if_absent(f"key/{number}", [b"x"])
                except UnsupportedError:
                    assert server is rclone_server
            puts = [line for line in proxy.trouble.seen if line.startswith("PUT")]
            assert sum("probe" in line for line in puts) == 2
            assert sum("key" in line for line in puts) == (0 if server is rclone_server else 3)


def test_uploads_never_finished_go_with_their_prefix(engine: str, rclone_server: Server) -> None:
    """A mapper that was killed half-way leaves parts that no listing shows."""
    from s3servers import s3_client

    bucket = new_bucket(rclone_server.url)
    client = s3_client(rclone_server.url)
    for key in ("doomed/a", "other/b"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    with opened(engine, rclone_server.url, bucket) as objects:
        assert objects.delete_prefix("doomed/") == 0
        with pytest.raises(SegmentNotFoundError):
            objects.get("doomed/a")
    left = [each["Key"] for each in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
    client.close()
    assert left == ["other/b"]
