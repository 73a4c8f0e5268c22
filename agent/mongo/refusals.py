"""Why a validator refused a document, in sentences.

The server's ``errInfo`` is a tree of broken rules, as "Specify JSON Schema Validation" in its
manual shows; what each kind of rule looks like was seen on 5.0 and 6.0.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_Rule = Mapping[str, Any]


def refusals(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sentences in a validation error's ``errInfo``, one for each fault."""
    rules = info.get("details", {}).get("schemaRulesNotSatisfied", ())
    return tuple(dict.fromkeys(_sentences(rules, "", "")))


def _sentences(rules: Sequence[_Rule], place: str, meaning: str) -> Iterator[str]:
    """Walk the tree; ``meaning`` describes the field at ``place``."""
    prefix = f"{place}: " if place else ""
    for rule in rules:
        faults = list(_direct(rule))
        inner = [] if faults else list(_inner(rule, place, meaning))
        if not faults and not inner:
            faults = [_plain(rule, meaning)]
        yield from (prefix + fault for fault in faults)
        for each in inner:
            yield from _sentences(*each)


def _direct(rule: _Rule) -> Iterator[str]:
    """Yield what a rule says by itself of the document that it is about."""
    match rule:
        case {"missingProperties": names}:
            yield from (f"{name!r} is missing" for name in names)
        case {"operatorName": "additionalProperties", "additionalProperties": [*names]}:
            yield from (f"there is no field {name!r}" for name in names)
        case {"failingDependencies": parts}:
            for part in parts:
                yield _of_dependency(part)
        case {"schemasNotSatisfied": parts}:
            yield from (part["description"] for part in parts if "description" in part)


def _inner(rule: _Rule, place: str, meaning: str) -> Iterator[tuple[Sequence[_Rule], str, str]]:
    """Yield the rules within a rule, each with the place and the meaning of its field."""
    match rule:
        case {"propertiesNotSatisfied": parts}:
            for part in parts:
                field = f"{place}.{part['propertyName']}".lstrip(".")
                yield part["details"], field, part.get("description", "")
        case {"schemasNotSatisfied": parts}:
            for part in parts:
                yield part["details"], place, meaning
        case {"details": [*rules]}:
            below = rule.get("itemIndex", rule.get("failingProperty", ""))
            yield rules, f"{place}.{below}".strip("."), ""


def _of_dependency(part: _Rule) -> str:
    """Say that a field does not go with what is beside it, or without what is not."""
    if missing := part.get("missingProperties"):
        return f"{part['conditionalProperty']} needs {', '.join(map(repr, missing))} beside it"
    broken = [each for rule in part["details"] for each in rule.get("propertiesNotSatisfied", ())]
    told = (each["description"] for each in broken if "description" in each)
    return next(told, f"{part['conditionalProperty']} is no option of this command")


def _plain(rule: _Rule, meaning: str) -> str:
    match rule:
        case {"operatorName": "bsonType", "specifiedAs": {"bsonType": wanted}}:
            types = wanted if isinstance(wanted, list) else [wanted]
            return f"must be {' or '.join(map(str, types))}, not {rule.get('consideredType')}"
        case {"operatorName": "enum", "specifiedAs": {"enum": [*values]}}:
            return f"must be one of: {', '.join(map(str, values))}"
        case {"operatorName": "minItems"}:
            return "must not be empty"
    return meaning or str(rule.get("reason") or rule.get("operatorName"))
