"""Messages come out as they went in, however the bytes are cut."""

import pickle
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from lithops_shm.workers.channel import Channel


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    """A bare socket, and a channel at its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, Channel(theirs)


def framed(*message: object) -> bytes:
    body = pickle.dumps(message)
    return struct.pack("!I", len(body)) + body


def test_a_message_cut_at_any_byte(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    for position in range(len(framed("call", 1))):
        ours.sendall(framed("call", 1)[:position])
        if position:
            assert channel.receive_available() == []
        ours.sendall(framed("call", 1)[position:])
        assert channel.receive_available() == [("call", 1)]


def test_several_messages_at_once_and_a_part_of_the_next(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    ours.sendall(framed("a") + framed("b", b"x") + framed("c")[:3])
    assert channel.receive_available() == [("a",), ("b", b"x")]
    ours.sendall(framed("c")[3:])
    assert channel.receive() == ("c",)


def test_a_message_larger_than_any_buffer(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    body = bytes(5_000_000)
    sender = threading.Thread(target=Channel(ours).send, args=("large", body))
    sender.start()
    assert channel.receive() == ("large", body)
    sender.join()


def test_nothing_available_is_an_empty_list(ends: tuple[socket.socket, Channel]) -> None:
    assert ends[1].receive_available() == []


def test_what_was_sent_before_the_end_comes_first(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    ours.sendall(framed("last"))
    ours.close()
    assert channel.receive_available() == [("last",)]
    with pytest.raises(EOFError):
        channel.receive_available()


@pytest.mark.parametrize("begun", [b"", framed("never whole")[:7]])
def test_the_end_in_the_middle_of_a_message(ends: tuple[socket.socket, Channel], begun: bytes) -> None:
    ours, channel = ends
    ours.sendall(begun)
    ours.close()
    with pytest.raises(EOFError):
        channel.receive()


def test_sending_to_nobody_is_an_error(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    ours.close()
    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        channel.send("x")


def test_messages_of_many_threads_are_whole(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    sending = Channel(ours)

    def send(number: int) -> None:
        for count in range(50):
            sending.send(number, count, bytes(number * 100))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    found = [channel.receive() for _ in range(400)]
    for thread in threads:
        thread.join()
    for number in range(8):
        mine = [(count, len(body)) for sender, count, body in found if sender == number]
        assert mine == [(count, number * 100) for count in range(50)]


def test_closing_twice_is_closing_once(ends: tuple[socket.socket, Channel]) -> None:
    ends[1].close()
    ends[1].close()
