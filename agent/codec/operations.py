"""Changes as ``applyOps`` takes them, made from bytes that are never decoded.

Fields are a whitelist: ``op``, ``ns``, ``o``, ``o2``, ``b``. What else stands in an oplog entry
must not go back to a server; ``needsRetryImage`` without a session ends a mongod.
"""

import re
from struct import Struct
from typing import Final, Literal

from agent.codec.documents import depth, has_zero_timestamp
from agent.codec.framing import has_id_first, id_document
from agent.core.errors import PermanentError
from agent.model.names import Namespace
from agent.model.replay import Change, ChangeKind

# How a change must be sent. "alone": never in an atomic applyOps. "anew": its document is
# deleted and then inserted, alone, or the server would rewrite it.
Care = Literal["none", "alone", "anew"]

_LENGTH: Final = Struct("<i")
_KINDS: Final[tuple[ChangeKind, ...]] = ("i", "u", "d")
_UPSERTS: Final = b"\x08b\x00\x01"
# A document that holds a top-level Timestamp(0, 0) has these bytes, and few others do.
_ZEROS: Final = bytes(9)
_ZERO_TIMESTAMP: Final = re.compile(rb"\x11[^\x00]*\x00{9}")
# Secondaries cannot fetch an applyOps entry that is nested much deeper; the primary would
# accept it, and majority would stand still for good.
DEEPEST: Final = 180
# A level takes at least a length, a type, a name and two NULs.
_SHORTEST_DEEP_BYTES: Final = DEEPEST * 8
# How long {_id: value} is with a value of some types: nothing else is in there then.
_ID_ALONE_BYTES: Final = {0x07: 22, 0x10: 14, 0x12: 18, 0x01: 18, 0x09: 18}
# One document of this size is as much as an atomic applyOps entry should hold.
_LARGE_BYTES: Final = 8 * 1024 * 1024


class Encoder:
    """Makes operations on one collection, by its name."""

    def __init__(self, place: Namespace) -> None:
        self.place = place
        name = str(place).encode() + b"\x00"
        field = b"\x02ns\x00" + _LENGTH.pack(len(name)) + name + b"\x03o\x00"
        self._heads = {
            kind: b"\x02op\x00\x02\x00\x00\x00" + kind.encode() + b"\x00" + field for kind in _KINDS
        }

    def operation(self, change: Change, kind: ChangeKind) -> bytes:
        """Return the document of one change, as a change of this kind.

        Of any change a delete of its document can be made, and an insert of a whole one.
        """
        if kind == "d":
            return _document([self._heads["d"], _id_alone(change)])
        parts = [self._heads[kind], change.body]
        if kind == "u":
            parts += [b"\x03o2\x00", _id_alone(change)]
            if change.upserts:
                parts.append(_UPSERTS)
        return _document(parts)

    def insertion(self, document: bytes) -> bytes:
        """Return the insert of a document."""
        return _document([self._heads["i"], document])


def care_of(change: Change) -> Care:
    """Return how carefully a change must be sent.

    Raises: PermanentError ``document_too_deep``.
    """
    body = change.body
    if change.kind == "d":
        return "none"
    if len(body) > _SHORTEST_DEEP_BYTES:
        _check_depth(change)
    is_first = has_id_first(body)
    if change.kind == "u" and not is_first and body[5:8] == b"$v\x00":
        return "alone" if len(body) > _LARGE_BYTES else "none"
    if _ZEROS in body and _ZERO_TIMESTAMP.search(body) and has_zero_timestamp(body):
        return "anew"
    return "none" if is_first and len(body) <= _LARGE_BYTES else "alone"


def _check_depth(change: Change) -> None:
    body = change.body
    # Types of documents and arrays: as many bytes as levels, or it is not so deep.
    if body.count(b"\x03") + body.count(b"\x04") < DEEPEST or depth(body) <= DEEPEST:
        return
    raise PermanentError(
        "document_too_deep",
        f"a document of {change.namespace} is nested more than {DEEPEST} levels deep",
        hint="applyOps cannot replicate it; restore to a time before it was written",
    )


def _id_alone(change: Change) -> bytes:
    """Return ``{_id: value}``: a shard key beside it may not be in the document any more."""
    selector = change.selector
    if len(selector) == _ID_ALONE_BYTES.get(selector[4]) and has_id_first(selector):
        return selector
    found = id_document(selector)
    if found is None:
        raise PermanentError(
            "replay_without_id", f"an oplog entry of {change.namespace} names no _id"
        )
    return found


def _document(parts: list[bytes]) -> bytes:
    inner = b"".join(parts)
    return _LENGTH.pack(len(inner) + 5) + inner + b"\x00"
