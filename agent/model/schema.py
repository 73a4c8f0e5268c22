"""The validators of the collections that operators insert into, made from the models."""

import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.model.commands import AGENT_FIELDS, REQUESTS, Bson, Request
from agent.model.schedules import MARK_FIELDS, SCHEDULED, Schedule
from agent.model.states import State

Schema = dict[str, Any]
_Requests = Mapping[str, type[Request]]

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
            "properties": {"_id": {}, **_properties(REQUESTS), **_agent_properties()},
            "dependencies": _belonging(REQUESTS),
            "allOf": list(_needs(REQUESTS)),
        }
    }


def schedules_validator() -> Mapping[str, object]:
    """Return the validator of the ``schedules`` collection.

    It holds back what ``commands`` would, too. That a time zone exists, that a date comes up and
    that a command's options go together, only a parse can tell.
    """
    model = _model(Schedule)
    marks = {
        name: {"bsonType": list(types), "description": "written by the agents"}
        for name, types in MARK_FIELDS.items()
    }
    properties = {**model["properties"], **marks}
    properties["command"] = {
        "bsonType": ["object"],
        "description": properties["command"]["description"],
        "required": [_KIND],
        "additionalProperties": False,
        "properties": _properties(SCHEDULED),
        "dependencies": _belonging(SCHEDULED),
        "allOf": list(_needs(SCHEDULED)),
    }
    properties["retention"]["minProperties"] = 1
    # A description is told of a property only, not of a rule about the whole.
    beside = {"not": {}, "description": "storage is an option within command, if there is one"}
    return {
        "$jsonSchema": {
            **model,
            "bsonType": "object",
            "title": "schedules",
            "properties": properties,
            "dependencies": {
                "cron": ["command"],
                "command": ["cron"],
                "storage": {"properties": {"command": beside}},
            },
            "anyOf": [
                {"description": "cron and command are missing", "required": ["command"]},
                {"description": "retention is missing", "required": ["retention"]},
            ],
        }
    }


def _properties(requests: _Requests) -> Schema:
    names = sorted(requests)
    properties: Schema = {_KIND: {"enum": names, "description": f"one of: {', '.join(names)}"}}
    options = _options(requests)
    for option, commands in sorted(options.items()):
        schemas = [_field(_info(name, option)) for name in commands]
        properties[option] = {**schemas[0], "description": _description(option, commands)}
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


def _belonging(requests: _Requests) -> Schema:
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
        for option, commands in sorted(_options(requests).items())
        if len(commands) < len(requests)
    }


def _needs(requests: _Requests) -> Iterator[Schema]:
    """Yield a rule for each option that some command cannot do without."""
    for option, commands in sorted(_options(requests).items()):
        needing = [name for name in commands if _info(name, option).is_required()]
        if needing:
            # A document without a command fails for that alone.
            needed = {"required": [_KIND], "properties": {_KIND: {"enum": needing}}}
            yield {
                "description": f"{option} is missing; needed by: {', '.join(needing)}",
                "anyOf": [{"not": needed}, {"required": [option]}],
            }


def _options(requests: _Requests) -> dict[str, list[str]]:
    """Return every option with the commands that take it."""
    found: dict[str, list[str]] = {}
    for name, model in sorted(requests.items()):
        for key, info in model.model_fields.items():
            if key != _KIND:
                found.setdefault(info.alias or key, []).append(name)
    return found


def _key(command: str, option: str) -> str:
    fields = REQUESTS[command].model_fields
    return next(key for key, info in fields.items() if (info.alias or key) == option)


def _info(command: str, option: str) -> FieldInfo:
    return REQUESTS[command].model_fields[_key(command, option)]


def _description(option: str, commands: Sequence[str]) -> str:
    """Return the meanings of an option, each once, with the commands that it has them in."""
    meanings: dict[str, list[str]] = {}
    for command in commands:
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
    return _limited({"bsonType": list(_BSON_TYPES[annotation])}, metadata)


def _model(model: type[BaseModel]) -> Schema:
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    required = [name for name, info in fields.items() if info.is_required()]
    return {
        "bsonType": ["object"],
        "additionalProperties": False,
        # The server takes no empty list here.
        **({"required": required} if required else {}),
        "properties": {
            name: {**_field(info), "description": info.description} for name, info in fields.items()
        },
    }


def _limited(schema: Schema, metadata: Sequence[object]) -> Schema:
    for mark in metadata:
        match mark:
            case MinLen(min_length=least) if "items" in schema:
                schema["minItems"] = least
            case Ge(ge=least):
                schema["minimum"] = least
            case Le(le=most):
                schema["maximum"] = most
    return schema


def _flat(metadata: Sequence[object]) -> list[object]:
    return [
        inner
        for mark in metadata
        for inner in (mark.metadata if isinstance(mark, FieldInfo) else [mark])
    ]
