"""BSON documents as Canonical Extended JSON, and back to the same bytes.

Extended JSON cannot carry everything that BSON can (doubled fields, a query ``{$regex: ..}``
against a regular expression, malformed text, some deprecated types). ``readable`` therefore
proves each document by reading it back, and the caller keeps the bytes of those that fail.
"""

import base64
import binascii
import json
from typing import Any, Final

import bson
from bson import json_util
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions

from agent.codec.framing import bounds
from agent.core.errors import PermanentError

_BSON: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="replace",
)
_JSON: Final = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)
# What json_util and bson raise for values of the wrong kind inside of {"$date": ..} and its like.
_UNREADABLE: Final = (
    BSONError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
)
_LINE_LENGTH: Final = 100


def readable(document: bytes) -> tuple[dict[str, Any], bool]:
    """Return a document as Extended JSON, and whether ``document_of`` gives the same bytes again.

    If it does not, the JSON is for people only, and may be empty.
    """
    try:
        text = json_util.dumps(bson.decode(document, codec_options=_BSON), json_options=_JSON)
        shown: dict[str, Any] = json.loads(text)
    except _UNREADABLE:
        return {}, False
    return shown, document_of(shown) == document


def document_of(shown: dict[str, Any]) -> bytes | None:
    """Return the document that Extended JSON describes, or None if it describes none."""
    try:
        value = json_util.loads(json.dumps(shown), json_options=_JSON)
        if not isinstance(value, dict):  # {"$oid": ..} alone is no document
            return None
        return bson.encode(value, codec_options=_BSON)
    except _UNREADABLE:
        return None


def to_base64(document: bytes) -> str:
    """Return bytes as text."""
    return base64.b64encode(document).decode("ascii")


def from_base64(text: str) -> bytes:
    """Return the bytes of a text. Raises: ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def is_document(data: bytes) -> bool:
    """Whether bytes are exactly one document, by its length and terminator."""
    try:
        return bounds(data) == [0, len(data)]
    except PermanentError:
        return False


def layout(value: object) -> str:
    """Return JSON for people: what fits stands on one line, everything else is indented by one.

    The order of the fields is kept.
    """
    return "".join(_lines(value, "\n"))


def _lines(value: object, newline: str) -> list[str]:
    compact = json.dumps(value, ensure_ascii=False)
    if len(compact) + len(newline) <= _LINE_LENGTH or not value:
        return [compact]
    inner = newline + " "
    parts: list[str] = []
    match value:
        case dict():
            for name, each in value.items():
                parts += [",", inner] if parts else [inner]
                parts += [json.dumps(name, ensure_ascii=False), ": ", *_lines(each, inner)]
            return ["{", *parts, newline, "}"]
        case list():
            for each in value:
                parts += [",", inner] if parts else [inner]
                parts += _lines(each, inner)
            return ["[", *parts, newline, "]"]
    return [compact]
