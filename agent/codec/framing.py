"""Concatenated BSON documents: walked by their lengths, never decoded.

The cost of a walk is per document (about 0.15 us), not per byte; what needs one says so.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import bson
from bson.errors import InvalidBSON

from agent.codec.elements import DOCUMENT, SHORTEST_BYTES, Bytes, damaged, elements

# What pymongo's own raw cursors use: C, and ten times as fast as the walk below. It is private
# and may go one day; the walk then takes its place.
_in_c: Final[Callable[[Bytes], bytes] | None] = getattr(bson, "_array_of_documents_to_buffer", None)

_LENGTH: Final = struct.Struct("<i")
_ID_NAME: Final = b"_id\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Some consecutive whole documents; ``data`` is a view, not a copy."""

    data: memoryview
    docs: int


def bounds(data: Bytes) -> list[int]:
    """Return the offset of every document, and the end: one more than there are documents.

    Walks all documents and checks length and terminator of each.

    Raises: PermanentError ``damaged_bson`` with the position.
    """
    unpack = _LENGTH.unpack_from
    size = len(data)
    position = 0
    found = [0]
    append = found.append
    try:
        while position < size:
            (length,) = unpack(data, position)
            if length < SHORTEST_BYTES or data[position + length - 1]:
                raise damaged(_why(length), position)
            position += length
            append(position)
    except (struct.error, IndexError) as error:
        raise damaged("it is cut off", position) from error
    return found


def count(data: Bytes) -> int:
    """Return how many documents there are. Walks all. Raises: PermanentError ``damaged_bson``."""
    return len(bounds(data)) - 1


def documents(data: Bytes) -> Iterator[memoryview]:
    """Yield each document as a view. Raises: PermanentError ``damaged_bson`` before the first."""
    view = memoryview(data)
    found = bounds(data)
    for begin, end in pairwise(found):
        yield view[begin:end]


def last(data: Bytes) -> memoryview:
    """Return the last of at least one document. Walks all.

    Raises: PermanentError ``damaged_bson``.
    """
    found = bounds(data)
    if len(found) == 1:
        raise damaged("there is none", 0)
    return memoryview(data)[found[-2] :]


def first_end(data: Bytes) -> int:
    """Return where the first of at least one document ends. Looks at that one only.

    Raises: PermanentError ``damaged_bson``.
    """
    if len(data) < SHORTEST_BYTES:
        raise damaged("there is none", 0)
    (length,) = _LENGTH.unpack_from(data, 0)
    if not SHORTEST_BYTES <= length <= len(data):
        raise damaged(f"its length says {length}", 0)
    return int(length)


def split(data: Bytes, *, docs_limit: int, bytes_limit: int) -> Iterator[Run]:
    """Cut documents into runs that fit one insert command each.

    A run has at most ``docs_limit`` documents and ``bytes_limit`` bytes, except that a single
    larger document is a run of its own. Nothing is copied. Walks all before the first run.

    Raises: PermanentError ``damaged_bson``.
    """
    view = memoryview(data)
    found = bounds(data)
    begin = 0
    while begin < len(found) - 1:
        end = begin + 1
        limit = found[begin] + bytes_limit
        most = min(begin + docs_limit, len(found) - 1)
        while end < most and found[end + 1] <= limit:
            end += 1
        yield Run(data=view[found[begin] : found[end]], docs=end - begin)
        begin = end


def has_id_first(document: Bytes) -> bool:
    """Whether the first field of a document is ``_id``."""
    return len(document) > SHORTEST_BYTES and bytes(document[5:9]) == _ID_NAME


def id_document(document: Bytes) -> bytes | None:
    """Return ``{_id: value}`` with the value as it stands in a document; None if it has none.

    Of several fields ``_id`` it is the first, as for the server's index.

    Raises: PermanentError ``damaged_bson``.
    """
    found = next((each for each in elements(document) if each.name == b"_id"), None)
    if found is None:
        return None
    field = document[found.begin : found.end]
    return b"".join((_LENGTH.pack(len(field) + SHORTEST_BYTES), field, b"\x00"))


def documents_of_array(array: Bytes) -> tuple[bytes, int]:
    """Return the documents of a BSON array, one after the other, and how many they are.

    Raises: PermanentError ``damaged_bson`` if it is no array of documents.
    """
    if _in_c is None:
        return flatten(array)
    try:
        flat = _in_c(array)
    except InvalidBSON as error:
        raise damaged(str(error), 0) from error
    return flat, _count_from_keys(len(array) - len(flat) - SHORTEST_BYTES)


def flatten(array: Bytes) -> tuple[bytes, int]:
    """Do what ``documents_of_array`` does, without any help of pymongo."""
    view = memoryview(array)
    parts = []
    for each in elements(array):
        if each.kind != DOCUMENT:
            raise damaged("an element of the array is no document", each.begin)
        parts.append(view[each.value : each.end])
    return b"".join(parts), len(parts)


def _count_from_keys(key_bytes: int) -> int:
    """Return how many elements have keys of this total size: type, decimal index, NUL."""
    docs = 0
    digits = 1
    while key_bytes > 0:
        # 10 keys have one digit, 90 have two, and so on.
        of_these = 10 if digits == 1 else 9 * 10 ** (digits - 1)
        here = min(of_these, key_bytes // (digits + 2))
        if here == 0:
            raise damaged("the keys of an array are not its indexes", 0)
        docs += here
        key_bytes -= here * (digits + 2)
        digits += 1
    return docs


def _why(length: int) -> str:
    return f"its length says {length}" if length < SHORTEST_BYTES else "no NUL at the end"
