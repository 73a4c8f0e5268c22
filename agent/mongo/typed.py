"""Whether a value that was read from a document is what its type says, all the way down."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import MAXYEAR, datetime
from enum import Enum
from functools import lru_cache
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

_EPOCH_YEAR: Final = 1970


def is_typed(value: object) -> bool:
    """Whether every field of a dataclass holds a value of its type.

    Dates are those with which one can reckon; numbers are finite.
    """
    kind: Any = type(value)
    return all(_fits(getattr(value, name), hint) for name, hint in _hints(kind))


@lru_cache(maxsize=64)
def _hints(kind: type) -> tuple[tuple[str, Any], ...]:
    if not is_dataclass(kind):
        return ()
    hints = get_type_hints(kind)
    return tuple((each.name, hints[each.name]) for each in fields(kind))


def _fits(value: object, hint: Any) -> bool:
    match get_origin(hint):
        case None:
            return _fits_plain(value, hint)
        case kind if kind is Union or kind is UnionType:
            return any(_fits(value, each) for each in get_args(hint))
        case kind if kind is Literal:
            return type(value) in {str, int, bool} and value in get_args(hint)
        case kind if kind is tuple:
            return isinstance(value, tuple) and all(
                _fits(each, get_args(hint)[0]) for each in value
            )
        case kind if issubclass(kind, Mapping):
            names, values = get_args(hint)
            return isinstance(value, Mapping) and all(
                _fits(name, names) and _fits(each, values) for name, each in value.items()
            )
        case kind:
            return isinstance(value, kind)


def _fits_plain(value: object, hint: Any) -> bool:
    if hint is object or hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if hint in {int, float} and isinstance(value, bool):
        return False
    if hint is float:
        return isinstance(value, int | float) and math.isfinite(value)
    if hint is str:
        # Not isinstance: BSON's code is a text too, and cannot be looked up.
        return type(value) is str or isinstance(value, Enum)
    if hint is datetime:
        return isinstance(value, datetime) and _EPOCH_YEAR <= value.year < MAXYEAR
    return isinstance(value, hint) and is_typed(value)
