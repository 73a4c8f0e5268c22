"""Sending raw documents, and understanding what the server answers for each."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import OperationFailure

from agent.codec import documents, framing
from agent.core.errors import PermanentError, TransientError
from agent.model.names import Namespace
from agent.mongo import careful
from agent.mongo.careful import Part
from agent.mongo.connect import RAW, Client
from agent.mongo.errors import DUPLICATE_KEY, translate, translated

MAJORITY: Final[Mapping[str, Any]] = {"w": "majority", "wtimeout": 60_000}
# An insert's refusals of documents that applyOps takes: bad value (two fields _id), $-prefixed
# field in _id, _id of a type that cannot be one.
_REFUSED: Final = frozenset({2, 52, 53})
_UNDEFINED: Final = 0x06
# {_id: {$type: 6}}: nothing can be compared to undefined.
_UNDEFINED_ID: Final = documents.encode({"_id": {"$type": 6}})
_IDS_AT_ONCE: Final = 1_000


class RawDocuments:
    """Some whole documents as pymongo sends them: byte for byte, all in one go.

    pymongo's encoder writes what carries the type marker 101 as its bytes; it does so for a
    RawBSONDocument too, but making one of those for each document costs more than sending it.
    """

    __slots__ = ("raw",)
    _type_marker = 101

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


class Loader:
    """One load of documents into one collection."""

    def __init__(self, client: Client, place: Namespace, *, in_order: bool, again: bool) -> None:
        self._client = client
        self._place = place
        self._in_order = in_order
        self._again = again
        self._election: object = None

    def load(self, data: bytes) -> None:
        """Insert all documents; returns when a majority has them."""
        found = list(careful.parts(data))
        if not self._in_order:
            # Plain ones last: the last command waits for the majority on behalf of all.
            found.sort(key=lambda part: not part.is_careful)
        for number, part in enumerate(found):
            if part.is_careful:
                self._apply(part)
            else:
                self._insert(part, wait=self._in_order or number == len(found) - 1)

    def _insert(self, part: Part, *, wait: bool) -> None:
        command = {
            "insert": self._place.collection,
            "documents": [RawDocuments(part.raw())],
            "ordered": self._in_order,
            "bypassDocumentValidation": True,
            "writeConcern": MAJORITY if wait else {"w": 1},
        }
        with translated():
            answer = self._client[self._place.database].command(command)
        self._check_election(answer)
        check_write_concern(answer)
        errors = answer.get("writeErrors", ())
        if errors:
            self._settle(part, errors)

    def _check_election(self, answer: Mapping[str, Any]) -> None:
        """Without a new term, a majority for the last insert is one for all before it."""
        election = answer.get("electionId")
        if self._election is not None and election != self._election:
            raise TransientError("term_changed", "another node became primary during a load")
        self._election = election

    def _settle(self, part: Part, errors: Sequence[Mapping[str, Any]]) -> None:
        """Deal with documents that were not inserted."""
        refused: list[int] = []
        there: list[int] = []
        for each in errors:
            index = int(each["index"])
            if each["code"] in _REFUSED:
                refused.append(index)
            elif each["code"] == DUPLICATE_KEY:
                there.append(index)
            else:
                details = {"writeErrors": [each]}
                raise translate(OperationFailure(each.get("errmsg", ""), each["code"], details))
        if there:
            self._require_equal(part, there)
        for index in refused:
            bounds = part.bounds[index : index + 2]
            self._apply(Part(data=part.data, bounds=bounds, is_careful=True))
        if self._in_order:
            # The server stopped at the first one.
            rest = part.bounds[int(errors[0]["index"]) + 1 :]
            if len(rest) > 1:
                self._insert(Part(data=part.data, bounds=rest, is_careful=False), wait=True)

    def _require_equal(self, part: Part, indexes: Sequence[int]) -> None:
        for begin in range(0, len(indexes), _IDS_AT_ONCE):
            wanted = [part.document(index) for index in indexes[begin : begin + _IDS_AT_ONCE]]
            there = self._find(_any_id(wanted))
            for document in wanted:
                if document not in there:
                    raise _differs(self._place, document)

    def _apply(self, part: Part) -> None:
        entries = []
        for index in range(part.docs):
            document = part.document(index)
            careful.check_depth(document)
            if not (self._again and self._is_there(document)):
                entry = {"op": "i", "ns": str(self._place), "o": RawDocuments(document)}
                entries.append(entry)
        if not entries:
            return
        command = {
            "applyOps": entries,
            "allowAtomic": False,
            "bypassDocumentValidation": True,
            "writeConcern": MAJORITY,
        }
        with translated():
            try:
                answer = self._client.admin.command(command)
            except OperationFailure as error:
                results = (error.details or {}).get("results")
                if not results or all(results):
                    raise
                raise _refused(self._place, entries[results.index(False)], error) from error
        check_write_concern(answer)

    def _is_there(self, document: bytes) -> bool:
        key = framing.id_document(document)
        if key is None:
            return False
        there = self._find(_exact_id(key) if key[4] != _UNDEFINED else _UNDEFINED_ID)
        if there and document not in there:
            raise _differs(self._place, document)
        return bool(there)

    def _find(self, condition: bytes) -> set[bytes]:
        collection = raw_database(self._client, self._place.database)[self._place.collection]
        with translated():
            return {bytes(each.raw) for each in collection.find(RawBSONDocument(condition))}


def raw_database(client: Client, name: str) -> Database[RawBSONDocument]:
    """Return a database whose documents are read as their bytes."""
    return cast("Database[RawBSONDocument]", client.get_database(name, codec_options=RAW))


def check_write_concern(answer: Mapping[str, Any]) -> None:
    """Raise TransientError if a write was made but a majority did not confirm it in time."""
    fault = answer.get("writeConcernError")
    if fault is not None:
        raise TransientError(
            "majority_waits",
            f"a majority of the nodes did not confirm a write: {fault.get('errmsg', '')}",
            hint="check that a majority of the data-bearing nodes is up and keeps up",
        )


def _document(body: bytes) -> bytes:
    return (len(body) + 5).to_bytes(4, "little") + body + b"\x00"


def _exact_id(key: bytes) -> bytes:
    """Return the filter ``{_id: {$eq: value}}``: a regular expression stands for itself."""
    return _document(b"\x03_id\x00" + _document(key[4:5] + b"$eq\x00" + key[9:-1]))


def _any_id(wanted: Sequence[bytes]) -> bytes:
    """Return the filter ``{_id: {$in: [...]}}`` for documents that begin with their ``_id``."""
    parts = []
    for index, document in enumerate(wanted):
        key = framing.id_document(document) or b""
        parts += [key[4:5], str(index).encode(), b"\x00", key[9:-1]]
    return _document(b"\x03_id\x00" + _document(b"\x04$in\x00" + _document(b"".join(parts))))


def _differs(place: Namespace, document: bytes) -> PermanentError:
    return PermanentError(
        "document_differs",
        f"another document {careful.name_of(document)} is in {place} already",
        hint="the backup holds two documents with one _id; restore an earlier backup",
    )


def _refused(place: Namespace, entry: Mapping[str, Any], error: OperationFailure) -> PermanentError:
    document = entry["o"].raw
    return PermanentError(
        "document_refused",
        f"the server does not take the document {careful.name_of(document)} into {place}: "
        f"{error.args[0] if error.args else error}",
        hint="restore without its collection",
    )
