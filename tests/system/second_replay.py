"""A second, simple reading of the oplog, to judge the product's by.

It shares no code with the product, and knows what the writers of these tests do, not all that a
server can. It keeps every document in memory, decoded: the writers use values that survive that.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import bson
from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from tests.system.observed import TEMPORARY
from tests.testbed.clients import Client, Document

_RAW = CodecOptions(document_class=RawBSONDocument)
_ID_INDEX = "_id_"
_VIEWS = "system.views"


@dataclass(slots=True)
class _Collection:
    namespace: str
    options: Document
    indexes: dict[str, Document] = field(default_factory=dict)
    documents: dict[bytes, Document] = field(default_factory=dict)

    def alter(self, name: str, command: Document) -> None:
        match name:
            case "renameCollection":
                self.namespace = command["to"]
                if not command.get("stayTemp"):
                    self.options.pop("temp", None)
            case "createIndexes":
                command.pop("createIndexes")
                self.indexes[command["name"]] = _listed(command)
            case "commitIndexBuild":
                self.indexes |= {each["name"]: _listed(each) for each in command["indexes"]}
            case "dropIndexes":
                self.indexes.pop(command["index"])
            case "collMod":
                self._modify(command)
            case other:
                raise AssertionError(f"a command {other}")

    def _modify(self, command: Document) -> None:
        command.pop("collMod")
        change: Document | None = command.pop("index", None)
        self.options |= command
        if command:
            # The server spells its defaults out as soon as a rule is changed.
            self.options.setdefault("validationLevel", "strict")
            self.options.setdefault("validationAction", "error")
        if change is not None:
            index = self.indexes[change.pop("name")]
            index |= _listed(change)
            if index.get("hidden") is False:
                del index["hidden"]


def _listed(index: Document) -> Document:
    """Return an index as a listing has it: a time of expiry, int64 in the oplog, is an int32."""
    if "expireAfterSeconds" not in index:
        return index
    return {**index, "expireAfterSeconds": int(index["expireAfterSeconds"])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What some databases hold: by namespace documents, options and indexes, as bytes or text."""

    documents: Mapping[str, Mapping[bytes, bytes]]
    """In the order in which they came."""
    options: Mapping[str, str]
    indexes: Mapping[str, Mapping[str, str]]

    def inserted(self, namespace: str, name: str) -> list[object]:
        """Return a field of each document of a collection, in the order of the inserts."""
        return [bson.decode(each).get(name) for each in self.documents[namespace].values()]

    def differences(self, other: "Picture") -> list[str]:
        """Return a line for each difference, `other` being what came out."""
        found = [
            f"{what} of {name}: expected {mine.get(name)}, is {theirs.get(name)}"
            for what, mine, theirs in (
                ("options", self.options, other.options),
                ("indexes", self.indexes, other.indexes),
            )
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]
        for name in sorted(self.documents.keys() & other.documents.keys()):
            mine, theirs = self.documents[name], other.documents[name]
            wrong = [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
            shown = [(_shown(mine.get(key)), _shown(theirs.get(key))) for key in wrong[:3]]
            if wrong:
                found.append(f"{len(wrong)} documents of {name}: (expected, is) {shown}")
        return found


def note(client: Client) -> Timestamp:
    """Write an oplog note, and return its cluster time."""
    written = client.admin.command("appendOplogNote", data={"test": "a mark"})
    time: Timestamp = written["operationTime"]
    return time


def live_picture(client: Client, databases: Iterable[str]) -> Picture:
    """Look at what is there now."""
    documents: dict[str, dict[bytes, bytes]] = {}
    options: dict[str, str] = {}
    indexes: dict[str, dict[str, str]] = {}
    for database in databases:
        for listed in client[database].list_collections():
            if listed["type"] in {"view", "timeseries"} or listed["options"].get("temp"):
                continue
            name = f"{database}.{listed['name']}"
            if listed["name"] == _VIEWS and not client[database][_VIEWS].find_one():
                continue
            options[name] = _text(listed["options"])
            collection = client[database].with_options(codec_options=_RAW)[listed["name"]]
            documents[name] = {_key(each): bytes(each.raw) for each in collection.find()}
            listing = client[database].command("listIndexes", listed["name"])["cursor"]
            indexes[name] = {
                index["name"]: _text(index)
                for index in listing["firstBatch"]
                if index["name"] != _ID_INDEX
            }
    return Picture(documents=documents, options=options, indexes=indexes)


def replayed_picture(
    client: Client, databases: Iterable[str], after: Timestamp, last: Timestamp
) -> Picture:
    """Replay what was written to databases that were empty at `after`, up to and with `last`."""
    state = _State(frozenset(databases))
    query = {"ts": {"$gt": after, "$lte": last}}
    with client["local"]["oplog.rs"].find(query).sort("$natural", 1) as cursor:
        for entry in cursor:
            state.apply(entry)
    return state.picture()


class _State:
    def __init__(self, databases: frozenset[str]) -> None:
        self._databases = databases
        self._collections: dict[bytes, _Collection] = {}

    def picture(self) -> Picture:
        # A server whose last view was dropped keeps an empty collection of views; what a restore
        # was filling at the time is of no backup.
        shown = [
            each
            for each in self._collections.values()
            if not each.options.get("temp")
            and TEMPORARY not in each.namespace
            and (each.documents or not each.namespace.endswith(f".{_VIEWS}"))
        ]
        return Picture(
            documents={
                each.namespace: {key: bson.encode(one) for key, one in each.documents.items()}
                for each in shown
            },
            options={each.namespace: _text(each.options) for each in shown},
            indexes={
                each.namespace: {name: _text(index) for name, index in each.indexes.items()}
                for each in shown
            },
        )

    def apply(self, entry: Document) -> None:
        database = entry["ns"].split(".", 1)[0]
        is_transaction = entry["op"] == "c" and "applyOps" in entry["o"]
        if is_transaction:
            for each in entry["o"]["applyOps"]:
                self.apply(each)
        elif database in self._databases:
            if entry["op"] == "c":
                self._command(entry, database)
            elif entry["op"] != "n":
                self._change(entry)

    def _change(self, entry: Document) -> None:
        collection = self._collections[entry["ui"]]
        key = _key(entry["o2"] if entry["op"] == "u" else entry["o"])
        match entry["op"]:
            case "i":
                collection.documents[key] = entry["o"]
            case "d":
                collection.documents.pop(key, None)
            case "u" if "diff" in entry["o"]:
                old = collection.documents[key]
                collection.documents[key] = _with_diff(old, entry["o"]["diff"])
            case "u":
                collection.documents[key] = entry["o"]
            case other:
                raise AssertionError(f"an entry of type {other}")

    def _command(self, entry: Document, database: str) -> None:
        command: Document = copy.deepcopy(entry["o"])
        name = next(iter(command))
        if name == "create":
            namespace = f"{database}.{command.pop('create')}"
            command.pop("idIndex", None)
            self._collections[entry["ui"]] = _Collection(namespace, command)
        elif name == "drop":
            del self._collections[entry["ui"]]
        elif name not in {"dropDatabase", "startIndexBuild", "abortIndexBuild"}:
            if command.get("dropTarget"):
                del self._collections[command["dropTarget"]]
            self._collections[entry["ui"]].alter(name, command)


def _with_diff(old: Document, diff: Document) -> Document:
    new = {name: value for name, value in old.items() if name not in diff.get("d", {})}
    new |= diff.get("u", {})
    for name, value in diff.get("i", {}).items():
        new.pop(name, None)
        new[name] = value
    for name, inner in diff.items():
        if name[0] == "s":
            part = new[name[1:]]
            with_part = _array_with_diff if inner.get("a") else _with_diff
            new[name[1:]] = with_part(part, inner)
    return new


def _array_with_diff(old: list[Any], diff: Document) -> list[Any]:
    new = list(old[: diff.get("l", len(old))])
    for name, value in diff.items():
        if name[0] in "us" and name[1:].isdigit():
            place = int(name[1:])
            new += [None] * (place + 1 - len(new))
            new[place] = value if name[0] == "u" else _with_diff(new[place], value)
    return new


def _key(document: Mapping[str, Any]) -> bytes:
    return bson.encode({"_id": document["_id"]})


def _text(value: Mapping[str, Any]) -> str:
    ordered = {name: value[name] for name in sorted(value)}
    return json_util.dumps(ordered, json_options=json_util.CANONICAL_JSON_OPTIONS)


def _shown(data: bytes | None) -> object:
    return None if data is None else bson.decode(data)
