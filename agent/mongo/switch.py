"""The steps that put temporary collections in the places of their targets."""

from collections.abc import Mapping
from typing import Any, Final

from bson.binary import Binary
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from agent.codec import documents, framing
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError, TransientError
from agent.model.names import BUCKETS_PREFIX, STORED_JAVASCRIPT, Namespace
from agent.model.outcome import cut
from agent.mongo.authorization import merge
from agent.mongo.connect import RAW, Client
from agent.mongo.errors import (
    NAMESPACE_EXISTS,
    NAMESPACE_NOT_FOUND,
    TIME_IS_UP,
    server_code,
    translated,
)
from agent.mongo.insert import MAJORITY, check_write_concern, raw_database
from agent.mongo.target import entry_of, options_of
from agent.ports import SwitchTarget, ViewRule

# While a rename waits for open transactions, writers of the target wait for the rename.
_RENAME_MS: Final = 2_000
_UUID_SUBTYPE: Final = 4


class MongoSwitch:
    """Renames, views, stored JavaScript, users: through a client of the whole set."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def rename(self, place: Namespace, target: Namespace, replaced: bytes | None) -> None:
        """Give a temporary collection its target's name."""
        command: dict[str, Any] = {
            "renameCollection": str(place),
            "to": str(target),
            "dropTarget": replaced is not None,
        }
        if target.is_buckets:
            # Servers refuse this rename as a command of its own, and take it as an oplog entry.
            if replaced is None:
                del command["dropTarget"]
            else:
                self._refuse_index_builds(target)
                command["dropTarget"] = Binary(replaced, _UUID_SUBTYPE)
            command = {"applyOps": [{"op": "c", "ns": f"{target.database}.$cmd", "o": command}]}
        command |= {"writeConcern": MAJORITY, "maxTimeMS": _RENAME_MS}
        special = {TIME_IS_UP: _busy(target), NAMESPACE_EXISTS: _exists(target)}
        with translated(special):
            try:
                answer = self._client.admin.command(command)
            except OperationFailure as error:
                _raise_inner(error)
                raise
        check_write_concern(answer)

    def _refuse_index_builds(self, target: Namespace) -> None:
        """Wait for index builds: applyOps that drops under one ends the server (seen on 6.0)."""
        command = {"listIndexes": target.collection, "includeBuildUUIDs": True}
        with translated():
            found = self._client[target.database].command(command)["cursor"]["firstBatch"]
        if any("buildUUID" in each for each in found):
            raise TransientError(
                "target_busy",
                f"an index of {target.visible} is being built",
                hint="wait for the index build, or drop that index",
            )

    def complete_time_series(self, target: Namespace) -> None:
        """Make the view over renamed buckets, if it is missing."""
        visible = target.visible
        buckets = entry_of(self._client, visible.buckets)
        if buckets is None or entry_of(self._client, visible) is not None:
            return
        options = buckets["options"]
        command = {
            "create": visible.collection,
            "timeseries": options["timeseries"],
            **({"collation": options["collation"]} if "collation" in options else {}),
            "writeConcern": MAJORITY,
        }
        with translated():
            try:
                answer = self._client[visible.database].command(command)
            except OperationFailure as error:
                if server_code(error) != NAMESPACE_EXISTS:
                    raise
                return
        check_write_concern(answer)

    def set_expiry(self, target: Namespace, expire_after_s: int) -> None:
        """Let a clustered collection or a time series delete old documents again."""
        name = target.visible
        command = {
            "collMod": name.collection,
            "expireAfterSeconds": expire_after_s,
            "writeConcern": MAJORITY,
        }
        with translated():
            check_write_concern(self._client[name.database].command(command))

    def views(self, place: Namespace) -> tuple[ViewRule, ...]:
        """List the views, not the time series, whose definitions a collection holds."""
        found = []
        with translated():
            for each in self._client[place.database][place.collection].find({}, {"viewOn": 1}):
                rule = _view_rule(each)
                if not rule.on.startswith(BUCKETS_PREFIX):
                    found.append(rule)
        return tuple(sorted(found, key=lambda rule: rule.name))

    def put_view(self, place: Namespace, rule: ViewRule, target: Namespace, on: str) -> None:
        """Create a view as its definition in ``place`` says, in place of one of that name."""
        definitions = raw_database(self._client, place.database)[place.collection]
        database = self._client[target.database]
        with translated():
            found = definitions.find_one({"_id": str(rule.name)})
            if found is None:
                raise PermanentError("collection_gone", f"{place} no longer defines {rule.name}")
            options = options_of(found)
            options.pop("_id")
            command = {
                "create": target.collection,
                **options,
                "viewOn": on,
                "writeConcern": MAJORITY,
            }
            try:
                answer = database.command(command)
            except OperationFailure as error:
                if server_code(error) != NAMESPACE_EXISTS:
                    raise
                database.command({"drop": target.collection, "writeConcern": MAJORITY})
                passing(Point.SWITCH_VIEW_DROPPED)
                answer = database.command(command)
        check_write_concern(answer)

    def put_javascript(self, place: Namespace, database: str) -> None:
        """Make a database's stored JavaScript be exactly the documents of ``place``."""
        source = raw_database(self._client, place.database)[place.collection]
        with translated():
            updates: list[dict[str, Any]] = [
                {
                    "q": RawBSONDocument(framing.id_document(each.raw) or documents.EMPTY, RAW),
                    "u": RawBSONDocument(each.raw, RAW),
                    "upsert": True,
                }
                for each in source.find()
            ]
            kept = [each["q"]["_id"] for each in updates]
            stored = self._client[database]
            for each in updates:
                command = {"update": STORED_JAVASCRIPT, "updates": [each]}
                check_write_concern(stored.command({**command, "writeConcern": MAJORITY}))
                passing(Point.SWITCH_SCRIPT_UPDATED)
            deletes = [{"q": {"_id": {"$nin": kept}}, "limit": 0}]
            command = {"delete": STORED_JAVASCRIPT, "deletes": deletes}
            check_write_concern(stored.command({**command, "writeConcern": MAJORITY}))

    def merge_users(
        self, users: Namespace | None, roles: Namespace | None, *, replace: bool
    ) -> None:
        """Bring in users and roles from temporary collections."""
        with translated():
            merge(self._client, users, roles, replace=replace)

    def blockers(self) -> tuple[str, ...]:
        """Name the open transactions that a rename may be waiting for."""
        stages: list[dict[str, Any]] = [
            {"$currentOp": {"allUsers": True, "idleSessions": True}},
            {"$match": {"transaction": {"$exists": True}}},
            {"$limit": 10},
        ]
        with translated():
            return tuple(_transaction(each) for each in self._client.admin.aggregate(stages))


def _view_rule(found: Mapping[str, Any]) -> ViewRule:
    name, on = found["_id"], found.get("viewOn")
    # Not isinstance: code is a text too.
    if type(name) is not str or type(on) is not str or not on or "." not in name:
        raise PermanentError(
            "bad_view",
            f"the definition of the view {cut(repr(name))} says not what it reads",
            hint="no server wrote it; restore without its database, or another backup",
        )
    return ViewRule(name=Namespace.parse(name), on=on)


def _transaction(operation: Mapping[str, Any]) -> str:
    facts = operation["transaction"]
    open_s = int(facts.get("timeOpenMicros", 0)) // 1_000_000
    client = operation.get("client", "an internal client")
    name = operation.get("appName", "")
    return f"a transaction of {client}{f' ({name})' if name else ''}, open for {open_s} s"


def _busy(target: Namespace) -> Any:
    def error(_error: OperationFailure) -> TransientError:
        return TransientError(
            "target_busy",
            f"{target} is held by open transactions or long operations",
            hint="end the transactions on it",
        )

    return error


def _exists(target: Namespace) -> Any:
    def error(_error: OperationFailure) -> PermanentError:
        return PermanentError(
            "target_exists",
            f"{target} was created by others while the restore ran",
            hint="restore again, with overwrite: true if it should be replaced",
        )

    return error


def _raise_inner(error: OperationFailure) -> None:
    """Raise the error inside an answer of applyOps, which tells more than the outer one."""
    code = (error.details or {}).get("code")
    if code == NAMESPACE_NOT_FOUND:
        raise PermanentError(
            "collection_gone", "the temporary collection of a switch is gone"
        ) from error


def _proof(client: Client) -> SwitchTarget:
    return MongoSwitch(client)
