"""Raw inserts that change nothing: which documents need care, and what that is.

What servers do to an inserted document was seen on 5.0 and 6.0: a plain insert rewrites a
top-level ``Timestamp(0, 0)``, moves ``_id`` to the front, invents a missing ``_id``, and
refuses arrays, regular expressions, undefined, ``{$x: ..}`` and two fields as ``_id``. All
but the missing one are kept byte for byte, and the same on all nodes, by ``applyOps`` with
``allowAtomic: false``; in the atomic mode each node stores a timestamp of its own.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agent.codec import documents, framing
from agent.core.errors import PermanentError

# One command's worth: few round trips, and little memory with several threads.
RUN_BYTES: Final = 2 * 1024 * 1024
RUN_DOCS: Final = 10_000
_CAREFUL_DOCS: Final = 1_000
# With more than one in so many, careful documents are no exception.
_MANY_ONE_IN: Final = 20
# Beyond, secondaries may never fetch the oplog entry that holds the document: the primary
# takes 198 levels, an entry adds some, and a server reads 200.
_DEEPEST: Final = 180
# A timestamp field of value zero: type, name, NUL, eight zero bytes. A name that holds 0x11
# itself is found from there on, and the search never goes back: one pass at memory speed.
_ZERO_TIMESTAMP: Final = re.compile(rb"\x11[^\x00\x11]*\x00{9}")
_ID_FIRST: Final = b"_id\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Consecutive documents: ``bounds`` has one more offset than there are documents.

    ``is_careful`` tells that a plain insert would change them.
    """

    data: bytes
    bounds: Sequence[int]
    is_careful: bool

    @property
    def docs(self) -> int:
        """Documents in this part."""
        return len(self.bounds) - 1

    def raw(self) -> bytes:
        """Return the bytes of all documents."""
        return self.data[self.bounds[0] : self.bounds[-1]]

    def document(self, index: int) -> bytes:
        """Return one document."""
        return self.data[self.bounds[index] : self.bounds[index + 1]]


def parts(data: bytes) -> Iterator[Part]:
    """Cut documents into parts that fit one command each, in order.

    Where many documents need care all are treated so: a command for each of the others in
    between would cost more.

    Raises: PermanentError ``damaged_bson``; ``document_without_id``.
    """
    bounds = framing.bounds(data)
    odd = sorted(_odd(data, bounds))
    if len(odd) * _MANY_ONE_IN > len(bounds):
        yield from _runs(data, bounds, is_careful=True)
        return
    begin = 0
    for index in odd:
        yield from _runs(data, bounds[begin : index + 1], is_careful=False)
        yield Part(data=data, bounds=bounds[index : index + 2], is_careful=True)
        begin = index + 1
    yield from _runs(data, bounds[begin:], is_careful=False)


def _runs(data: bytes, bounds: Sequence[int], *, is_careful: bool) -> Iterator[Part]:
    docs_limit = _CAREFUL_DOCS if is_careful else RUN_DOCS
    begin, last = 0, len(bounds) - 1
    while begin < last:
        end = min(bisect_right(bounds, bounds[begin] + RUN_BYTES) - 1, begin + docs_limit, last)
        end = max(end, begin + 1)
        yield Part(data=data, bounds=bounds[begin : end + 1], is_careful=is_careful)
        begin = end


def _odd(data: bytes, bounds: Sequence[int]) -> set[int]:
    """Return the indexes of documents that a plain insert would change without a word."""
    found = set()
    for index in range(len(bounds) - 1):
        position = bounds[index]
        if data[position + 5 : position + 9] != _ID_FIRST:
            _require_id(data[position : bounds[index + 1]], index)
            found.add(index)
    for match in _ZERO_TIMESTAMP.finditer(data):
        index = bisect_right(bounds, match.start()) - 1
        if index not in found and documents.has_zero_timestamp(
            data[bounds[index] : bounds[index + 1]]
        ):
            found.add(index)
    return found


def _require_id(document: bytes, index: int) -> None:
    if framing.id_document(document) is None:
        raise PermanentError(
            "document_without_id",
            f"the document number {index} of a chunk has no _id; a server would invent one",
            hint="such documents cannot be restored as they were; restore other collections",
        )


def check_depth(document: bytes) -> None:
    """Refuse what a secondary could never fetch. Raises: PermanentError ``document_too_deep``."""
    depth = documents.depth(document)
    if depth > _DEEPEST:
        raise PermanentError(
            "document_too_deep",
            f"the document {name_of(document)} is nested {depth} levels deep, and a document of "
            f"its kind may have {_DEEPEST}",
            hint="restore without its collection",
        )


def name_of(document: bytes) -> str:
    """Return a document's ``_id`` for people, shortened."""
    found = framing.id_document(document)
    if found is None:
        return "without _id"
    try:
        text = repr(documents.decode(found).get("_id"))
    except PermanentError:
        text = found.hex()
    return f"with _id {text[:100]}"
