"""Names of places, and the objects in them: files here, memory, and what is said when something is wrong."""

import os
from pathlib import Path
from typing import Any

import pytest

from lithops_shm.placement.storages import storages_of
from seer_integration.datasets.location import Location, location_of, matches
from seer_integration.datasets.places import Places
from seer_integration.errors import DatasetError


def nobody(name: str) -> Any:
    raise AssertionError(f"nobody should ask for {name}")


def test_names_lead_to_places() -> None:
    home = os.path.expanduser("~")
    assert location_of("a/b.csv", "bucket", None, "minio") == Location("minio", "bucket", "a/b.csv")
    assert location_of("a/", "bucket", "shm", "minio") == Location("shm", "bucket", "a/")
    assert location_of("s3://bucket/a/b", None, None, "shm") == Location("aws_s3", "bucket", "a/b")
    assert location_of("minio://bucket", None, None, "shm") == Location("minio", "bucket", "")
    assert location_of("file:///data/x/", None, None, "shm") == Location(None, "", "/data/x/")
    assert location_of("~/x", None, None, "shm").key == f"{home}/x"
    assert location_of("x.csv", None, None, "shm").key == f"{os.getcwd()}/x.csv"
    assert location_of("/", None, None, "shm").key == "/"
    for file in ("s3:///key", "https://host/x.csv"):
        with pytest.raises(DatasetError, match=file.partition(":")[0]):
            location_of(file, None, None, "shm")


@pytest.mark.parametrize(
    ("key", "pattern", "found"),
    [
        ("a/b.csv", "a/*.csv", True),
        ("a/b/c.csv", "a/*.csv", False),
        ("a/b/c.csv", "a/**/*.csv", True),
        ("a/c.csv", "a/**/*.csv", True),
        ("a/b", "a/?", True),
        ("a/[1]", "a/[1]", True),
        ("a/1", "a/[12]", True),
        ("b/1", "a/*", False),
    ],
)
def test_patterns(key: str, pattern: str, found: bool) -> None:
    assert matches(key, pattern) is found


@pytest.fixture(params=["files", "shm"])
def place(request: pytest.FixtureRequest, tmp_path: Path, shm_directory: Path) -> Any:
    if request.param == "files":
        yield Location(None, "", f"{tmp_path}/"), Places(nobody)
        return
    config = {"lithops": {"storage": "shm"}, "shm": {"directory": str(shm_directory)}}
    with storages_of(config) as storage_of, Places(storage_of) as places:
        yield Location("shm", "bucket", "base/"), places
    storage_of("shm").storage_handler.store.close()


def test_objects_are_found_by_name_prefix_and_pattern(place: tuple[Location, Places]) -> None:
    base, places = place
    for name in ("d/1.csv", "d/2.csv", "d/deep/3.csv", "d/_SUCCESS", "d/_tmp/4.csv", "e/[x].csv"):
        places.put(base.at(base.key + name), [name.encode(), b"!"])

    def found(name: str, **how: bool) -> list[str]:
        return [each.key.removeprefix(base.key) for each in places.find(base.at(base.key + name), **how)]

    assert found("d/1.csv") == ["d/1.csv"]
    assert found("d/_tmp/4.csv") == ["d/_tmp/4.csv"]
    assert found("d/") == found("d") == found("d/**/*.csv") == ["d/1.csv", "d/2.csv", "d/deep/3.csv"]
    assert found("d/*.csv") == ["d/1.csv", "d/2.csv"]
    assert found("d/", hidden=True) == ["d/1.csv", "d/2.csv", "d/_SUCCESS", "d/_tmp/4.csv", "d/deep/3.csv"]
    assert found("e/[x].csv") == ["e/[x].csv"]
    assert found("nothing/") == found("*.none") == []
    assert places.delete_prefix(base.at(base.key + "d/")) == 5
    assert found("", hidden=True) == ["e/[x].csv"]


def test_objects_are_replaced_whole_or_only_when_absent(place: tuple[Location, Places]) -> None:
    base, places = place
    where = base.at(base.key + "x/june-1")
    assert places.head(where) is None
    assert places.put(where, [b"old", b"", b"er"]) == 5
    before, view = places.head(where), places.read(where)
    assert not places.put_if_absent(where, [b"not"])
    assert places.put(where, [b"newer"]) == 5
    after = places.head(where)
    assert before is not None
    assert after is not None
    assert before.nbytes == after.nbytes
    assert before.version != after.version
    assert view.to_pybytes() == b"older"
    assert places.read(where, 1, 3).to_pybytes() == b"ew"
    with places.open(where) as file:
        assert file.size() == 5
        assert file.read_at(2, 3) == b"er"
    assert places.put_if_absent(base.at(base.key + "x/june-2"), [b"first"])
    assert len(places.find(base.at(base.key + "x/"), hidden=True)) == 2
    places.delete([where, where.at(base.key + "x/none")])
    with pytest.raises(DatasetError, match=r"x/june-1: no .*; did you mean june-2\?"):
        places.read(where)


def test_what_is_wrong_is_said_with_what_to_do(place: tuple[Location, Places]) -> None:
    base, places = place
    where = base.at(base.key + "x")
    places.put(where, [b"123"])
    with pytest.raises(DatasetError, match=r"bytes 2 to 9 were asked for, and .* has 3"):
        places.read(where, 2, 9)
    if base.storage is None:
        with pytest.raises(DatasetError, match="File exists; a component before the last is a file"):
            places.put(where.at(f"{where.key}/y"), [b"1"])


def test_a_storage_that_is_not_configured_is_named() -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"no module {name}")

    with pytest.raises(DatasetError, match=r"the storage 'fog' cannot be opened: no module fog; describe it .* `fog:`"):
        Places(missing).find(Location("fog", "bucket", "x"))
