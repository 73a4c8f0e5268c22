"""Clients of the tests: each is closed when the test that opened it ends.

An open client keeps half a dozen threads that poll every node. Some hundred of them, left behind by
a whole run, are enough to starve servers of a small machine into election after election.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

from tests.testbed.waiting import is_asking

Document = dict[str, Any]
Client = MongoClient[Document]

_opened: list[Client] = []
_MOST_THREADS = 300


def open_client(uri: str, *, selection_timeout_ms: int) -> Client:
    """Open a client; `closing_clients` closes it, if nothing else does before.

    Raises: AssertionError in the condition of an `eventually`, and for so many that somebody opens
    them in another loop.
    """
    assert not is_asking(), "open the client before you wait, not in each turn"
    polling = sum(each.name.startswith("pymongo_") for each in threading.enumerate())
    assert polling < _MOST_THREADS, "open one client and keep it, not one in each turn of a loop"
    client: Client = MongoClient(uri, serverSelectionTimeoutMS=selection_timeout_ms)
    _opened.append(client)
    return client


@contextmanager
def closing_clients() -> Iterator[None]:
    """Close, at the end, all clients that were opened in between."""
    before = len(_opened)
    try:
        yield
    finally:
        for client in _opened[before:]:
            client.close()
        del _opened[before:]
