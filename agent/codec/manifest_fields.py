"""Reading JSON that may be damaged or hostile, field by field, each with its place named."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from agent.codec import extended_json
from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace

T = TypeVar("T")
Reader = Callable[[object, str], T]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST: Final = 2**63 - 1
_LARGEST_PART: Final = 2**32 - 1
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_UUID_SUBTYPES: Final = frozenset({"04", "4"})
_UUID_BYTES: Final = 16


def refused(path: str, reason: str) -> PermanentError:
    """Return the error for a field that is not as it must be."""
    return PermanentError(
        "damaged_manifest",
        f"the manifest is damaged: {path or 'the whole'}: {reason}",
        hint="restore from another backup; the manifest was changed or cut off",
        field=path,
        reason=reason,
    )


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in some bytes. Raises: PermanentError ``damaged_manifest``."""
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise refused("", f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise refused("", "not a JSON object")
    return found


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice in one object")
    return found


class Fields:
    """The fields of one object; ``end`` refuses those that nobody asked for.

    Every method raises PermanentError ``damaged_manifest`` for a field that is missing or that
    its reader refuses; a reader takes a value and the place where it stands.
    """

    def __init__(self, place: str, found: Mapping[str, Any]) -> None:
        self._place = place
        self._found = found
        self._asked: set[str] = set()

    def path(self, name: str) -> str:
        """Return where a field stands in the whole manifest."""
        return f"{self._place}.{name}" if self._place else name

    def names(self) -> Sequence[str]:
        """Return the names of all fields, in their order."""
        return tuple(self._found)

    def get(self, name: str, read: Reader[T]) -> T:
        """Read a field that must be there."""
        self._asked.add(name)
        if name not in self._found:
            raise refused(self.path(name), "it is missing")
        return read(self._found[name], self.path(name))

    def optional(self, name: str, read: Reader[T]) -> T | None:
        """Read a field that may be absent or null."""
        self._asked.add(name)
        if self._found.get(name) is None:
            return None
        return read(self._found[name], self.path(name))

    def many(self, name: str, read: Reader[T]) -> tuple[T, ...]:
        """Read a field that must be there and a list; ``read`` is for each item."""
        items = self.get(name, _list)
        place = self.path(name)
        return tuple(read(item, f"{place}[{number}]") for number, item in enumerate(items))

    def end(self) -> None:
        """Refuse fields that were not asked for."""
        left = [name for name in self._found if name not in self._asked]
        if left:
            raise refused(self.path(left[0]), "there is no such field")


def fields(value: object, path: str) -> Fields:
    """Read an object."""
    return Fields(path, mapping(value, path))


def mapping(value: object, path: str) -> dict[str, Any]:
    """Read an object as it is."""
    if not isinstance(value, dict):
        raise refused(path, "not an object")
    return value


def text(value: object, path: str) -> str:
    """Read a text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise refused(path, "not a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise refused(path, "not a text") from error
    return value


def filled(value: object, path: str) -> str:
    """Read a text that is not empty."""
    found = text(value, path)
    if not found:
        raise refused(path, "it is empty")
    return found


def flag(value: object, path: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise refused(path, "neither true nor false")
    return value


def integer(value: object, path: str) -> int:
    """Read a whole number of 64 bits, plain or as ``$numberLong`` or ``$numberInt``."""
    found = value
    if isinstance(value, dict) and len(value) == 1:
        digits = value.get("$numberLong", value.get("$numberInt"))
        if isinstance(digits, str) and _INTEGER.fullmatch(digits):
            found = int(digits)
    if isinstance(found, bool) or not isinstance(found, int) or abs(found) > _LARGEST:
        raise refused(path, "not a whole number")
    return found


def count(value: object, path: str) -> int:
    """Read a whole number that is not negative."""
    found = integer(value, path)
    if found < 0:
        raise refused(path, "it is negative")
    return found


def time(value: object, path: str) -> ClusterTime:
    """Read a ``$timestamp``."""
    inner = Fields(path, mapping(_only(value, "$timestamp", path), path))
    found = ClusterTime(inner.get("t", _timestamp_part), inner.get("i", _timestamp_part))
    inner.end()
    return found


def _timestamp_part(value: object, path: str) -> int:
    found = count(value, path)
    if found > _LARGEST_PART:
        raise refused(path, "it is too large")
    return found


def date(value: object, path: str) -> datetime:
    """Read a ``$date``, canonical."""
    ms = integer(_only(value, "$date", path), path)
    try:
        return _EPOCH + timedelta(milliseconds=ms)
    except OverflowError as error:
        raise refused(path, "not a date of the years 1 to 9999") from error


def uuid(value: object, path: str) -> bytes:
    """Read a ``$uuid``, or a ``$binary`` of subtype 4."""
    if isinstance(value, dict) and "$binary" in value:
        inner = fields(_only(value, "$binary", path), path)
        subtype = inner.get("subType", text)
        found = inner.get("base64", base64_bytes)
        inner.end()
        if subtype not in _UUID_SUBTYPES or len(found) != _UUID_BYTES:
            raise refused(path, "not a UUID")
        return found
    try:
        return UUID(text(_only(value, "$uuid", path), path)).bytes
    except ValueError as error:
        raise refused(path, "not a UUID") from error


def sha256(value: object, path: str) -> str:
    """Read a digest in lower-case hex."""
    found = text(value, path)
    if not _SHA256.fullmatch(found):
        raise refused(path, "not a SHA-256")
    return found


def namespace(value: object, path: str) -> Namespace:
    """Read ``database.collection``."""
    try:
        return Namespace.parse(text(value, path))
    except PermanentError as error:
        if error.code == "damaged_manifest":
            raise
        raise refused(path, "not a namespace") from error


def base64_bytes(value: object, path: str) -> bytes:
    """Read base64."""
    try:
        return extended_json.from_base64(text(value, path))
    except ValueError as error:
        raise refused(path, "not base64") from error


def document(value: object, path: str) -> bytes:
    """Read base64 of one BSON document."""
    found = base64_bytes(value, path)
    if not extended_json.is_document(found):
        raise refused(path, "not a BSON document")
    return found


def _list(value: object, path: str) -> list[object]:
    if not isinstance(value, list):
        raise refused(path, "not a list")
    return value


def _only(value: object, name: str, path: str) -> object:
    """Return the value of an object's only field."""
    if not isinstance(value, dict) or set(value) != {name}:
        raise refused(path, f"not a {name}")
    found: object = value[name]
    return found
