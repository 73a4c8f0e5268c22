"""What a restore must know of indexes: read and changed as bytes, all else verbatim."""

import json
from collections.abc import Iterable
from typing import Final

from agent.codec import documents
from agent.codec.elements import DOCUMENT, elements
from agent.codec.extended_json import readable
from agent.model.catalogue import Collection
from agent.model.names import Namespace
from agent.model.restore_plan import TtlRule

_EXPIRY: Final = "expireAfterSeconds"
# Fields that servers list, and no longer take or mean.
_NEVER: Final = frozenset({b"ns", b"background"})
_OLDEST_INDEX_VERSION: Final = 2
_COLL_MOD_MAKES_TTL: Final = (5, 1)


def ttl_rules(collection: Collection) -> tuple[TtlRule, ...]:
    """Return what deletes old documents in a collection: its TTL indexes, and itself."""
    found = []
    if collection.traits.ttl_s is not None and collection.has_data:
        found.append(_rule(collection, "", float(collection.traits.ttl_s)))
    for index in collection.indexes:
        seconds = documents.field(index, _EXPIRY)
        if isinstance(seconds, int | float):
            found.append(_rule(collection, str(documents.field(index, "name")), float(seconds)))
    return tuple(found)


def held_ttl(
    collection: Collection, ttl_s: int | None, target: Namespace, server_version: str
) -> list[dict[str, object]]:
    """Return what was restored without its expiry, each with the line that gives it back.

    ``ttl_s`` is the expiry of the collection itself. From 5.1 on an index is made to expire by
    ``collMod``; before, it is built again.
    """
    shell = f"db.getSiblingDB({_quoted(target.database)}).runCommand("
    name = _quoted(target.visible.collection)
    rows: list[dict[str, object]] = []
    if ttl_s is not None:
        line = f"{shell}{{collMod: {name}, expireAfterSeconds: {ttl_s}}})"
        rows.append(_held(target, "", ttl_s, line))
    for index in filter(is_ttl, collection.indexes):
        called, seconds = str(documents.field(index, "name")), documents.field(index, _EXPIRY)
        quoted = _quoted(called)
        line = (
            f"{shell}{{collMod: {name}, index: {{name: {quoted}, expireAfterSeconds: {seconds}}}}})"
        )
        if _release(server_version) < _COLL_MOD_MAKES_TTL:
            (built,) = specifications(collection, [index])
            text = json.dumps(readable(built)[0], ensure_ascii=False)
            line = (
                f"{shell}{{dropIndexes: {name}, index: {quoted}}}); "
                f"{shell}{{createIndexes: {name}, indexes: [EJSON.parse({_quoted(text)})]}})"
            )
        rows.append(_held(target, called, seconds, line))
    return rows


def _held(target: Namespace, index: str, seconds: object, line: str) -> dict[str, object]:
    return {
        "namespace": str(target.visible),
        "index": index,
        "expire_after_s": seconds,
        "enable": line,
    }


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def is_ttl(index: bytes) -> bool:
    """Whether an index deletes old documents."""
    return documents.field(index, _EXPIRY) is not None


def specifications(
    collection: Collection, indexes: Iterable[bytes], *, hold_ttl: bool = False
) -> tuple[bytes, ...]:
    """Return what to ask a server for, so that it lists these indexes afterwards.

    Without those that come with every collection. An index without a collation gets the
    simple one where the collection has another, which it would inherit. ``hold_ttl`` makes
    TTL indexes plain ones.
    """
    left_out = _NEVER | {_EXPIRY.encode()} if hold_ttl else _NEVER
    return tuple(
        _specification(index, left_out, needs_simple=collection.traits.has_collation)
        for index in indexes
        if not _comes_with_collection(index)
    )


def _specification(index: bytes, left_out: frozenset[bytes], *, needs_simple: bool) -> bytes:
    body = b""
    names = set()
    for each in elements(index):
        names.add(each.name)
        is_old = each.name == b"v" and _version(index) < _OLDEST_INDEX_VERSION
        if each.name not in left_out and not is_old:
            body += index[each.begin : each.end]
    if needs_simple and b"collation" not in names:
        simple = documents.encode({"locale": "simple"})
        body += bytes([DOCUMENT]) + b"collation\x00" + simple
    return (len(body) + 5).to_bytes(4, "little") + body + b"\x00"


def _version(index: bytes) -> int:
    found = documents.field(index, "v")
    return int(found) if isinstance(found, int | float) else _OLDEST_INDEX_VERSION


def _comes_with_collection(index: bytes) -> bool:
    return documents.field(index, "name") == "_id_" or bool(documents.field(index, "clustered"))


def _rule(collection: Collection, index: str, seconds: float) -> TtlRule:
    return TtlRule(namespace=collection.namespace, index=index, expire_after_s=seconds)
