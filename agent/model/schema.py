"""The validator of the ``commands`` collection, made from the models of the commands."""

import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.model.commands import AGENT_FIELDS, REQUESTS, Bson
from agent.model.states import State

Schema = dict[str, Any]

_BSON_TYPES: Final[Mapping[object, tuple[str, ...]]] = {
    str: ("string",),
    bool: ("bool",),
    int: ("int", "long"),
    float: ("double", "int", "long"),
    datetime: ("date",),
}
_KIND: Final = "command"


def commands_validator() -> Mapping[str, object]:
    """Return the validator of the ``commands`` collection.

    An unknown field, a wrong type, an option of another command and a missing option each
    fail under a rule that names the field.
    """
    return {
        "$jsonSchema": {
            "bsonType": "object",
            "title": "commands",
            "required": [_KIND],
            "additionalProperties": False,
            "properties": {"_id": {}, **_properties(), **_agent_properties()},
            "dependencies": _belonging(),
            "allOf": list(_needs()),
        }
    }


def _properties() -> Schema:
    names = sorted(REQUESTS)
    properties: Schema = {_KIND: {"enum": names, "description": f"one of: {', '.join(names)}"}}
    for option in sorted(_options()):
        commands = _options()[option]
        schemas = [_field(REQUESTS[name].model_fields[_key(name, option)]) for name in commands]
        properties[option] = {**schemas[0], "description": _description(option)}
        if any(schema != schemas[0] for schema in schemas):
            raise TypeError(f"the option {option} means different types in different commands")
    return properties


def _agent_properties() -> Schema:
    properties: Schema = {
        name: {"bsonType": list(types), "description": "written by the agents"}
        for name, types in AGENT_FIELDS.items()
    }
    properties["state"]["enum"] = [str(state) for state in State]
    return properties


def _belonging() -> Schema:
    """Return, for each option that not every command takes, which commands do."""
    return {
        option: {
            "properties": {
                _KIND: {
                    "enum": commands,
                    "description": f"{option} is no option of this command; it is of: "
                    f"{', '.join(commands)}",
                }
            }
        }
        for option, commands in sorted(_options().items())
        if len(commands) < len(REQUESTS)
    }


def _needs() -> Iterator[Schema]:
    """Yield a rule for each option that some command cannot do without."""
    for option, commands in sorted(_options().items()):
        needing = [name for name in commands if _info(name, option).is_required()]
        if needing:
            # A document without a command fails for that alone.
            needed = {"required": [_KIND], "properties": {_KIND: {"enum": needing}}}
            yield {
                "description": f"{option} is missing; needed by: {', '.join(needing)}",
                "anyOf": [{"not": needed}, {"required": [option]}],
            }


def _options() -> dict[str, list[str]]:
    """Return every option with the commands that take it."""
    found: dict[str, list[str]] = {}
    for name, model in sorted(REQUESTS.items()):
        for key, info in model.model_fields.items():
            if key != _KIND:
                found.setdefault(info.alias or key, []).append(name)
    return found


def _key(command: str, option: str) -> str:
    fields = REQUESTS[command].model_fields
    return next(key for key, info in fields.items() if (info.alias or key) == option)


def _info(command: str, option: str) -> FieldInfo:
    return REQUESTS[command].model_fields[_key(command, option)]


def _description(option: str) -> str:
    """Return the meanings of an option, each once, with the commands that it has them in."""
    meanings: dict[str, list[str]] = {}
    for command in _options()[option]:
        meanings.setdefault(_info(command, option).description or "", []).append(command)
    if len(meanings) == 1:
        return next(iter(meanings))
    return "; ".join(f"{', '.join(names)}: {meaning}" for meaning, names in meanings.items())


def _field(info: FieldInfo) -> Schema:
    return _schema(info.annotation, info.metadata)


def _schema(annotation: Any, metadata: Sequence[object] = ()) -> Schema:
    for mark in metadata:
        if isinstance(mark, Bson):
            pattern = {"pattern": f"^{mark.text}$"} if mark.text else {}
            return {"bsonType": list(mark.types), **pattern}
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Annotated:
        return _schema(arguments[0], _flat(arguments[1:]))
    if origin in {Union, types.UnionType}:
        (single,) = (each for each in arguments if each is not type(None))
        return _schema(single, metadata)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return _limited({"bsonType": ["array"], "items": _schema(arguments[0])}, metadata)
    if origin is dict:
        return {"bsonType": ["object"], "additionalProperties": _schema(arguments[1])}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model(annotation)
    return {"bsonType": list(_BSON_TYPES[annotation])}


def _model(model: type[BaseModel]) -> Schema:
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    return {
        "bsonType": ["object"],
        "additionalProperties": False,
        "required": [name for name, info in fields.items() if info.is_required()],
        "properties": {
            name: {**_field(info), "description": info.description} for name, info in fields.items()
        },
    }


def _limited(schema: Schema, metadata: Sequence[object]) -> Schema:
    for mark in metadata:
        if isinstance(mark, MinLen):
            schema["minItems"] = mark.min_length
    return schema


def _flat(metadata: Sequence[object]) -> list[object]:
    return [
        inner
        for mark in metadata
        for inner in (mark.metadata if isinstance(mark, FieldInfo) else [mark])
    ]
