"""Values of the control database in memory."""

import threading
from collections.abc import Mapping
from typing import Any

import bson

from agent.mongo.connect import PLAIN
from agent.mongo.documents import from_bson, to_bson


class Tokens:
    """Numbers that only grow, whatever is dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """Return a number larger than all before."""
        with self._lock:
            self._last += 1
            return self._last


def key(value: object) -> bytes:
    """Return what makes two values of any BSON type the same key."""
    return bson.encode({"": to_bson(value)}, codec_options=PLAIN)


def stored(value: Mapping[str, object]) -> dict[str, Any]:
    """Return a document as it comes back from a real server."""
    encoded = bson.encode(to_bson(value), codec_options=PLAIN)
    plain: dict[str, Any] = from_bson(bson.decode(encoded, codec_options=PLAIN))
    return plain
