"""Plain values and fencing tokens as BSON has them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, TypeVar

from bson import Code, Int64, Timestamp

from agent.model.cluster_time import ClusterTime
from agent.mongo.typed import is_typed

# Tokens are written into object names: counted from late 2020, they have 15 digits until 2052.
_TOKEN_EPOCH_S: Final = 1_600_000_000
# More operations than a server can do in one second.
_TOKENS_PER_S: Final = 1_000_000
# Of the last second that a cluster time can tell.
LARGEST_TOKEN: Final = 2**32 * _TOKENS_PER_S

T = TypeVar("T")

EPOCH: Final = datetime.fromtimestamp(0, tz=UTC)


def to_bson(value: object) -> Any:
    """Return a value as pymongo encodes it: cluster times as Timestamps, tuples as arrays."""
    match value:
        case ClusterTime():
            return timestamp(value)
        case Enum():
            return value.value
        case Mapping():
            return {str(key): to_bson(each) for key, each in value.items()}
        case list() | tuple():
            return [to_bson(each) for each in value]
        case _:
            return value


def from_bson(value: Any) -> Any:
    """Return a value that pymongo decoded, without the types that only BSON has a use for."""
    match value:
        case Timestamp():
            return cluster_time(value)
        case Int64():
            return int(value)
        case Code():  # a str to Python, and yet no text
            return {"$code": str.__str__(value)}
        case dict():
            return {key: from_bson(each) for key, each in value.items()}
        case list():
            return [from_bson(each) for each in value]
        case _:
            return value


def timestamp(time: ClusterTime) -> Timestamp:
    """Return a cluster time as BSON has it."""
    return Timestamp(time.seconds, time.increment)


def cluster_time(value: Timestamp) -> ClusterTime:
    """Return a BSON Timestamp as a cluster time."""
    return ClusterTime(value.time, value.inc)


def token_of(granted: Timestamp) -> int:
    """Return the fencing token that a cluster time stands for; it grows with the time.

    A Timestamp that ``$currentDate`` sets ticks the cluster's own clock: it is never given
    twice and never goes back, whatever becomes of the control database.
    """
    return (granted.time - _TOKEN_EPOCH_S) * _TOKENS_PER_S + granted.inc


def granted_at(token: int) -> Timestamp:
    """Undo ``token_of``."""
    seconds, increment = divmod(token, _TOKENS_PER_S)
    return Timestamp(seconds + _TOKEN_EPOCH_S, increment)


def readable(
    read: Callable[[Mapping[str, Any]], T], found: Iterable[Mapping[str, Any]]
) -> Iterator[T]:
    """Yield what ``read`` makes of documents, without those that are not as agents write them.

    People may change what is in the control database; that must not end an agent.
    """
    for each in found:
        try:
            value = read(each)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            continue
        if is_typed(value):
            yield value
