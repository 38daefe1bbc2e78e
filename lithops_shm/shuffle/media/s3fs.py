"""The engine ``s3fs``: requests as tasks of one event loop, through the asynchronous side of s3fs."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import aiohttp
import s3fs
from aiobotocore.session import AioSession  # type: ignore[import-untyped]

from lithops_shm.forks import PerProcess
from lithops_shm.shuffle.media.clients import ERRORS, LOADER, configuration, credentials, failure_of
from lithops_shm.shuffle.media.failures import Failure, Kind, ShortReadError, Table
from lithops_shm.shuffle.media.requests import CONNECTIONS, Answer, Request, check_length
from lithops_shm.shuffle.media.retries import RetryPolicy, retried, retried_async
from lithops_shm.shuffle.media.settings import S3Settings

__all__ = ["S3fsEngine"]

Result = TypeVar("Result")


def _failure_behind(error: BaseException) -> Failure:
    """s3fs raises built-in errors for S3's codes, with botocore's behind them, which says more."""
    if isinstance(error, (aiohttp.ClientError, asyncio.TimeoutError)):  # of a body; others come as botocore's
        return Failure(Kind.TRANSIENT, str(error) or type(error).__name__)
    return failure_of(error.__cause__ if isinstance(error.__cause__, ERRORS) else error)


_TABLE = Table((*ERRORS, aiohttp.ClientError, asyncio.TimeoutError), _failure_behind)


class _FileSystem:
    """An ``S3FileSystem`` with an event loop of its own, which runs in a thread of its own.

    Not fsspec's: that one is shared with everybody, and never ends.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._thread = threading.Thread(target=self._loop.run_forever, name="shm-s3fs", daemon=True)
        self._thread.start()
        session = AioSession()
        session.register_component("data_loader", LOADER)
        self._api = s3fs.S3FileSystem(
            asynchronous=True,
            skip_instance_cache=True,
            use_listings_cache=False,
            session=session,
            config_kwargs=configuration(settings),
            client_kwargs=credentials(settings),
        )
        self._api.retries = 1  # we try again, by one rule for all engines
        self._slots = asyncio.Semaphore(CONNECTIONS)
        try:
            self._client = self.run(self._api.set_session())
        except BaseException:
            self._stop()
            raise

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What the coroutine gives, from any thread but the loop's."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def send_all(self, requests: Sequence[Request], bucket: str, policy: RetryPolicy) -> list[Answer]:
        tasks = [asyncio.ensure_future(self._send(request, bucket, policy)) for request in requests]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # they write into memory of the caller's

    async def _send(self, request: Request, bucket: str, policy: RetryPolicy) -> Answer:
        async def once() -> Answer:
            response = await self._api._call_s3(request.operation, **request.all_arguments(bucket))
            return await _received(response, request) if "Body" in response else Answer(response)

        async with self._slots:
            return await retried_async(once, _TABLE, policy, about=request.key)

    def close(self) -> None:
        self.run(self._client.close())
        self._stop()

    def _stop(self) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def disown(self) -> None:
        """In a forked child: the loop has no thread here, and its epoll set is the parent's too."""
        self._loop.set_exception_handler(lambda *_: None)  # what it says about being left open
        self._selector.close()


class S3fsEngine:
    """An :class:`~lithops_shm.shuffle.media.requests.Engine` of one s3fs file system a process."""

    def __init__(self, settings: S3Settings, policy: RetryPolicy) -> None:
        self._settings = settings
        self._policy = policy
        self._files = PerProcess(lambda: _FileSystem(settings), _FileSystem.close, _FileSystem.disown)

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        files = retried(self._files.get, _TABLE, self._policy)
        return files.run(files.send_all(requests, self._settings.bucket, self._policy))

    def close(self) -> None:
        self._files.close()


async def _received(response: dict[str, Any], request: Request) -> Answer:
    body = response.pop("Body")
    try:
        request.check_answer(response)
        try:
            data = await body.read()
        except RuntimeError as error:  # what aiohttp says of a connection that was closed before it began to read
            raise ShortReadError(0, response.get("ContentLength", 0)) from error
        check_length(len(data), response, request)
    finally:
        body.close()
    if request.into is None:
        return Answer(response, data)
    request.into[:] = data
    return Answer(response)
