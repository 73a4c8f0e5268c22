"""Changes and definitions of a replay, applied on the primary by ``applyOps``.

Seen on 5.0 and 6.0. The atomic mode applies all or nothing, as one oplog entry; it must not be
used for capped collections: the primary removes what overflows and the secondaries do not. A
rename into another database by ``applyOps`` ends every secondary, so there is none here.
"""

from collections.abc import Sequence
from typing import Any, Final

from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from agent.codec.operations import Encoder
from agent.core.errors import PermanentError, TransientError
from agent.model.catalogue import Collection
from agent.model.names import Namespace
from agent.mongo.connect import RAW, Client
from agent.mongo.errors import (
    NAMESPACE_NOT_FOUND,
    UNAUTHORIZED,
    server_code,
    translate,
    translated,
)
from agent.mongo.insert import MAJORITY, RawDocuments, check_write_concern
from agent.mongo.target import MongoTarget
from agent.ports import ReplayTarget

# From 6.2 on the option is refused, and a missing document is never made up.
_NO_UPSERT_OPTION: Final = (6, 2)
# From 6.0 on documents can be deleted from capped collections.
_DELETES_FROM_CAPPED: Final = (6, 0)
_ERRORS_IN_RESULTS: Final = 8


class MongoReplayTarget:
    """Applies through a client of the whole set; ``server_version`` is the primary's, "6.0.5"."""

    def __init__(self, client: Client, server_version: str) -> None:
        self._client = client
        self._collections = MongoTarget(client)
        major, minor = server_version.split(".")[:2]
        self._version = int(major), int(minor)

    def deletes_from_capped(self) -> bool:
        """Whether documents of a capped collection can be deleted."""
        return self._version >= _DELETES_FROM_CAPPED

    def put(self, place: Namespace, documents: Sequence[bytes]) -> None:
        """Insert whole documents; what the insert does not take goes by ``applyOps``.

        That replaces a document which is there, and takes what an insert refuses.
        """
        command = {
            "insert": place.collection,
            "documents": [RawDocuments(b"".join(documents))],
            "ordered": False,
            "bypassDocumentValidation": True,
            "writeConcern": MAJORITY,
        }
        with translated():
            answer = self._client[place.database].command(command)
        check_write_concern(answer)
        left = [int(each["index"]) for each in answer.get("writeErrors", ())]
        if not left:
            return
        encoder = Encoder(place)
        try:
            self.apply([encoder.insertion(documents[index]) for index in left], atomic=False)
        except PermanentError as error:
            position = left[int(str(error.facts.get("position", 0)))]
            raise PermanentError(
                error.code, error.message, hint=error.hint, **{**error.facts, "position": position}
            ) from error

    def apply(self, operations: Sequence[bytes], *, atomic: bool) -> tuple[int, ...]:
        """Apply changes in order; return the positions of updates whose document is missing."""
        documents = [RawDocuments(each) for each in operations]
        # Where the atomic mode fails nothing was applied. One by one then tells what is wrong,
        # and takes an ``_id`` such as {$x: 1}, which the atomic mode refuses.
        if atomic and self._version < _NO_UPSERT_OPTION and self._apply_together(documents):
            return ()
        return self._apply_one_by_one(documents)

    def _apply_together(self, documents: list[RawDocuments]) -> bool:
        with translated():
            try:
                answer = self._client.admin.command(self._command(documents))
            except OperationFailure as error:
                if _is_outside(error):
                    raise
                return False
        check_write_concern(answer)
        return True

    def _apply_one_by_one(self, documents: list[RawDocuments]) -> tuple[int, ...]:
        command = {**self._command(documents), "allowAtomic": False}
        with translated():
            try:
                answer = self._client.admin.command(command)
            except OperationFailure as error:
                if _is_outside(error):
                    raise
                return _missing(error, len(documents))
        check_write_concern(answer)
        return ()

    def create(self, place: Namespace, collection: Collection) -> bytes:
        """Create a temporary collection, as MongoTarget does."""
        return self._collections.create(place, collection)

    def modify(self, place: Namespace, options: bytes) -> None:
        """Change options of a collection as ``collMod`` in an oplog entry says."""
        # Not the command of that name: it refuses what it would do to a bucket collection.
        self._define(place, {"collMod": place.collection, **RawBSONDocument(options, RAW)})

    def empty(self, place: Namespace) -> None:
        """Remove all documents of a capped collection."""
        self._define(place, {"emptycapped": place.collection})

    def move(self, place: Namespace, target: Namespace) -> None:
        """Rename a temporary collection into another database."""
        # The command itself, which copies: as an oplog entry it would end the secondaries.
        command = {
            "renameCollection": str(place),
            "to": str(target),
            "dropTarget": True,
            "writeConcern": MAJORITY,
        }
        with translated():
            try:
                answer = self._client.admin.command(command)
            except OperationFailure as error:
                if server_code(error) != NAMESPACE_NOT_FOUND or not self._collections.uuid(target):
                    raise
                return
        check_write_concern(answer)

    def drop(self, namespace: Namespace) -> None:
        """Drop a collection; no error if there is none."""
        self._collections.drop(namespace)

    def _define(self, place: Namespace, command: dict[str, Any]) -> None:
        entry = {"op": "c", "ns": f"{place.database}.$cmd", "o": command}
        with translated():
            answer = self._client.admin.command({"applyOps": [entry], "writeConcern": MAJORITY})
        check_write_concern(answer)

    def _command(self, documents: list[RawDocuments]) -> dict[str, Any]:
        command: dict[str, Any] = {
            "applyOps": documents,
            "bypassDocumentValidation": True,
            "writeConcern": MAJORITY,
        }
        if self._version < _NO_UPSERT_OPTION:
            command["alwaysUpsert"] = False
        return command


def _is_outside(error: OperationFailure) -> bool:
    """Whether an error is not about the operations: it passes, or no privilege allows them."""
    return isinstance(translate(error), TransientError) or error.code == UNAUTHORIZED


def _missing(error: OperationFailure, count: int) -> tuple[int, ...]:
    """Return what a refusal says of missing documents; anything else is raised.

    An exception of the server ends the list with its own code. Only a missing document goes
    on to the next operation, and shows in the results alone.
    """
    details = error.details or {}
    results = list(details.get("results") or ())
    if server_code(error) == _ERRORS_IN_RESULTS and len(results) == count:
        return tuple(index for index, done in enumerate(results) if not done)
    position = max(0, int(details.get("applied") or 1) - 1)
    text = str(error).split(", full error:", maxsplit=1)[0]
    raise PermanentError(
        "replay_refused",
        f"the server refused an operation of the oplog: {text}",
        hint="restore without its collection",
        position=position,
        server_code=error.code,
    ) from error


def _proof(client: Client) -> ReplayTarget:
    return MongoReplayTarget(client, "6.0.0")
