"""What a forked child has of its parent's connections: nothing."""

import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3.connectionpool

from lithops_shm import forks
from lithops_shm.forks import PerProcess, protect_forks


def in_child(check: Callable[[], bool]) -> bool:
    """What `check` says in a forked child."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            status = 0 if check() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_each_process_makes_its_own_and_ends_its_own() -> None:
    closed: list[int] = []
    held = PerProcess(os.getpid, closed.append)
    assert held.get() == held.get() == os.getpid()
    assert in_child(lambda: held.get() == os.getpid())
    assert in_child(lambda: held.close() is None and not closed)
    held.close()
    held.close()
    assert closed == [os.getpid()]
    held.get()
    held.close()


def test_a_child_forked_while_a_thread_is_making_it_does_not_wait_for_that() -> None:
    making, go_on = threading.Event(), threading.Event()

    def make() -> int:
        making.set()
        go_on.wait(10)
        return os.getpid()

    held = PerProcess(make, lambda _: None)
    thread = threading.Thread(target=held.get)
    thread.start()
    making.wait()

    def check() -> bool:
        go_on.set()
        return held.get() == os.getpid()

    assert in_child(check)
    go_on.set()
    thread.join()


def test_what_is_inherited_is_disowned_and_kept() -> None:
    """Torn down in the child, it would take the parent's with it."""
    disowned: list[object] = []
    held = PerProcess(object, lambda _: None, disowned.append)
    mine = held.get()
    assert in_child(lambda: disowned == [mine] and mine in forks._inherited)
    assert disowned == []
    held.close()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        number = int(self.path.rpartition("/")[2].partition("?")[0])
        body = bytes([number]) * 3000
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        time.sleep(0.002)  # so that others write into the same connection meanwhile
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def foreign_client() -> Iterator[Any]:
    """A client that somebody else made, with a connection open to a server that keeps it."""
    import botocore.session

    from lithops_shm.shuffle.media.clients import LOADER

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    session = botocore.session.Session()
    session.register_component("data_loader", LOADER)
    client = session.create_client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server.server_address[1]}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    yield client
    client.close()
    server.shutdown()
    server.server_close()
    thread.join()


def read(client: Any, number: int) -> bool:
    body = client.get_object(Bucket="bucket", Key=str(number))["Body"].read()
    return bool(body == bytes([number]) * 3000)


def connections_to(port: int) -> int:
    """How many descriptors of this process are connected to that port."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as copy:
                    count += copy.getpeername()[1] == port
    return count


@pytest.mark.parametrize("way", ["finalizers", "referrers"])
def test_foreign_clients_connect_anew_in_children(
    foreign_client: Any, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Lithops' own do, which it hands to the workers it forks. The parent's connection stays open."""
    if way == "referrers":
        monkeypatch.setattr(forks, "_finalizes_pools", lambda: False)
    protect_forks()
    protect_forks()
    assert read(foreign_client, 1)
    port = urlsplit(foreign_client.meta.endpoint_url).port or 0
    assert connections_to(port) == 1

    def check() -> bool:
        return connections_to(port) == 0 and all(read(foreign_client, number) for number in range(5))

    def child() -> int:
        pid = os.fork()
        if pid == 0:
            status = 2
            try:
                status = 0 if check() else 1
            finally:
                os._exit(status)
        return pid

    children = [child() for _ in range(8)]
    assert all(read(foreign_client, number) for number in range(20))
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 8
    assert connections_to(port) == 1


def test_the_way_through_finalizers_is_there(foreign_client: Any) -> None:
    """urllib3 2 and the last of 1.26 have it; without it every fork costs some 50 ms."""
    import botocore.awsrequest

    read(foreign_client, 1)
    gc.collect()
    kinds = (botocore.awsrequest.AWSHTTPConnectionPool, botocore.awsrequest.AWSHTTPSConnectionPool)
    assert hasattr(urllib3.connectionpool, "_close_pool_connections")
    assert len(forks._instances(kinds)) >= 1


def test_protection_costs_little() -> None:
    began = time.thread_time()
    for _ in range(20):
        forks._empty_pools_of_botocore()
    assert (time.thread_time() - began) / 20 < 0.005
