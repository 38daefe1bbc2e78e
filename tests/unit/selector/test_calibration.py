"""The file of measured rates: what is read from it, what is not, and that it is never seen half written."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithops_shm.errors import ConfigError
from lithops_shm.selector import calibration
from lithops_shm.selector.calibration import (
    LOCAL,
    Calibration,
    calibration_file,
    load_calibration,
    save_calibration,
)
from lithops_shm.selector.rates import LocalRates, RemoteRates

DAY = 86_400
FOUND = Calibration(
    LocalRates(call_s=0.001, read_bps=3e9, spread=0.2),
    {
        "aws_lambda+aws_s3": RemoteRates(start_s=3.0, total_bps=2e9),
        "aws_s3": RemoteRates(latency_s=0.04),
    },
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return save_calibration(FOUND, str(tmp_path / "calibration.json"))


def changed(file: str, change: Callable[[dict[str, Any]], object]) -> str:
    """The file with its content changed in place."""
    written = json.loads(Path(file).read_text())
    change(written)
    Path(file).write_text(json.dumps(written))
    return file


def the_note(file: str, **options: Any) -> str:
    """The one note of a file that was left aside."""
    found = load_calibration(file, **options)
    assert (found.local, found.remotes) == (LocalRates(), {})
    (note,) = found.notes
    return note


def test_what_is_saved_is_loaded(file: str) -> None:
    assert load_calibration(file) == FOUND
    assert save_calibration(load_calibration(file), file) == file
    assert load_calibration(file) == FOUND


rates = st.floats(1e-9, 1e14)


@given(
    st.builds(LocalRates, call_s=rates, fresh_bps=rates, working_set=rates),
    st.dictionaries(st.text(max_size=20), st.builds(RemoteRates, cpu=rates, total_bps=st.none() | rates), max_size=3),
)
def test_whatever_was_measured_is_loaded_exactly(
    tmp_path_factory: pytest.TempPathFactory, local: LocalRates, remotes: dict[str, RemoteRates]
) -> None:
    path = str(tmp_path_factory.getbasetemp() / "any.json")
    # The name of this machine's own rates is not one a backend can have.
    measured = Calibration(local, {name: each for name, each in remotes.items() if name != LOCAL})
    save_calibration(measured.with_local(local), path)
    found = load_calibration(path)
    assert (found.local, found.remotes) == (measured.local, measured.remotes)


def test_times_of_what_is_kept_are_kept(file: str) -> None:
    at = load_calibration(file).measured_at
    assert set(at) == {LOCAL, *FOUND.remotes}
    old = replace(FOUND, measured_at=dict.fromkeys(at, 1e9))
    again = old.with_remote("aws_s3", RemoteRates(latency_s=0.01))
    save_calibration(again, file)
    found = load_calibration(file, now=1e9)
    assert found == again
    assert found.measured_at == {LOCAL: 1e9, "aws_lambda+aws_s3": 1e9, "aws_s3": pytest.approx(time.time(), abs=60)}


def test_a_storage_is_kept_beside_a_machine_that_was_never_measured(tmp_path: Path) -> None:
    path = str(tmp_path / "storage.json")
    save_calibration(Calibration().with_remote("minio", RemoteRates(latency_s=0.5)), path)
    found = load_calibration(path)
    assert found.local == LocalRates()
    assert found.remotes["minio"].latency_s == 0.5
    assert "nothing was measured on this machine itself" in found.notes[0]
    assert LOCAL not in found.measured_at
    both = found.with_local(FOUND.local)
    save_calibration(both, path)
    assert load_calibration(path) == replace(both, notes=())


def test_functions_with_a_storage_go_before_the_storage_alone() -> None:
    assert FOUND.remote("aws_lambda", "aws_s3") == RemoteRates(start_s=3.0, total_bps=2e9)
    assert FOUND.remote("k8s", "aws_s3") == RemoteRates(latency_s=0.04)
    assert FOUND.remote("k8s", "minio") is None


def test_a_missing_file_is_defaults_unless_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert calibration_file() == str(tmp_path / "lithops-shm" / "calibration.json")
    found = load_calibration()
    assert found == Calibration(notes=found.notes)
    assert "these are defaults" in found.notes[0]
    with pytest.raises(ConfigError, match="there is no such file; run `lithops-shm calibrate`"):
        load_calibration(str(tmp_path / "named"))
    assert load_calibration(str(tmp_path / "named"), missing_ok=True).remotes == {}


def test_where_it_is_without_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "/somebody")
    assert calibration_file() == "/somebody/.config/lithops-shm/calibration.json"
    assert calibration_file("/named") == "/named"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b'{"version": 1}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"version": 1, "host": "x", "cpus": 1e999, "local": null, "remotes": {}}',
        b'{"version": 1, "host": "x", "cpus": 2, "local": null, "remotes": {"a": null}}',
        b'{"version": 1, "host": "x", "cpus": 2, "local": null, "remotes": []}',
        b'{"version": 1, "host": "x", "cpus": 2, "local": {"measured_at": 1' + b"0" * 400 + b'}, "remotes": {}}',
    ],
)
def test_a_damaged_file_is_left_aside(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "damaged.json"
    path.write_bytes(text)
    assert "is damaged, and was left aside" in the_note(str(path))
    assert path.read_bytes() == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("read_bps", 0),
        ("read_bps", -1.0),
        ("read_bps", "fast"),
        ("read_bps", None),
        ("read_bps", True),
        ("read_bps", float("nan")),
        ("read_bps", float("inf")),
        ("read_bps", [1.0]),
        ("raed_bps", 1.0),
    ],
)
def test_a_rate_that_is_none_spoils_the_file(file: str, name: str, value: object) -> None:
    assert name in the_note(changed(file, lambda written: written["local"]["rates"].update({name: value})))


@pytest.mark.parametrize(
    "change",
    [
        lambda written: written["local"].update(measured_at="yesterday"),
        lambda written: written["local"].pop("rates"),
        lambda written: written["remotes"]["aws_s3"].update(rates=[]),
        lambda written: written["remotes"].update(aws_s3=3),
        lambda written: written.update(cpus="some"),
        lambda written: written.pop("host"),
    ],
)
def test_a_section_that_is_none_spoils_the_file(file: str, change: Callable[[dict[str, Any]], object]) -> None:
    assert "is damaged" in the_note(changed(file, change))


def test_any_beginning_of_a_file_is_no_file(file: str) -> None:
    text = Path(file).read_bytes()
    for length in range(0, len(text), 97):
        Path(file).write_bytes(text[:length])
        assert "is damaged" in the_note(file)


def test_another_machines_file_is_left_aside(file: str) -> None:
    assert "measured on another machine" in the_note(changed(file, lambda written: written.update(host="other")))


def test_another_releases_file_is_left_aside(file: str) -> None:
    assert "of another release" in the_note(changed(file, lambda written: written.update(version=2)))


def test_an_old_file_is_used_and_said_to_be_old(file: str) -> None:
    now = time.time()
    assert load_calibration(file, now=now + 89 * DAY).notes == ()
    assert load_calibration(file, now=now - 89 * DAY).notes == (), "a clock that was set back says nothing"
    found = load_calibration(file, now=now + 91 * DAY)
    assert found == replace(FOUND, notes=found.notes)
    assert [note.partition(" in ")[0] for note in found.notes] == [
        "the rates of this machine",
        "those of aws_lambda+aws_s3",
        "those of aws_s3",
    ]
    assert "91 days old: run `lithops-shm calibrate` again" in found.notes[0]
    assert "`lithops-shm calibrate --storage aws_s3 --backend aws_lambda` again" in found.notes[1]


def test_other_cpus_than_were_measured_are_noticed(file: str) -> None:
    found = load_calibration(changed(file, lambda written: written.update(cpus=4096)))
    assert "measured with 4096 CPUs" in found.notes[0]
    save_calibration(found.with_remote("minio", RemoteRates()), file)
    assert "measured with 4096 CPUs" in load_calibration(file).notes[0], "another storage does not change that"
    save_calibration(found.with_local(LocalRates(call_s=1.0)), file)
    assert load_calibration(file).notes == ()


def test_a_file_that_cannot_be_read_is_an_error_only_if_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lithops-shm" / "calibration.json").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert "cannot be read (Is a directory)" in load_calibration().notes[0]
    with pytest.raises(ConfigError, match="Is a directory"):
        load_calibration(str(tmp_path))


def test_a_file_that_cannot_be_written_is_as_it_was(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = os.listdir(os.path.dirname(file))
    monkeypatch.setattr(calibration.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_calibration(Calibration(), file)
    assert load_calibration(file) == FOUND
    assert os.listdir(os.path.dirname(file)) == before


def test_where_no_file_can_be_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="File exists"):
        save_calibration(FOUND, str(tmp_path / "file" / "calibration.json"))
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        save_calibration(FOUND, str(tmp_path / "directory"))
    assert sorted(os.listdir(tmp_path)) == ["directory", "file"]


def test_a_half_written_file_is_never_seen(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is looked at in the middle of writing another, and after a death in the middle of it."""
    seen = []
    dump = json.dump

    def half(written: object, file_object: Any, **options: Any) -> None:
        dump(written, file_object, **options)
        file_object.flush()
        seen.append(load_calibration(file))
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration.json, "dump", half)
    with pytest.raises(KeyboardInterrupt):
        save_calibration(Calibration(), file)
    assert seen == [FOUND]
    assert load_calibration(file) == FOUND


def test_a_link_stays_one(file: str, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(file)
    assert save_calibration(FOUND.with_local(LocalRates(call_s=1.0)), str(link)) == os.path.realpath(file)
    assert link.is_symlink()
    assert load_calibration(file).local.call_s == 1.0


def test_a_relative_name_is_a_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert save_calibration(FOUND, "here.json") == str(tmp_path / "here.json")
