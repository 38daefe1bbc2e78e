"""Pages of a listing, against the plain statement of what they add up to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithops_shm.errors import ConfigError, InvalidKeyError
from lithops_shm.plugin.storage.listing import V1, V2, Request, answer, page
from lithops_shm.store import SegmentInfo

keys = st.lists(st.text("ab/\u00e9", min_size=1, max_size=6), unique=True).map(sorted)


def infos(names: list[str]) -> list[SegmentInfo]:
    return [SegmentInfo("bucket", name, 1, 1, "session", False) for name in names]


def rolled(name: str, prefix: str, delimiter: str) -> str:
    found = name.find(delimiter, len(prefix)) if delimiter else -1
    return name[: found + len(delimiter)] if found >= 0 else name


@given(keys, st.sampled_from(["", "a", "a/", "/"]), st.sampled_from(["", "/", "b", "//"]), st.integers(1, 4))
def test_pages_add_up(names: list[str], prefix: str, delimiter: str, limit: int) -> None:
    under = infos([name for name in names if name.startswith(prefix)])
    entries: list[str] = []
    after, resumed = "", False
    while True:
        found = page(under, prefix, delimiter, limit, after, resumed=resumed)
        assert len(found.objects) + len(found.prefixes) <= limit
        entries += sorted([*(info.key for info in found.objects), *found.prefixes])
        if not found.truncated:
            break
        assert found.last == entries[-1]
        after, resumed = found.last, True
    assert entries == sorted({rolled(info.key, prefix, delimiter) for info in under})


def test_beginning_within_a_prefix_still_shows_it() -> None:
    found = page(infos(["a/b", "a/c", "b"]), "", "/", 10, "a/b", resumed=False)
    assert (found.prefixes, [info.key for info in found.objects]) == (("a/",), ["b"])
    found = page(infos(["a/b", "a/c", "b"]), "", "/", 10, "a/", resumed=True)
    assert (found.prefixes, [info.key for info in found.objects]) == ((), ["b"])


@pytest.mark.parametrize("call", [V1, V2])
def test_no_entries_asked_for_ends_the_listing(call: str) -> None:
    response = answer(Request.of(call, {"Bucket": "b", "MaxKeys": 0}), infos(["a"]))
    assert not response["IsTruncated"]
    assert "Contents" not in response


def test_a_page_is_no_longer_than_s3s() -> None:
    response = answer(Request.of(V2, {"Bucket": "b", "MaxKeys": 5000}), infos([f"{n:04}" for n in range(1001)]))
    assert (response["KeyCount"], response["MaxKeys"], response["IsTruncated"]) == (1000, 1000, True)


def test_a_token_carries_any_key() -> None:
    for name in ("a", "\U0001f600\n", "%2F+/ "):
        first = answer(Request.of(V2, {"Bucket": "b", "MaxKeys": 1}), infos([name, name + "z"]))
        request = Request.of(V2, {"Bucket": "b", "ContinuationToken": first["NextContinuationToken"]})
        assert (request.after, request.resumed) == (name, True)


@pytest.mark.parametrize("token", ["%%%", "\u00e9", "_w==", "a", 5])
def test_foreign_tokens(token: object) -> None:
    with pytest.raises(InvalidKeyError, match="no page of a listing gave it"):
        Request.of(V2, {"Bucket": "b", "ContinuationToken": token})


def test_arguments_of_the_other_call() -> None:
    with pytest.raises(ConfigError, match="Marker"):
        Request.of(V2, {"Bucket": "b", "Marker": "a"})
    with pytest.raises(ConfigError, match="StartAfter"):
        Request.of(V1, {"Bucket": "b", "StartAfter": "a"})
