"""What profiles accept, and what they refuse: units above all."""

import pytest

from lithops_shm import host
from lithops_shm.config import StoreSettings
from lithops_shm.errors import ConfigError, ProfileError
from lithops_shm.selector import HostProfile, JobProfile


def test_sizes_may_be_written_with_units() -> None:
    assert JobProfile(input_bytes="5 GB").input_bytes == 5_000_000_000  # type: ignore[arg-type]
    assert JobProfile(input_bytes=5e9).input_bytes == 5_000_000_000  # type: ignore[arg-type]
    assert JobProfile(inputs="s3://a/b").inputs == ("s3://a/b",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"input_bytes": 500}, "write '500 MB'"),
        ({"input_bytes": 5_000, "functions": 640}, "write '5000 MB'"),
        ({"input_bytes": -1}, "negative"),
        ({"input_bytes": 0.5}, "not a size"),
        ({"input_bytes": "5 parsecs"}, "not a unit"),
        ({"input_bytes": True}, "not a size"),
        ({"functions": 0}, "whole number from 1"),
        ({"functions": 2.5}, "whole number from 1"),
        ({"partitions": True}, "whole number from 1"),
        ({"intermediate_ratio": -0.1}, "number from 0"),
        ({"intermediate_ratio": None}, "number from 0"),
        ({"output_ratio": float("nan")}, "number from 0"),
        ({"compute_s_per_gb": 3e9}, "10\\^9 bytes"),
        ({"deadline_s": -1}, "number from 0"),
        ({"deadline_s": 1_800_000_000}, "60 days"),
        ({"budget_usd": "1"}, "number from 0"),
        ({"input_place": "here"}, "local, remote"),
        ({"confidential": "no"}, "True or False"),
        ({"confidential": 0}, "True or False"),
        ({"inputs": [""]}, "texts such as"),
        ({"inputs": [3]}, "texts such as"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ProfileError, match=says) as caught:
        JobProfile(**fields)  # type: ignore[arg-type]
    assert next(iter(fields)) in str(caught.value)


def test_few_bytes_in_one_call_are_a_small_job() -> None:
    assert JobProfile(input_bytes=2_000).input_bytes == 2_000
    assert JobProfile(input_bytes=0).input_bytes == 0


def test_a_profile_comes_back_from_its_mapping() -> None:
    job = JobProfile(10**9, ("a", "b"), functions=8, confidential=True, budget_usd=0.5)
    assert JobProfile.from_mapping(job.to_mapping()) == job
    with pytest.raises(ConfigError, match="did you mean 'functions'"):
        JobProfile.from_mapping({"function": 3})


def test_this_machine_is_read_off_the_kernel(tmp_path, monkeypatch) -> None:
    found = HostProfile.of_this_machine(StoreSettings(directory=str(tmp_path), budget_bytes=100_000_000))
    assert found.cpus == host.usable_cpus()
    assert found.segment_bytes == 100_000_000
    assert found.pool_bytes == 100_000_000, "no more than there may be of segments"
    assert found.spill_bytes > 0


def test_confidential_jobs_do_not_spill(tmp_path) -> None:
    settings = StoreSettings(directory=str(tmp_path))
    assert HostProfile.of_this_machine(settings, confidential=True).spill_bytes == 0
    assert HostProfile.of_this_machine(StoreSettings(directory=str(tmp_path), spill=False)).spill_bytes == 0


@pytest.mark.parametrize(("headroom", "available"), [(1 << 30, 8 << 30), (8 << 30, 1 << 30)])
def test_memory_is_what_kernel_and_control_group_both_allow(monkeypatch, headroom: int, available: int) -> None:
    monkeypatch.setattr(host, "cgroup_headroom", lambda: headroom)
    monkeypatch.setattr(host, "memory_available", lambda: available)
    assert HostProfile.of_this_machine(StoreSettings()).memory_bytes == 1 << 30


def test_a_small_shared_memory_is_what_segments_get(monkeypatch) -> None:
    class Docker:
        free_bytes = 64 << 20

    monkeypatch.setattr(host, "filesystem", lambda path: Docker)
    assert HostProfile.of_this_machine(StoreSettings()).segment_bytes <= 64 << 20


def test_a_machine_of_which_nothing_can_be_read_has_no_memory(monkeypatch) -> None:
    monkeypatch.setattr(host, "cgroup_headroom", lambda: None)
    monkeypatch.setattr(host, "memory_available", lambda: None)
    assert HostProfile.of_this_machine(StoreSettings()).memory_bytes == 0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"cpus": 0}, "from 1"),
        ({"memory_bytes": 16_000}, "in bytes"),
        ({"memory_bytes": -1}, "negative"),
        ({"segment_bytes": None}, "size in bytes"),
    ],
    ids=str,
)
def test_a_host_that_cannot_be_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ProfileError, match=says):
        HostProfile(**{"cpus": 2, "memory_bytes": 1 << 34, "segment_bytes": 1 << 34, **fields})  # type: ignore[arg-type]
