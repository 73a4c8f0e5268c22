"""TCP relays before the nodes: whoever goes to a node goes through one, the other nodes too."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.testbed.loopback import HOST, free_port

_BLOCK_BYTES = 65_536
_RETRY_S = 0.02


class Line:
    """The way to one node; its switches may be turned from any thread at any time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self._loop = loop
        self._target = target
        self.port = free_port()
        #: Switch: seconds that each piece waits, in either direction.
        self.delay_s = 0.0
        #: Switch: how much goes through in a second of each connection; 0 for all.
        self.bytes_per_s = 0
        #: Switch: nothing arrives, and nobody is told.
        self.is_silent = False
        self._is_cut = False
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break all connections, and every new one at once."""
        self._is_cut = True
        self.reset()

    def mend(self) -> None:
        """Let everything through again. Idempotent."""
        self._is_cut = self.is_silent = False
        self.delay_s, self.bytes_per_s = 0.0, 0

    def reset(self) -> None:
        """Break all connections once."""
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(10)

    async def serve(self) -> asyncio.Server:
        """Begin to listen."""
        return await asyncio.start_server(self._accept, HOST, self.port)

    async def _reset(self) -> None:
        for each in list(self._open):
            each.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._open -= ends
            for each in ends:
                each.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_BLOCK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                while self.is_silent:  # noqa: ASYNC110 - the switch is turned by other threads
                    await asyncio.sleep(_RETRY_S)
                sink.write(data)
                await sink.drain()
        sink.close()


@contextmanager
def laid_lines() -> Iterator[Callable[[int], Line]]:
    """Yield what lays a line to a port of this host; all end together."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="lines", daemon=True)
    thread.start()
    servers: list[asyncio.Server] = []

    def lay(target: int) -> Line:
        line = Line(loop, target)
        servers.append(asyncio.run_coroutine_threadsafe(line.serve(), loop).result(10))
        return line

    async def end() -> None:
        for server in servers:
            server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    try:
        yield lay
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
