"""A line to a server on which answers stop, or come a byte a second."""

import socket
import threading
import time
from contextlib import suppress
from typing import Final, Self

from tests.testbed.loopback import HOST, free_port
from tests.testbed.stoppable import Stoppable

_BLOCK_BYTES: Final = 65_536


class SlowLine(Stoppable):
    """Passes connections on to a port of this host.

    Switches: `is_held`, the server is not asked and nothing comes back; `trickles`, answers come in
    pieces of `piece_bytes`, each `pause_s` after the other, when `at_once_bytes` of a connection
    have come. Both act on what is under way too.
    """

    def __init__(self, port: int) -> None:
        """Lead to that port; `with` begins to listen."""
        self.port = free_port()
        self.is_held = False
        self.trickles = False
        self.at_once_bytes = 0
        self.piece_bytes = 1
        self.pause_s = 1.0
        self._target = port
        self._is_over = threading.Event()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._listener = socket.create_server((HOST, self.port), backlog=128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """End all. Idempotent."""
        self._is_over.set()
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection((HOST, self._target)) as server:
            back = threading.Thread(target=self._back, args=(server, client), daemon=True)
            back.start()
            with suppress(OSError):
                while block := client.recv(_BLOCK_BYTES):
                    self._wait_while_held()
                    server.sendall(block)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            back.join()

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while block := server.recv(_BLOCK_BYTES):
                self._wait_while_held()
                self._answer(client, block, max(0, self.at_once_bytes - passed))
                passed += len(block)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _answer(self, client: socket.socket, block: bytes, at_once_bytes: int) -> None:
        client.sendall(block[:at_once_bytes])
        at = at_once_bytes
        while at < len(block) and not self._is_over.is_set():
            size = self.piece_bytes if self.trickles else len(block) - at
            client.sendall(block[at : at + size])
            at += size
            if self.trickles:
                time.sleep(self.pause_s)

    def _wait_while_held(self) -> None:
        while self.is_held and not self._is_over.wait(0.05):
            pass
