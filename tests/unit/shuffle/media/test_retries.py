"""Trying again: what, how often, for how long; with a clock that is turned by hand."""

import asyncio

import pytest

from lithops_shm.errors import SegmentNotFoundError, ShuffleStorageError
from lithops_shm.shuffle.media.failures import Failed, Failure, Kind, Table, of_answer, reported
from lithops_shm.shuffle.media.retries import Backoff, RetryPolicy, again_after, retried, retried_async


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Script:
    """Does one after the other of what it was given: raises it, or gives it."""

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)

    def __call__(self) -> object:
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step


def kinds(error: Exception) -> Failure:
    return Failure(Kind.TRANSIENT if isinstance(error, ConnectionError) else Kind.DENIED, str(error))


TABLE = Table((OSError,), kinds)
FULL = {"uniform": lambda _, high: high}


def test_pauses_double_up_to_the_cap() -> None:
    clock = Clock()
    with pytest.raises(Failed) as raised:
        retried(Script(ConnectionError("no")), TABLE, RetryPolicy(10, 0.5, 3), sleep=clock.sleep, clock=clock, **FULL)
    assert clock.slept == [0.5, 1, 2, 3, 3]  # the next would begin at 12.5 s
    assert (raised.value.tries, raised.value.seconds) == (6, 9.5)
    assert isinstance(raised.value.__cause__, ConnectionError)


def test_pauses_are_drawn_from_nothing_up() -> None:
    backoff = Backoff(RetryPolicy(1e9))
    pauses = [[Backoff(RetryPolicy()).pause() or 0 for _ in range(1000)], [backoff.pause() or 0 for _ in range(3000)]]
    assert 0 <= min(pauses[0]) < 0.005 < 0.045 < sum(pauses[0]) / 1000 < 0.055 < max(pauses[0]) <= 0.1
    assert max(pauses[1]) <= 5


def test_what_works_in_the_end_is_given() -> None:
    clock = Clock()
    action = Script(ConnectionError(), ConnectionError(), "result")
    assert retried(action, TABLE, RetryPolicy(), sleep=clock.sleep, clock=clock) == "result"
    assert len(clock.slept) == 2
    assert asyncio.run(retried_async(_awaitable(Script(ConnectionError(), 7)), TABLE, RetryPolicy(base_s=0))) == 7


def _awaitable(action):  # type: ignore[no-untyped-def]
    async def run() -> object:
        return action()

    return run


def test_what_will_fail_again_fails_at_once() -> None:
    clock = Clock()
    with pytest.raises(Failed) as raised:
        retried(Script(PermissionError("no")), TABLE, RetryPolicy(), about="key", sleep=clock.sleep, clock=clock)
    assert clock.slept == []
    assert (raised.value.failure.kind, raised.value.about, raised.value.tries) == (Kind.DENIED, "key", 1)
    with pytest.raises(Failed):
        asyncio.run(retried_async(_awaitable(Script(PermissionError())), TABLE, RetryPolicy()))


def test_what_is_no_failure_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        retried(Script(ZeroDivisionError()), TABLE, RetryPolicy())


def test_a_lost_upload_is_begun_anew_and_nothing_else() -> None:
    def failed(kind: Kind) -> Failed:
        return Failed(Failure(kind, ""), "", 1, 0)

    policy = RetryPolicy(deadline_s=1, base_s=0)
    lost = failed(Kind.LOST_UPLOAD)
    assert again_after(Kind.LOST_UPLOAD, Script(lost, lost, "done"), policy) == "done"
    with pytest.raises(Failed):
        again_after(Kind.LOST_UPLOAD, Script(failed(Kind.TRANSIENT), "done"), policy)
    with pytest.raises(Failed):
        again_after(Kind.LOST_UPLOAD, Script(lost), RetryPolicy(deadline_s=0))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "InternalError", Kind.TRANSIENT),
        (502, "", Kind.TRANSIENT),
        (503, "SlowDown", Kind.TRANSIENT),
        (504, "504", Kind.TRANSIENT),
        (429, "TooManyRequests", Kind.TRANSIENT),
        (400, "RequestTimeout", Kind.TRANSIENT),
        (409, "ConditionalRequestConflict", Kind.TRANSIENT),
        (400, "InvalidArgument", Kind.REFUSED),
        (501, "NotImplemented", Kind.REFUSED),
        (403, "SignatureDoesNotMatch", Kind.DENIED),
        (400, "ExpiredToken", Kind.DENIED),
        (404, "404", Kind.MISSING),
        (404, "NoSuchBucket", Kind.NO_BUCKET),
        (404, "NoSuchUpload", Kind.LOST_UPLOAD),
        (412, "PreconditionFailed", Kind.EXISTS),
        (416, "InvalidRange", Kind.PAST_END),
    ],
)
def test_answers_mean_what_s3_says_they_mean(status: int, code: str, kind: Kind) -> None:
    failure = of_answer(status, code, "words")
    assert failure.kind is kind
    assert "words" in failure.reason
    assert str(status) in failure.reason


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_words_for_the_user(kind: Kind) -> None:
    error = reported(Failed(Failure(kind, "HTTP 599"), "a/key", 3, 1.25), "bucket 'b' of http://host", "b")
    if kind is Kind.MISSING:
        assert isinstance(error, SegmentNotFoundError)
        assert error.args == ("b", "a/key")
    else:
        assert isinstance(error, ShuffleStorageError)
        assert "http://host" in str(error)
        assert "HTTP 599" in str(error)


def test_botocore_s_errors_are_all_told() -> None:
    import botocore.exceptions as boto

    from lithops_shm.shuffle.media.clients import ERRORS, failure_of

    def answer(status: int, code: str) -> boto.ClientError:
        said = {"Error": {"Code": code, "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return boto.ClientError(said, "GetObject")

    transient = [
        boto.EndpointConnectionError(endpoint_url="u", error="e"),
        boto.ConnectionClosedError(endpoint_url="u"),
        boto.ReadTimeoutError(endpoint_url="u"),
        boto.ConnectTimeoutError(endpoint_url="u"),
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        boto.ResponseStreamingError(error="e"),
        boto.HTTPClientError(error="e"),
        ConnectionResetError("reset"),
        TimeoutError(),
        answer(503, "SlowDown"),
    ]
    denied = [boto.NoCredentialsError(), boto.PartialCredentialsError(provider="p", cred_var="v"), answer(403, "x")]
    refused = [boto.ParamValidationError(report="r"), boto.NoRegionError(), answer(400, "InvalidArgument")]
    for kind, errors in ((Kind.TRANSIENT, transient), (Kind.DENIED, denied), (Kind.REFUSED, refused)):
        for error in errors:
            assert isinstance(error, ERRORS)
            assert failure_of(error).kind is kind, error
            assert failure_of(error).reason
