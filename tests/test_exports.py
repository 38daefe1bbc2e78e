"""What the package promises by name."""

import ast
import copy
import importlib
import inspect
import pickle
from pathlib import Path

import cloudpickle
import pytest

import lithops_shm
from lithops_shm import errors

KINDS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.ShmError)]
SAMPLES = {
    errors.SegmentNotFoundError: ("bucket", "key"),
    errors.InvalidKeyError: ("key", "\0", "a reason"),
    errors.InvalidRangeError: ("bytes=x", "a reason"),
    errors.SegmentCorruptError: ("bucket/key", "a reason"),
    errors.StoreFullError: (28, "the store is full"),
    errors.SessionLostError: ("abc",),
    errors.UnsafeDirectoryError: ("/a/b", "a reason"),
    errors.NotSerializableError: ("socket", "a reason"),
    errors.LayoutVersionError: (9, 1),
    errors.WorkerDiedError: ("abc-1-M000-00000", "a reason", "some output"),
    errors.WorkerOutOfMemoryError: ("abc-1-M000-00000", "a reason", ""),
    errors.WorkerPoolError: ("abc-1-M000-00000", "a reason"),
    errors.NotAdmittedError: ("abc-1-M000", 9, 1),
    errors.CallTimeoutError: ("abc-1-M000-00000", 5),
    errors.PartitionerError: ("column 'k'", "there is none"),
    errors.SchemaMismatchError: (1, "k", "int32", 0, "int64"),
    errors.ShuffleStorageError: ("bucket 'b'", "it is away", "start it"),
    errors.StaleAttemptError: ("mapper 3", 1, 0),
    errors.IncompleteShuffleError: ("abc-1", [1, 2]),
    errors.ProfileError: ("input_bytes", -1, "is negative"),
    errors.NoPlaceError: (("shm: too little memory",), "give it more"),
    errors.ConfidentialityError: ("lithops.backend", "aws_lambda", "name another"),
}
# Programs and logs hold on to these: add, never change.
CODES = {
    "CallTimeoutError": "SHM-CALL-TIMEOUT",
    "CodecError": "SHM-CODEC",
    "ConfidentialityError": "SHM-CONFIDENTIAL",
    "ConfigError": "SHM-CONFIG",
    "IncompleteShuffleError": "SHM-INCOMPLETE-SHUFFLE",
    "InvalidKeyError": "SHM-INVALID-KEY",
    "InvalidRangeError": "SHM-INVALID-RANGE",
    "LayoutVersionError": "SHM-LAYOUT-VERSION",
    "NoPlaceError": "SHM-NO-PLACE",
    "NotAdmittedError": "SHM-NOT-ADMITTED",
    "NotSerializableError": "SHM-NOT-SERIALIZABLE",
    "PartitionerError": "SHM-PARTITIONER",
    "ProfileError": "SHM-PROFILE",
    "SchemaMismatchError": "SHM-SCHEMA",
    "SegmentCorruptError": "SHM-CORRUPT",
    "SegmentNotFoundError": "SHM-NOT-FOUND",
    "SelectorError": "SHM-SELECTOR",
    "SessionLostError": "SHM-SESSION-LOST",
    "ShmError": "SHM",
    "ShuffleError": "SHM-SHUFFLE",
    "ShuffleStorageError": "SHM-SHUFFLE-STORAGE",
    "StaleAttemptError": "SHM-STALE-ATTEMPT",
    "StoreError": "SHM-STORE",
    "StoreFullError": "SHM-FULL",
    "UnsafeDirectoryError": "SHM-UNSAFE-DIRECTORY",
    "UnsupportedError": "SHM-UNSUPPORTED",
    "WorkerDiedError": "SHM-WORKER-DIED",
    "WorkerError": "SHM-WORKER",
    "WorkerOutOfMemoryError": "SHM-WORKER-OOM",
    "WorkerPoolError": "SHM-WORKER-POOL",
}


def sample(kind: type[errors.ShmError]) -> errors.ShmError:
    return kind(*SAMPLES.get(kind, ("a sentence",)))


def names_for_type_checkers(path: str) -> set[str]:
    """What a module of the package imports from it for type checkers alone."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    imported = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imported if (node.module or "").partition(".")[0] == "lithops_shm"]
    return {alias.asname or alias.name for node in ours for alias in node.names}


def test_all_is_what_is_exported() -> None:
    public = set(lithops_shm.__all__)
    assert sorted(public) == lithops_shm.__all__
    assert public == names_for_type_checkers(lithops_shm.__file__)
    for name in public:
        assert getattr(lithops_shm, name) is not None
    # Rooms show up as attributes once something has imported them; all else that shows is a promise.
    shown = {name for name in dir(lithops_shm) if not name.startswith("_") and name.upper() != name}
    rooms = {name for name in shown if inspect.ismodule(getattr(lithops_shm, name)) and name not in public}
    assert shown - rooms - {"Any", "annotations"} == public
    for name in rooms:
        assert importlib.import_module(f"lithops_shm.{name}") is getattr(lithops_shm, name)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lithops_shm.nothing


def test_every_error_is_exported_and_ends_in_error() -> None:
    assert sorted(errors.__all__) == sorted(kind.__name__ for kind in KINDS)
    assert all(kind.__name__.endswith("Error") for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("pickler", [pickle, cloudpickle], ids=lambda module: module.__name__)
def test_an_error_travels_between_processes(kind: type[errors.ShmError], pickler: object) -> None:
    """With its message and its data, also through Lithops, which uses cloudpickle, and when it was caught as a copy."""
    error = sample(kind)
    travelled = pickle.loads(pickler.dumps(error))  # type: ignore[attr-defined]
    for again in (travelled, copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error) != ""
        assert again.args == error.args
        assert again.code == error.code


def test_codes_are_unique_and_stay() -> None:
    assert {kind.__name__: kind.code for kind in KINDS} == CODES
    assert len(set(CODES.values())) == len(CODES)
    assert all("code" in vars(kind) for kind in KINDS), "a code is a class's own"


def test_errors_are_caught_as_what_they_are_elsewhere() -> None:
    """The built-in kinds that callers know."""
    assert issubclass(errors.SegmentNotFoundError, LookupError)
    assert issubclass(errors.StoreFullError, OSError)
    assert issubclass(errors.NotSerializableError, TypeError)
    for kind in (errors.ConfigError, errors.InvalidKeyError, errors.InvalidRangeError, errors.ProfileError):
        assert issubclass(kind, ValueError)
    full = sample(errors.StoreFullError)
    assert isinstance(full, OSError)
    assert full.errno == 28


def test_a_long_key_does_not_flood_a_message() -> None:
    assert len(str(errors.SegmentNotFoundError("b", "k" * 5000))) < 250
