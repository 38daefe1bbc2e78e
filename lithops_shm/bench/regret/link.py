"""A slow link between this machine and a network namespace: latency and bandwidth, where the kernel has no netem.

python -m lithops_shm.bench.regret.link NAMESPACE ADDRESS_HERE ADDRESS_THERE ROUND_TRIP_S BYTES_PER_S

Two TUN devices, one on each side, and what one sends is given to the other when it is due. Runs, as root, until it is
terminated; the devices go with it.
"""

from __future__ import annotations

import fcntl
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_LARGEST = 65_000  # bytes of a packet: few and large ones, so that Python keeps up
_WAITING = 64  # packets on their way; more stay in the device, which makes senders wait


def _device(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return descriptor


def _carry(source: int, target: int, delay_s: float, bytes_per_s: float) -> None:
    """One direction: a packet leaves when the ones before it have, and arrives `delay_s` later."""
    due: queue.Queue[tuple[float, bytes]] = queue.Queue(_WAITING)

    def deliver() -> None:
        while True:
            at, packet = due.get()
            time.sleep(max(0.0, at - time.monotonic()))
            os.write(target, packet)

    threading.Thread(target=deliver, daemon=True).start()
    free_at = 0.0
    while True:
        packet = os.read(source, _LARGEST + 100)
        free_at = max(free_at, time.monotonic()) + len(packet) / bytes_per_s
        due.put((free_at + delay_s, packet))


def main() -> None:
    namespace, here, there, round_trip, bytes_per_s = sys.argv[1:]
    names = f"{namespace[:12]}-h", f"{namespace[:12]}-n"
    ours, theirs = map(_device, names)

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    ip("link", "set", names[1], "netns", namespace)
    ip("addr", "add", here, "peer", there, "dev", names[0])
    ip("link", "set", names[0], "mtu", str(_LARGEST), "up")
    ip("-n", namespace, "addr", "add", there, "peer", here, "dev", names[1])
    ip("-n", namespace, "link", "set", names[1], "mtu", str(_LARGEST), "up")
    ip("-n", namespace, "link", "set", "lo", "up")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for pair in ((ours, theirs), (theirs, ours)):
        threading.Thread(target=_carry, args=(*pair, float(round_trip) / 2, float(bytes_per_s)), daemon=True).start()
    print("up", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
