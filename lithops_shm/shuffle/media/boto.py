"""The engine ``boto3``: requests from a few threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore.config import Config

from lithops_shm.forks import PerProcess
from lithops_shm.shuffle.media.clients import ERRORS, LOADER, configuration, credentials, failure_of
from lithops_shm.shuffle.media.failures import Table
from lithops_shm.shuffle.media.requests import CONNECTIONS, Answer, Request, check_length
from lithops_shm.shuffle.media.retries import RetryPolicy, retried
from lithops_shm.shuffle.media.settings import S3Settings

__all__ = ["BotoEngine"]

_TABLE = Table(ERRORS, failure_of)
_READ = 1 << 20  # urllib3 reads into memory of its own first; this much of it stays in the cache


@dataclass(slots=True)
class _Client:
    """A client, which any number of threads may use, and the threads that do when there is more than one request."""

    api: Any
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="shm-s3")
    )


class BotoEngine:
    """An :class:`~lithops_shm.shuffle.media.requests.Engine` of one botocore client a process."""

    def __init__(self, settings: S3Settings, policy: RetryPolicy) -> None:
        self._settings = settings
        self._policy = policy
        self._client = PerProcess(self._connect, _disconnect)

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        client = retried(self._client.get, _TABLE, self._policy)
        if len(requests) <= 1:
            return [self._send(client.api, request) for request in requests]
        futures = [client.threads.submit(self._send, client.api, request) for request in requests]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
            wait(futures)  # they write into memory of the caller's
        # The first that failed, not one that was called off for it.
        for future in futures:
            if not future.cancelled():
                future.result()
        return [future.result() for future in futures]

    def close(self) -> None:
        self._client.close()

    def _connect(self) -> _Client:
        session = botocore.session.Session()
        session.register_component("data_loader", LOADER)
        return _Client(
            session.create_client("s3", config=Config(**configuration(self._settings)), **credentials(self._settings))
        )

    def _send(self, api: Any, request: Request) -> Answer:
        def once() -> Answer:
            response = getattr(api, request.operation)(**request.all_arguments(self._settings.bucket))
            return _received(response, request) if "Body" in response else Answer(response)

        return retried(once, _TABLE, self._policy, about=request.key)


def _received(response: dict[str, Any], request: Request) -> Answer:
    body = response.pop("Body")
    try:
        request.check_answer(response)
        if request.into is None:
            data = body.read()
            check_length(len(data), response, request)
            return Answer(response, data)
        came = 0
        while came < request.into.nbytes and (count := body.readinto(request.into[came : came + _READ])):
            came += count
        check_length(came, response, request)
        return Answer(response)
    except BaseException:
        body.close()  # with bytes left in it, the connection is of no use
        raise


def _disconnect(client: _Client) -> None:
    client.threads.shutdown()
    client.api.close()
