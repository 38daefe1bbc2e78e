"""Keys as paths: every key has one, none leaves the tree, prefixes stay prefixes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithops_shm.errors import InvalidKeyError
from lithops_shm.store import keys

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
hostile = st.lists(
    st.sampled_from(["..", ".", "", "a", "@", "%", "%2E", "~", "%long", "\0", "\n", "é", "/"]), min_size=1
)
any_key = texts | hostile.map("/".join).filter(bool)


@given(any_key)
def test_a_path_stays_below_its_bucket(key: str) -> None:
    path = keys.locate("bucket", key).path
    parts = path.split("/")
    assert parts[0] == "bucket"
    assert all(part not in ("", ".", "..") and not part.startswith(".") and len(part.encode()) <= 255 for part in parts)
    assert "\0" not in path
    assert path.endswith("@")
    assert not any(part.endswith("@") for part in parts[:-1])


@given(any_key, any_key)
def test_two_keys_never_share_a_path(one: str, other: str) -> None:
    assert (keys.locate("b", one).path == keys.locate("b", other).path) == (one == other)


@given(any_key)
def test_components_decode_to_what_they_were(key: str) -> None:
    location = keys.locate("b", key)
    if location.text_path is None:
        parts = location.path[:-1].split("/")[1:]
        assert "/".join(keys.decode(part) for part in parts) == key


def test_a_long_key_is_filed_under_its_digest() -> None:
    location = keys.locate("b", "x" * 5000)
    assert location.text_path is not None
    assert len(location.path) < 200
    assert keys.locate("b", "x" * 5001).path != location.path


@pytest.mark.parametrize("key", ["", None, 3, b"bytes", "\ud800", "x" * 70_000])
def test_refused_keys(key: object) -> None:
    with pytest.raises(InvalidKeyError):
        keys.locate("b", key)  # type: ignore[arg-type]


@pytest.mark.parametrize("bucket", ["", None, "\udfff", "x" * 300])
def test_refused_buckets(bucket: object) -> None:
    with pytest.raises(InvalidKeyError, match="bucket"):
        keys.locate(bucket, "key")  # type: ignore[arg-type]
