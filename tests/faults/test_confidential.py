"""A secret goes through a whole job, and is looked for afterwards, wherever the job could have left it.

Each search is made after the same job without `confidential` too, where it does find something: so it can.
"""

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lithops_shm.config import StoreSettings
from lithops_shm.workers.seclusion import network_refusal

pytestmark = [
    pytest.mark.usefixtures("cleaner_finishes"),
    pytest.mark.skipif(sys.platform != "linux", reason="confidential data needs a tmpfs"),
]

_GONE_S = 60.0
_ALL_FRAMES = 3  # ETH_P_ALL of linux/if_ether.h

MODULE = """
def shout(text):
    return text + "!"
"""

PROGRAM = """
import base64, json, os, resource, signal, socket, sys, threading, time
import numpy as np
import pandas as pd
import lithops_shm as shm
from lithops_shm.errors import WorkerDiedError

def echo(text):
    print("it was told", text)
    return text

def enlarge(text):
    return np.array([text] * 20_000)

def count(values):
    return len(values)

def fail(text):
    raise ValueError("it does not like " + text)

def rows(text):
    return pd.DataFrame({"key": np.arange(20_000) % 97, "text": [text] * 20_000})

def described(frame):
    return len(frame), frame["text"].iloc[0]

def hand_over(ref):
    return shm.put([shm.get(ref)] * 2)

def nested(text):
    executor = shm.FunctionExecutor(log_level=None)
    return executor.get_result(executor.map(echo, [text] * 2))

def shipped(text):
    import beside_the_program
    return beside_the_program.shout(text)

def crash(text):
    kept = [text] * 10
    os.abort()

def connect(port):
    socket.create_connection(("127.0.0.1", port), 5).close()
    return "connected"

def surroundings(x):
    import ctypes
    return {
        "interfaces": [name for _, name in socket.if_nameindex()],
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
        "umask": os.umask(0o077),
        "sections": sorted(json.loads(os.environ["LITHOPS_CONFIG"])),
    }

def raised(call):
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    text = sys.stdin.readline().strip()
    executor = shm.FunctionExecutor(log_level="DEBUG", **json.loads(sys.argv[1]))
    run = lambda function, *data: executor.get_result(executor.map(function, list(data)))
    found = {}
    futures = executor.map(echo, [text] * 3)
    found["echo"] = executor.get_result(futures) == [text] * 3
    found["logs"] = [text in future.logs for future in futures]
    large = run(enlarge, text, text + "?")
    found["large"] = large[0][-1] == text and large[1][0] == text + "?"
    found["argument"] = run(count, large[0]) == [20_000]
    if "waits" in sys.argv:
        print("ready", flush=True)
        time.sleep(600)
    found["fail"] = raised(lambda: run(fail, text)) == "ValueError: it does not like " + text
    shuffle = shm.Shuffle(by="key", partitions=3)
    parts = executor.get_result(executor.map_reduce(rows, [text] * 3, described, shuffle=shuffle))
    found["shuffle"] = sum(count for count, _ in parts) == 60_000 and {each for _, each in parts} == {text}
    found["refs"] = shm.get(run(hand_over, shm.put(text.encode()))[0]) == [text.encode()] * 2
    found["nested"] = run(nested, text) == [[text] * 2]
    found["shipped"] = run(shipped, text) == [text + "!"]
    found["crash"] = raised(lambda: run(crash, text)).partition(":")[0]
    server = socket.create_server(("127.0.0.1", 0))
    found["connect"] = raised(lambda: run(connect, server.getsockname()[1]))
    found["surroundings"] = run(surroundings, 1)[0]
    found["session"] = executor.storage.storage_handler.store.session.directory
    print(json.dumps(found))
"""


class Job:
    """The program, and what it may have left.

    Parameters
    ----------
    environment:
        Its own home, temporary directory and configuration.
    directory:
        Where it runs, and where all of these are.
    settings:
        Of its store.
    """

    def __init__(self, environment: dict[str, str], directory: Path, settings: StoreSettings) -> None:
        self.secret = f"canary{secrets.token_hex(24)}"
        self.environment = environment
        self.directory = directory
        self.settings = settings
        (directory / "beside_the_program.py").write_text(MODULE)
        (directory / "program.py").write_text(PROGRAM)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            [sys.executable, "program.py", json.dumps(options), *arguments],
            env=self.environment,
            cwd=self.directory,
            text=True,
            **pipes,  # type: ignore[call-overload]
        )
        assert process.stdin is not None
        process.stdin.write(self.secret + "\n")
        process.stdin.flush()
        return process  # type: ignore[no-any-return]

    def run(self, **options: Any) -> dict[str, Any]:
        """What the program found, after it has ended; the client itself may see everything."""
        process = self.start(**options)
        out, error = process.communicate(timeout=150)
        assert process.returncode == 0, error
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def forms(self) -> list[bytes]:
        """The secret, and how it looks where something has packed it."""
        text = self.secret.encode()
        # In base64 the neighbours change what begins and ends a text, and where in a group of three it begins.
        packed = [base64.b64encode(bytes(shift) + text)[4 * (shift > 0) + 4 : -8] for shift in range(3)]
        return [text, text[::-1], *(self.secret.encode(each) for each in ("utf-16-le", "utf-32-le")), *packed]

    def left_in(self, *places: Path) -> list[Path]:
        """The files below these places that have the secret."""
        forms = self.forms()
        return [file for place in places for file in _files(place) if any(form in _content(file) for form in forms)]

    def places(self) -> list[Path]:
        """Where it may have written: its own directories, those of its store, and the stores used by default.

        Those of other tests are not among them: nothing of the job knows their names.
        """
        stores = [path for root in ("/dev/shm", "/var/tmp") for path in Path(root).glob("lithops-shm*")]
        others = [path for path in stores if not path.name.startswith("lithops-shm-test-")]
        return [self.directory, Path(str(self.settings.directory)), *others]


def _files(place: Path) -> list[Path]:
    """All files below; directories that somebody removes meanwhile have none."""
    return [Path(at, name) for at, _, names in os.walk(place) for name in names]


def _content(file: Path) -> bytes:
    """What it has; nothing if it is gone by now, or no file of its own."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return b""
        return file.read_bytes()
    except FileNotFoundError:
        return b""


@pytest.fixture
def job(environment: dict[str, str], tmp_path: Path, settings: StoreSettings) -> Job:
    return Job(environment, tmp_path, settings)


ALL_IS_RIGHT = {
    "echo": True,
    "logs": [True] * 3,
    "large": True,
    "argument": True,
    "fail": True,
    "shuffle": True,
    "refs": True,
    "nested": True,
    "shipped": True,
    "crash": "WorkerDiedError",
}


@pytest.fixture
def loopback() -> Iterator[Callable[[], bytes]]:
    """What goes over the loopback interface, to be asked for at the end."""
    try:
        listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_FRAMES))
    except PermissionError:
        yield lambda: b""
        return
    with listener:
        listener.bind(("lo", 0))
        listener.settimeout(0.1)
        frames: list[bytes] = []
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    frames.append(listener.recv(1 << 17))

        thread = threading.Thread(target=listen)
        thread.start()

        def heard() -> bytes:
            time.sleep(0.2)  # what has been sent arrives
            return b"".join(frames)

        yield heard
        over.set()
        thread.join()


def test_a_secret_is_nowhere_afterwards(job: Job, loopback: Callable[[], bytes]) -> None:
    found = job.run(confidential=True)
    assert {name: found[name] for name in ALL_IS_RIGHT} == ALL_IS_RIGHT
    assert "/sessions/confidential" in found["session"]
    assert job.left_in(*job.places()) == []
    assert not Path(str(job.settings.directory)).exists()
    assert not Path(str(job.settings.spill_directory)).exists()
    assert _cores(job) == []
    assert not any(form in loopback() for form in job.forms())
    around = found["surroundings"]
    assert (around["core"], around["dumpable"], around["umask"]) == (0, 0, 0o077)
    assert around["sections"] == ["lithops", "shm"]
    if network_refusal():
        assert found["connect"] == ["connected"]
    else:
        assert found["connect"].startswith("OSError")
        assert around["interfaces"] == ["lo"]
    # Code that was shipped is on disk, for its user alone.
    shipped = list(job.directory.glob("lithops-*/modules/*/beside_the_program.py"))
    assert shipped
    for path in shipped:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_search_finds_what_is_there(job: Job, loopback: Callable[[], bytes]) -> None:
    """The same job, not confidential: its output is in Lithops' logs, its crash in a core, its function connects."""
    found = job.run()
    assert {name: found[name] for name in ALL_IS_RIGHT} == ALL_IS_RIGHT
    assert found["connect"] == ["connected"]
    assert found["surroundings"]["dumpable"] == 1
    places = {path.parent.name for path in job.left_in(job.directory) if path not in _cores(job)}
    assert "logs" in places
    if _cores_are_files():
        assert _cores(job), "of the worker that crashed"
        assert job.left_in(*_cores(job)[0].parents[:1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(job.secret.encode(), ("127.0.0.1", 9))
    if os.geteuid() == 0:
        assert job.secret.encode() in loopback()
    for core in _cores(job):
        core.unlink()


def _cores(job: Job) -> list[Path]:
    return [path for path in job.directory.iterdir() if path.name.startswith("core")]


def _cores_are_files() -> bool:
    """Whether the kernel writes the core of a process into its working directory, and may."""
    import resource

    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    return pattern.startswith("core") and resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


@pytest.mark.parametrize("more_settings", [{"confidential": True}], ids=str)
def test_a_client_that_is_killed_leaves_zeros(job: Job) -> None:
    """Its segments are looked at through descriptors from before, which count as no reader."""
    process = job.start("waits")
    base = Path(str(job.settings.directory))
    held: list[int] = []
    try:
        assert process.stdout is not None
        while process.stdout.readline() != "ready\n":
            assert process.poll() is None
        held += [os.open(path, os.O_PATH) for path in base.rglob("*") if path.is_file()]
        seen = [form for each in held for form in job.forms() if form in _bytes_of(each)]
        assert seen, "they are there while it lives"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        deadline = time.monotonic() + _GONE_S
        while base.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not base.exists()
        assert not any(form in _bytes_of(each) for each in held for form in job.forms())
    finally:
        process.kill()
        process.communicate()
        for each in held:
            os.close(each)
    assert job.left_in(*job.places()) == []


def _bytes_of(descriptor: int) -> bytes:
    return Path(f"/proc/self/fd/{descriptor}").read_bytes()


SIDE_BY_SIDE = """
import json, os, socket, sys
import numpy as np
import lithops_shm as shm

def around(x):
    session = os.environ.get("LITHOPS_SHM_SESSION", "")
    ref = shm.put(np.zeros(10))
    return os.getppid(), [name for _, name in socket.if_nameindex()], os.path.basename(session), ref.key

if __name__ == "__main__":
    before = shm.FunctionExecutor(log_level=None)
    confidential = shm.FunctionExecutor(log_level=None, confidential=True)
    after = shm.FunctionExecutor(log_level=None)
    found = [each.call_async(around, 0).result() for each in (before, confidential, after)]
    stores = [each.storage.storage_handler.store for each in (before, confidential, after)]
    keys = [[bool(key in store.keys("lithops-shm.refs")) for *_, key in found] for store in stores]
    print(json.dumps([found, [store.session.id for store in stores], keys]))
"""


def test_jobs_of_one_client_are_kept_apart(run: Callable[..., str]) -> None:
    """By their workers, by what those can reach, and by where they put what they say nothing else of."""
    found, sessions, keys = json.loads(run(SIDE_BY_SIDE).splitlines()[-1])
    before, confidential, after = found
    assert before[0] == after[0] != confidential[0], "workers of one kind have one parent"
    assert [each[2] for each in found] == sessions
    assert sessions[0] == sessions[2] != sessions[1]
    assert confidential[2].startswith("confidential")
    assert keys == [[True, False, True], [True, True, True], [True, False, True]]
    if not network_refusal():
        assert confidential[1] == ["lo"] != before[1]


REFUSED = """
import json, sys
import lithops_shm as shm
from lithops_shm.errors import ShmError

if __name__ == "__main__":
    for section in json.loads(sys.argv[1]):
        try:
            shm.FunctionExecutor(log_level=None, config={"lithops": {"backend": "shm", "storage": "shm", **section}},
                                 confidential=True)
            print("open")
        except ShmError as error:
            print(error.code, error.args[0])
"""


def test_it_is_refused_before_anything_is_written(run: Callable[..., str], tmp_path: Path) -> None:
    sections = [
        {"storage": "localhost"},
        {"storage": "minio"},
        {"monitoring": "redis"},
        {"telemetry": True},
        {"log_filename": str(tmp_path / "logs.txt")},
    ]
    said = run(REFUSED, json.dumps(sections)).splitlines()
    assert said == [f"SHM-CONFIDENTIAL lithops.{key}" for section in sections for key in section]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} <= {".py", ".yaml"}


FULL = """
import lithops_shm as shm
from lithops_shm.errors import StoreFullError
import numpy as np

def grow(x):
    return np.ones(1_000_000)

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    for future in executor.map(grow, range(12)):
        try:
            future.result()
        except StoreFullError as error:
            print(error)
"""


@pytest.mark.parametrize("more_settings", [{"confidential": True, "budget_bytes": 50_000_000}], ids=str)
def test_what_does_not_fit_is_refused_and_not_spilled(run: Callable[..., str], tmp_path: Path) -> None:
    said = run(FULL).splitlines()
    assert 6 <= len(said) <= 8
    assert all("confidential data does not go to disk" in line for line in said)
    assert not (tmp_path / "spill").exists()


def test_no_network_at_any_price(run: Callable[..., str], environment: dict[str, str]) -> None:
    """`network: none` without `confidential`, for ordinary jobs."""
    if network_refusal():
        pytest.skip(f"no namespaces here: {network_refusal()}")
    path = Path(environment["LITHOPS_CONFIG_FILE"])
    config = yaml.safe_load(path.read_text())
    config["shm"]["network"] = "none"
    path.write_text(yaml.safe_dump(config))
    found = json.loads(run(SIDE_BY_SIDE).splitlines()[-1])[0]
    assert [each[1] for each in found] == [["lo"]] * 3
