"""The index catalogue as raw specifications: what ``listIndexes`` would show at a time.

Every option is kept byte for byte, known to us or not.
"""

from collections.abc import Collection, Sequence
from typing import Final

from agent.codec.documents import decode, field, subdocument
from agent.codec.elements import Bytes, elements, find
from agent.core.errors import PermanentError
from agent.model.replay import DropIndexes

Specs = tuple[bytes, ...]

ID_INDEX: Final = "_id_"
# In a collMod's index document: which index, and what the server does not store as it stands.
_EXPIRY: Final = b"expireAfterSeconds"
_FLAGS: Final = (b"hidden", b"prepareUnique", b"unique")


def without(document: Bytes, names: Collection[bytes]) -> bytes:
    """Return a document without its top-level fields of some names; the rest byte for byte."""
    parts = [
        document[each.begin : each.end] for each in elements(document) if each.name not in names
    ]
    return _joined(parts)


def name_of(spec: bytes) -> str:
    """Return an index's name."""
    return str(field(spec, "name"))


def added(specs: Specs, new: Sequence[bytes]) -> Specs:
    """Return the catalogue with more indexes; one of a name that is there replaces it in place."""
    by_name = {name_of(spec): spec for spec in specs}
    by_name |= {name_of(spec): spec for spec in new}
    return tuple(by_name.values())


def dropped(specs: Specs, drop: DropIndexes) -> Specs:
    """Return the catalogue without some indexes; the one on ``_id`` always stays."""
    return tuple(spec for spec in specs if not _is_dropped(spec, drop))


def modified(specs: Specs, change: bytes) -> Specs:
    """Return the catalogue after a ``collMod`` of one index; none of that name: unchanged."""
    return tuple(_changed(spec, change) if _is_meant(spec, change) else spec for spec in specs)


def _is_dropped(spec: bytes, drop: DropIndexes) -> bool:
    name = name_of(spec)
    if name == ID_INDEX or field(spec, "clustered"):
        return False
    return drop.every or name in drop.names or any(_has_key(spec, key) for key in drop.keys)


def _has_key(spec: bytes, key: bytes) -> bool:
    # 1, 1.0 and Int64 1 are one direction: Python compares them as the server does.
    own = subdocument(spec, "key")
    return own is not None and list(decode(own).items()) == list(decode(key).items())


def _is_meant(spec: bytes, change: bytes) -> bool:
    name = field(change, "name")
    if name is not None:
        return name_of(spec) == name
    key = subdocument(change, "keyPattern")
    if key is None:
        raise PermanentError("damaged_bson", "a collMod names no index")
    return _has_key(spec, key)


def _changed(spec: bytes, change: bytes) -> bytes:
    for each in elements(change):
        if each.name == _EXPIRY:
            spec = _with(spec, each.name, change[each.begin : each.end])
        elif each.name in _FLAGS:
            # The server stores such a flag when it is set, and no field when it is not.
            is_set = bool(field(change, each.name.decode()))
            spec = _with(spec, each.name, change[each.begin : each.end] if is_set else b"")
            if each.name == b"unique" and is_set:
                spec = without(spec, {b"prepareUnique"})
        elif each.name == b"forceNonUnique" and field(change, "forceNonUnique"):
            spec = without(spec, {b"unique", b"prepareUnique"})
    return spec


def _with(spec: bytes, name: bytes, element: bytes) -> bytes:
    """Return a specification with a field replaced where it stands, or appended."""
    found = find(spec, name)
    if found is None:
        return _joined([spec[4:-1], element])
    return _joined([spec[4 : found.begin], element, spec[found.end : -1]])


def _joined(parts: Sequence[Bytes]) -> bytes:
    inner = b"".join(parts)
    return (len(inner) + 5).to_bytes(4, "little") + inner + b"\x00"
