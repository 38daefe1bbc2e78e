"""``lithops-shm calibrate``, end to end and in little: what is measured, written, kept and deleted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from s3servers import ACCESS_KEY, SECRET_KEY, Server, new_bucket, s3_client

from lithops_shm.calibrate.child import run as run_program
from lithops_shm.calibrate.elsewhere import of_functions
from lithops_shm.calibrate.far import compared, line
from lithops_shm.calibrate.samples import Samples
from lithops_shm.calibrate.storages import Load, bound_of, together
from lithops_shm.errors import SelectorError
from lithops_shm.selector.calibration import LOCAL, Calibration, load_calibration, save_calibration
from lithops_shm.selector.rates import LAMBDA, MEASURED_SPREAD, LocalRates, RemoteRates

OF_STORAGE = {"latency_s", "read_bps", "write_bps", "total_bps", "upload_bps", "reads_per_s", "writes_per_s"}
OF_FUNCTIONS = {"start_s", "starts_per_s", "stage_s", "shuffle_s", "shuffle_function_s", "invoke_s", "cpu"}


@pytest.fixture
def s3(rclone_server: Server, tmp_path: Path, directories: dict[str, str]) -> dict[str, Any]:
    """Arguments that lead to a bucket of a real S3 server, and variables; `bucket` is its name."""
    bucket = new_bucket(rclone_server.url)
    config = tmp_path / "s3.yaml"
    keys = {"region": "us-east-1", "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    sections = {"aws": keys, "aws_s3": {"storage_bucket": bucket}, "shm": directories}
    config.write_text(json.dumps({"lithops": {"backend": "shm", "storage": "shm"}, **sections}))
    variables = {
        "AWS_ENDPOINT_URL_S3": rclone_server.url,
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "TMPDIR": str(tmp_path),
    }
    return {"config": str(config), "variables": variables, "bucket": bucket, "url": rclone_server.url}


def keys_in(s3: dict[str, Any]) -> list[str]:
    client = s3_client(s3["url"])
    try:
        return [each["Key"] for each in client.list_objects_v2(Bucket=s3["bucket"]).get("Contents", [])]
    finally:
        client.close()


def of_storage(run: Any, s3: dict[str, Any], *arguments: str, **options: Any) -> Any:
    words = ("--quick", "--storage", "aws_s3", "--config", s3["config"], *arguments)
    return run.json("calibrate", *words, configured=False, **s3["variables"], **options)


def test_this_machine(run: Any, tmp_path: Path, shm_directory: Path) -> None:
    home = tmp_path / "configurations"
    before = {"minio": RemoteRates(cpu=0.25), "aws_s3": RemoteRates(latency_s=0.5)}
    save_calibration(Calibration(LocalRates(call_s=0.5), before), str(home / "lithops-shm" / "calibration.json"))
    done = run("calibrate", "--quick", XDG_CONFIG_HOME=str(home))
    assert done.stderr == "", "a bar is for terminals"
    lines = done.stdout.splitlines()
    assert lines[0] == "this machine:"
    assert lines[1].split() == ["rate", "measured", "default"]
    rows = {row.split()[0]: row for row in lines[2 : lines.index("")]}
    assert {field.name for field in fields(LocalRates)} <= set(rows)
    assert "MB/s" in rows["partition_bps"]
    assert [name for name, row in rows.items() if row.split()[1] == "-"] == ["compute_s_per_gb"]
    file = home / "lithops-shm" / "calibration.json"
    assert lines[-1].endswith(f"written to {file}")
    loaded = load_calibration(str(file))
    assert loaded.notes == ()
    assert loaded.remotes == before
    assert loaded.local.compute_s_per_gb == LocalRates().compute_s_per_gb
    assert loaded.local.spread >= MEASURED_SPREAD
    assert not shm_directory.exists()
    assert "defaults" not in run("select", "--size", "1 GB", XDG_CONFIG_HOME=str(home)).stdout


def test_a_storage_keeps_what_is_known_of_others(run: Any, s3: dict[str, Any], tmp_path: Path) -> None:
    output = str(tmp_path / "rates.json")
    before = Calibration(LocalRates(call_s=0.5), {"minio": RemoteRates(cpu=0.25)}, (), {LOCAL: 1e9, "minio": 2e9})
    save_calibration(before, output)
    found = of_storage(run, s3, "--output", output)
    assert set(found["rates"]) == {"aws_s3"}
    assert set(found["measured"]["aws_s3"]) == OF_STORAGE
    after = load_calibration(output)
    assert after.local == before.local
    assert after.remotes == {**before.remotes, "aws_s3": RemoteRates(**found["rates"]["aws_s3"])}
    assert after.measured_at == {LOCAL: 1e9, "minio": 2e9, "aws_s3": pytest.approx(time.time(), abs=100)}
    assert after.remotes["aws_s3"].start_s == RemoteRates().start_s
    assert keys_in(s3) == []


def test_functions_with_a_storage(run: Any, s3: dict[str, Any], tmp_path: Path) -> None:
    """On warm workers, which start at once; through Lithops all the same."""
    output = str(tmp_path / "rates.json")
    save_calibration(Calibration(LocalRates(call_s=0.5)), output)
    found = of_storage(run, s3, "--backend", "shm", "--output", output)
    name = "shm+aws_s3"
    assert set(found["measured"][name]) == {*OF_STORAGE, *OF_FUNCTIONS, "spread"}
    rates = load_calibration(output).remotes[name]
    assert rates == RemoteRates(**found["rates"][name])
    assert 0 < rates.cpu < 10
    # Lithops' note on its runtime is for its next job; all else is gone.
    assert [key for key in keys_in(s3) if not key.startswith("lithops.runtimes/")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_objects(run: Any, s3: dict[str, Any], tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "rates.json"
    save_calibration(Calibration(LocalRates(call_s=0.5)), str(output))
    before = output.read_text()
    words = ["calibrate", "--storage", "aws_s3", "--config", s3["config"], "--output", str(output)]
    command = [sys.executable, "-m", "lithops_shm", *words]
    environ = {**run.environ, "HOME": str(run.home), **s3["variables"]}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        deadline = time.monotonic() + 60
        while not any("large" in key for key in keys_in(s3)) and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (128 + number, b"", b"")
    assert keys_in(s3) == []
    assert output.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--backend", "aws_lambda"), ["name it with --storage"]),
        (("--storage", "shm"), ["leave out --storage"]),
        (("--storage", "nothing_like_it"), ["Lithops has no storage 'nothing_like_it'"]),
        (("--storage", "minio"), ["storage 'minio' cannot be used as it is configured"]),
        (("--output", "/dev/null/rates.json"), ["/dev/null: File exists"]),
    ],
)
def test_mistakes_are_said_before_anything_is_measured(
    run: Any, tmp_path: Path, arguments: tuple[str, ...], words: list[str]
) -> None:
    output = str(tmp_path / "rates.json")
    save_calibration(Calibration(LocalRates(call_s=0.5)), output)
    done = run("calibrate", "--quick", "--output", output, *arguments, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("lithops-shm: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_a_bucket_that_is_not_there_is_a_sentence(run: Any, s3: dict[str, Any], tmp_path: Path) -> None:
    output = str(tmp_path / "rates.json")
    save_calibration(Calibration(LocalRates(call_s=0.5)), output)
    config = Path(s3["config"])
    config.write_text(config.read_text().replace(s3["bucket"], "no-such-bucket"))
    words = ("--quick", "--storage", "aws_s3", "--config", str(config), "--output", output)
    done = run("calibrate", *words, configured=False, code=2, **s3["variables"])
    assert "bucket 'no-such-bucket'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_medians_and_spreads() -> None:
    samples = Samples()
    for value in (1.0, 5.0, 2.0):
        samples.add({"call_s": value, "read_bps": 100.0})
    samples.add({"call_s": -1.0})
    assert samples.medians() == {"call_s": 1.5, "read_bps": 100.0}
    assert samples.spread > MEASURED_SPREAD
    assert Samples().spread == MEASURED_SPREAD
    with pytest.raises(ValueError, match="call_s"):
        samples.add({"call_s": float("nan")})


def test_a_bound_is_where_more_connections_change_nothing() -> None:
    growing = [Load(1, 100.0, 0.1), Load(2, 190.0, 0.2), Load(4, 370.0, 0.3)]
    assert bound_of(growing) is None
    assert bound_of([*growing, Load(8, 400.0, 0.4)]) == 400.0
    assert bound_of([*growing, Load(8, 300.0, 0.4)]) == 370.0
    assert bound_of([*growing, Load(8, 400.0, 0.95)]) is None, "it was this process that had no more to give"
    assert bound_of(growing[:1]) is None
    assert together([None, None]) is None
    assert together([100.0, None]) == 100.0
    assert together([100.0, 300.0]) == pytest.approx(150.0)


def test_one_warm_environment_says_nothing_of_the_others() -> None:
    start, each = line([0.1, *(2.0 + 0.05 * number for number in range(15))])
    assert each == pytest.approx(0.05, rel=0.2)
    assert start == pytest.approx(1.9, rel=0.1)
    assert line([0.5])[0] == pytest.approx(0.5, rel=0.01)


def test_speeds_are_compared_over_the_loops_that_ran_on_both_sides() -> None:
    here = [(0.1, 0.2), (0.1, 0.2)]
    assert compared(here, [(0.2, 0.8), (0.2, 0.8), (9.0, 9.0)]) == pytest.approx(8**-0.5)
    assert compared(here, [(0.2, None)]) == pytest.approx(0.5)


def test_functions_in_each_others_way_have_a_bound() -> None:
    alone = {"write": 50e6, "read": 80e6, "small writes": 40.0, "small reads": 50.0}

    def rates(share: float, slots: int, memory_mb: int | None = None) -> dict[str, float | None]:
        every = {name: 16 * share * rate for name, rate in alone.items()}
        said = {
            "alone": alone,
            "together": every,
            "functions": 16,
            "slots": slots,
            "cpu": [0.5],
            "memory_mb": memory_mb,
        }
        return of_functions(said, LAMBDA)

    free = rates(0.95, 1_000)
    assert (free["total_bps"], free["read_bps"], free["write_bps"]) == (None, 80e6, 50e6)
    assert (free["reads_per_s"], free["writes_per_s"]) == (5_500, 3_500), "no less than is documented"
    assert free["latency_s"] == pytest.approx((1 / 40 + 1 / 50) / 2)
    slowed = rates(0.25, 1_000)
    assert slowed["total_bps"] == pytest.approx(together([4 * 50e6, 4 * 80e6]))
    assert slowed["reads_per_s"] == pytest.approx(200)
    every_one = rates(0.95, 16)
    assert every_one["reads_per_s"] == pytest.approx(0.95 * 16 * 50), "more functions never run at once"
    assert (rates(1, 99)["cpu"], rates(1, 99, 885)["cpu"]) == (0.5, pytest.approx(1.0, rel=0.01))


def test_a_program_that_fails_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "never_ends.py").write_text("import time\ntime.sleep(600)")
    with pytest.raises(SelectorError, match="No module named"):
        run_program("lithops_shm.no_such_program", {}, print, timeout_s=30)
    with pytest.raises(SelectorError, match="KeyError: 'what'"):
        run_program("lithops_shm.calibrate.near", {}, print, timeout_s=30)
    with pytest.raises(SelectorError, match="not over after 0 s"):
        run_program("never_ends", {}, print, timeout_s=0.3, environ={"PYTHONPATH": str(tmp_path)})
