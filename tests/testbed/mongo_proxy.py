"""A proxy before a mongod that reads MongoDB's wire protocol, and loses answers where told to.

An answer that is lost was given: the server has applied the command, the proxy has read what it
said of it, and closes the connection in place of handing it on.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from bson.raw_bson import RawBSONDocument

from tests.testbed.loopback import HOST, free_port
from tests.testbed.mongod import Node, NodeSpec
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.stoppable import Stoppable

# Source of the layout: "MongoDB Wire Protocol" in the manual.
_HEADER: Final = struct.Struct("<iiii")
_OP_MSG: Final = 2013
_BODY: Final = 0
# With RST in place of FIN, when a connection is reset.
_LINGER: Final = struct.pack("ii", 1, 0)

#: Commands that change documents or collections.
WRITES: Final = frozenset({
    "insert",
    "update",
    "delete",
    "findAndModify",
    "create",
    "createIndexes",
    "collMod",
    "drop",
    "dropDatabase",
})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a client asked for; `collection` is empty where the command names none."""

    name: str
    database: str
    collection: str

    @property
    def is_write(self) -> bool:
        """Whether it changes anything."""
        return self.name in WRITES


class Loss:
    """Loses the answers of matching commands: after the first `skip`, of the next `times`."""

    def __init__(self, matches: Callable[[Command], bool], *, skip: int, times: int) -> None:
        self._matches = matches
        self._skip = skip
        self._times = times
        self._lock = threading.Lock()
        self._doomed = 0
        self._lost: list[Command] = []

    @property
    def lost(self) -> tuple[Command, ...]:
        """The commands whose answers were lost, so far."""
        with self._lock:
            return tuple(self._lost)

    def dooms(self, command: Command) -> bool:
        """Whether this command's answer is to be lost; asked once for each command."""
        if not self._matches(command):
            return False
        with self._lock:
            if self._skip > 0:
                self._skip -= 1
                return False
            self._doomed += 1
            return self._doomed <= self._times

    def happened(self, command: Command) -> None:
        """Note an answer that was lost."""
        with self._lock:
            self._lost.append(command)


class MongoProxy(Stoppable):
    """Listens on a port of its own, from `start` to `stop`, and passes on to a mongod.

    Switches: `delay_s` before each message of a client goes on; `cut` and `mend`; `reset`.
    """

    def __init__(self, port: int) -> None:
        """Stand before the mongod on that port of this host."""
        self.port = free_port()
        self.address = f"{HOST}:{self.port}"
        self.delay_s = 0.0
        self._target = port
        self._lock = threading.Lock()
        self._losses: list[Loss] = []
        self._commands: list[Command] = []
        self._sockets: set[socket.socket] = set()
        self._is_cut = False
        self._listener: socket.socket | None = None

    def start(self) -> Self:
        """Begin to listen."""
        self._listener = socket.create_server((HOST, self.port), backlog=128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Close all. Idempotent."""
        if self._listener is not None:
            # A close alone does not wake the thread that accepts.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.reset()

    def lose(
        self,
        matches: Callable[[Command], bool] = lambda command: command.is_write,
        *,
        skip: int = 0,
        times: int = 1,
    ) -> Loss:
        """Lose the answers of the next matching commands, after the first `skip` of them."""
        loss = Loss(matches, skip=skip, times=times)
        with self._lock:
            self._losses.append(loss)
        return loss

    def lose_nothing(self) -> None:
        """Hand on every answer again."""
        with self._lock:
            self._losses.clear()

    def commands(self) -> tuple[Command, ...]:
        """Return what clients have asked for since the last `forget`."""
        with self._lock:
            return tuple(self._commands)

    def forget(self) -> None:
        """Forget what clients have asked for."""
        with self._lock:
            self._commands.clear()

    def cut(self) -> None:
        """Break every connection, and those that come, until `mend`."""
        self._is_cut = True
        self.reset()

    def mend(self) -> None:
        """Take connections again."""
        self._is_cut = False

    def reset(self) -> None:
        """Break every connection that is open."""
        with self._lock:
            sockets = tuple(self._sockets)
        for each in sockets:
            _break(each)

    def __enter__(self) -> Self:
        """Begin to listen."""
        return self.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self._is_cut:
                _break(client)
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((HOST, self._target))
        except OSError:
            client.close()
            return
        with client, server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {client, server}
            doomed: dict[int, tuple[Command, Loss]] = {}
            back = threading.Thread(
                target=self._answers, args=(server, client, doomed), daemon=True
            )
            back.start()
            self._requests(client, server, doomed)
            back.join()
            with self._lock:
                self._sockets -= {client, server}

    def _requests(
        self,
        client: socket.socket,
        server: socket.socket,
        doomed: dict[int, tuple[Command, Loss]],
    ) -> None:
        with suppress(OSError):
            for number, _, message in _messages(client):
                if self.delay_s:
                    time.sleep(self.delay_s)
                command = _command(message)
                if command is not None:
                    loss = self._judge(command)
                    if loss is not None:
                        doomed[number] = (command, loss)
                server.sendall(message)
        _break(server)

    def _answers(
        self,
        server: socket.socket,
        client: socket.socket,
        doomed: dict[int, tuple[Command, Loss]],
    ) -> None:
        with suppress(OSError):
            for _, answered, message in _messages(server):
                if answered in doomed:
                    command, loss = doomed[answered]
                    loss.happened(command)
                    break
                client.sendall(message)
        _break(client)
        _break(server)

    def _judge(self, command: Command) -> Loss | None:
        with self._lock:
            self._commands.append(command)
            losses = tuple(self._losses)
        return next((loss for loss in losses if loss.dooms(command)), None)


class ProxiedNode(Node):
    """A mongod that everybody, also its own replica set, reaches through a proxy."""

    def __init__(self, spec: NodeSpec) -> None:
        super().__init__(spec)
        self.proxy = MongoProxy(self.port).start()

    @property
    def address(self) -> str:
        """`host:port` of the proxy: this is the node's name in its replica set."""
        return self.proxy.address

    def remove(self) -> None:
        """End the proxy with the node."""
        super().remove()
        self.proxy.stop()


class ProxiedReplicaSet(ReplicaSet):
    """A replica set whose configuration names the proxies before its members."""

    node_type: ClassVar[type[Node]] = ProxiedNode

    @property
    def proxies(self) -> tuple[MongoProxy, ...]:
        """The proxy of each member, in order."""
        return tuple(node.proxy for node in self.nodes if isinstance(node, ProxiedNode))


def _messages(source: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield each message with its own number and the number that it answers."""
    while header := _exactly(source, _HEADER.size):
        length, number, answered, _ = _HEADER.unpack(header)
        rest = _exactly(source, length - _HEADER.size)
        if rest is None:
            return
        yield number, answered, header + rest


def _exactly(source: socket.socket, size: int) -> bytes | None:
    """Return so many bytes; None at the end of the stream."""
    got = bytearray()
    while len(got) < size:
        part = source.recv(size - len(got))
        if not part:
            return None
        got += part
    return bytes(got)


def _command(message: bytes) -> Command | None:
    """Return what a message asks for; None for greetings in the old form, and what is packed."""
    if _HEADER.unpack_from(message)[3] != _OP_MSG:
        return None
    at = _HEADER.size + 4
    while message[at] != _BODY:
        at += 1 + int.from_bytes(message[at + 1 : at + 5], "little")
    size = int.from_bytes(message[at + 1 : at + 5], "little")
    body = RawBSONDocument(message[at + 1 : at + 1 + size])
    name, value = next(iter(body.items()))
    return Command(
        name=name,
        database=str(body.get("$db", "")),
        collection=value if isinstance(value, str) else "",
    )


def _break(connection: socket.socket) -> None:
    """End a connection in both directions, from whichever thread."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
