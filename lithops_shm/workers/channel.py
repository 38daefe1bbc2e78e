"""Framed messages over a stream socket, between processes of one user that one of them started."""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from typing import Any

__all__ = ["Channel"]

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 18


class Channel:
    """Messages are tuples, whose first item says what they are.

    Parameters
    ----------
    sock:
        A connected stream socket, blocking; closed with the channel.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sending = threading.Lock()
        self._received = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, *message: Any) -> None:
        """Send one message whole; from any thread.

        Raises
        ------
        OSError
            When the other end is gone.
        """
        body = pickle.dumps(message, protocol=5)
        with self._sending:
            self._socket.sendall(_LENGTH.pack(len(body)) + body)

    def receive(self) -> tuple[Any, ...]:
        """Wait for the next message.

        Raises
        ------
        EOFError
            When the other end is gone.
        """
        while (message := self._next()) is None:
            self._fill(0)
        return message

    def receive_available(self) -> list[tuple[Any, ...]]:
        """The messages that are complete, without waiting for more; to be called when the socket is readable.

        Raises
        ------
        EOFError
            When the other end is gone, and all it sent has been received.
        """
        while True:
            try:
                self._fill(socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except EOFError:
                if messages := self._complete():
                    return messages
                raise
        return self._complete()

    def close(self) -> None:
        """The other end receives EOFError; closing twice is closing once."""
        self._socket.close()

    def _complete(self) -> list[tuple[Any, ...]]:
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _fill(self, flags: int) -> None:
        try:
            data = self._socket.recv(_CHUNK, flags)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError("the other end of the channel is gone")
        self._received += data

    def _next(self) -> tuple[Any, ...] | None:
        if len(self._received) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
        if len(self._received) < end:
            return None
        message: tuple[Any, ...] = pickle.loads(memoryview(self._received)[_LENGTH.size : end])
        del self._received[:end]
        return message
