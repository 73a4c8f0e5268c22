"""Looks, while faults happen, whether each command that waits is seen to wait for something."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta

import pymongo
from pymongo.errors import PyMongoError

from agent.core.clock import SystemClock
from tests.testbed.clients import Client, Document

_LOOK_S = 0.5
_ASKING_S = 2.0
# A status that is so old tells by itself that nobody coordinates.
_FRESH_S = 10.0
# Between two looks of a coordinator, and until its status tells.
_PATIENCE_S = 15.0


class Waiting:
    """What waited for nothing that the status names: no job, no problem, no missing status."""

    def __init__(self, client: Client) -> None:
        self._control = client["backstay"]
        self._unnamed_since: dict[object, float] = {}
        self.wrong: dict[object, str] = {}

    def look(self) -> None:
        """Look once; a set that does not answer tells nothing."""
        try:
            with pymongo.timeout(_ASKING_S):
                status = self._control["status"].find_one({"_id": "cluster"}) or {}
                waits: Document = {"state": {"$in": [None, "pending"]}}
                open_ = [each["_id"] for each in self._control["commands"].find(waits)]
        except PyMongoError:
            self._unnamed_since.clear()
            return
        now = time.monotonic()
        waiting = [] if _names_something(status) else open_
        self._unnamed_since = {each: self._unnamed_since.get(each, now) for each in waiting}
        for each, since in self._unnamed_since.items():
            if now - since > _PATIENCE_S:
                self.wrong[each] = f"{each} waits for nothing that is told: {status}"


def _names_something(status: Document) -> bool:
    updated_at = status.get("updated_at")
    if updated_at is None or status.get("running") or status.get("problems"):
        return True
    age = SystemClock().now() - updated_at.replace(tzinfo=UTC)
    return bool(age > timedelta(seconds=_FRESH_S))


@contextmanager
def watched(client: Client) -> Iterator[Waiting]:
    """Look on and on, in a thread of its own."""
    waiting, end = Waiting(client), threading.Event()

    def run() -> None:
        while not end.wait(_LOOK_S):
            waiting.look()

    thread = threading.Thread(target=run, name="waiting")
    thread.start()
    try:
        yield waiting
    finally:
        end.set()
        thread.join()
