"""Read the configuration file, and say in one line what is wrong with it."""

import difflib
import os
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Final, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agent.core.errors import ConfigError
from agent.settings import notices, percona
from agent.settings.document import Settings
from agent.settings.shape import REFUSED
from agent.settings.storage import StorageSettings

URI_VARIABLE: Final = "BACKSTAY_MONGODB_URI"
CONFIG_VARIABLE: Final = "BACKSTAY_CONFIG"
# Where systemd puts what LoadCredential= names, and the name under which the address is looked for.
CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
URI_CREDENTIAL: Final = "backstay-mongodb-uri"
DEFAULT_CONFIG: Final = Path("/etc/backstay/config.yaml")

# YAML of this size takes seconds; the example with all its comments has 10 KB.
_LARGEST_BYTES: Final = 256 * 1024

_EXPECTED: Final = {
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "model_type": "must be a block of settings",
    "dict_type": "must be a block of settings",
    "tuple_type": "must be a list",
    "path_type": "must be a path",
}


def load(path: Path, environment: Mapping[str, str]) -> Settings:
    """Return the settings in a file; the environment may give the address of the node alone.

    Raises: ConfigError, whose message is one line that names the file, the setting and the mend,
    and never a value that may be secret.
    """
    try:
        raw, ignored = _spell(_read(path), path.parent)
        raw["mongodb"] = _with_uri(raw.get("mongodb"), path.parent, environment)
        if "notify" in raw:
            raw["notify"] = notices.with_files(
                raw["notify"], lambda file, field: _text_of(path.parent / file, field)
            )
        settings = _validate(raw)
        _check_files(settings)
    except ConfigError as error:
        raise ConfigError(
            error.code, f"{path}: {error.message}", hint=error.hint, **error.facts
        ) from error
    # Not settings, but facts about the file.
    settings._ignored = ignored  # noqa: SLF001
    settings._file = path  # noqa: SLF001
    return settings


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process."""
    return os.environ


def config_path(environment: Mapping[str, str]) -> Path:
    """Return the configuration file to read when none was named."""
    named = environment.get(CONFIG_VARIABLE, "").strip()
    return Path(named) if named else DEFAULT_CONFIG


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one block, of which YAML would keep the last."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002
        """Return a value; one that looks like a date and is none, for example, has its line."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, ArithmeticError, AttributeError):
            mark = node.start_mark
            place = f"line {mark.line + 1}, column {mark.column + 1}"
            raise ConfigError(
                "config_syntax", f"{place}: the value cannot be read; put it in quotes"
            ) from None


def _unique(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, object]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise ConfigError("config_syntax", f"the key {key} stands twice (line {line})")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique)


def _read(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError("config_unreadable", "the file is too large for a configuration")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            "config_unreadable", f"the file cannot be read: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("config_unreadable", "the file is not UTF-8 text") from error
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        # The library's own text quotes the line, which may hold a password.
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError("config_syntax", f"{place}{error.problem or 'not YAML'}") from None
    except RecursionError:
        raise ConfigError("config_syntax", "the blocks are nested too deep") from None
    except (yaml.YAMLError, TypeError):
        raise ConfigError("config_syntax", "the file is not YAML") from None
    if not isinstance(raw, dict):
        raise ConfigError("config_syntax", "the file must be a block of settings")
    return {str(key): value for key, value in raw.items()}


def _spell(raw: dict[str, object], folder: Path) -> tuple[dict[str, object], tuple[str, ...]]:
    """Put the storage blocks into our spelling; return them with what was left out."""
    ignored: list[str] = []

    def ours(block: object, where: str) -> object:
        if not isinstance(block, Mapping):
            return block
        made, left_out = percona.translate(block, where)
        ignored.extend(left_out)
        return _with_customer_key(made, where, folder)

    spelled = dict(raw)
    if "storage" in raw:
        spelled["storage"] = ours(raw["storage"], "storage")
    extra = raw.get("extra_storages")
    if isinstance(extra, list):
        spelled["extra_storages"] = [
            ours(block, f"extra_storages[{number}]") for number, block in enumerate(extra)
        ]
    return spelled, tuple(ignored)


def _with_customer_key(block: Mapping[str, object], where: str, folder: Path) -> object:
    """Return a storage block with the key for SSE-C that a file holds."""
    s3 = block.get("s3")
    encryption = s3.get("server_side_encryption") if isinstance(s3, Mapping) else None
    if not isinstance(s3, Mapping) or not isinstance(encryption, Mapping):
        return block
    file = encryption.get("sse_customer_key_file")
    if not isinstance(file, str):
        return block
    above = f"{where}.s3.server_side_encryption"
    if encryption.get("sse_customer_key") is not None:
        raise ConfigError(
            "config_bad_value",
            f"{above} has both sse_customer_key and sse_customer_key_file; keep one",
            field=f"{above}.sse_customer_key",
        )
    key = _text_of(folder / file, f"{above}.sse_customer_key_file")
    return {
        **block,
        "s3": {**s3, "server_side_encryption": {**encryption, "sse_customer_key": key}},
    }


def _text_of(path: Path, field: str) -> str:
    """Return what a file holds that a setting names, which may be secret."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:  # no text, or a NUL in the path
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(
            "config_unreadable", f"{field} cannot be read: {path}: {why}", field=field
        ) from None


def _with_uri(block: object, folder: Path, environment: Mapping[str, str]) -> object:
    """Return the mongodb block with the address from the one place that counts."""
    if block is None:
        block = {}
    if not isinstance(block, Mapping):
        return block
    variable = environment.get(URI_VARIABLE, "").strip()
    if variable:
        return {**block, "uri": variable}
    uri, uri_file = block.get("uri"), block.get("uri_file")
    if uri is not None and uri_file is not None:
        raise ConfigError(
            "config_bad_value", "mongodb has both uri and uri_file; keep one", field="mongodb.uri"
        )
    if isinstance(uri_file, str):
        return {**block, "uri": _text_of(folder / uri_file, "mongodb.uri_file")}
    if uri_file is not None:
        raise ConfigError(
            "config_bad_value", "mongodb.uri_file must be a path", field="mongodb.uri_file"
        )
    folder_of_service = environment.get(CREDENTIALS_VARIABLE, "").strip()
    credential = Path(folder_of_service) / URI_CREDENTIAL
    if uri is None and folder_of_service and credential.exists():
        return {**block, "uri": _text_of(credential, f"the credential {URI_CREDENTIAL}")}
    if uri is None:
        raise ConfigError(
            "config_missing",
            f"mongodb.uri is missing; write it, or uri_file, or set ${URI_VARIABLE},"
            f" or give the unit the credential {URI_CREDENTIAL}",
            field="mongodb.uri",
        )
    return block


def _validate(raw: Mapping[str, object]) -> Settings:
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        # An unknown key first: what it was meant for often shows up as missing.
        found = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise _explain(found[0], len(found) - 1) from None


def _explain(detail: ErrorDetails, further_count: int) -> ConfigError:
    where = dotted(detail["loc"])
    code = "config_bad_value"
    match detail["type"]:
        case "extra_forbidden":
            code, text = (
                "config_unknown_key",
                f"{where} is not a setting; {_nearest(detail['loc'])}",
            )
        case "missing":
            code, text = "config_missing", f"{where} is missing"
        case "string_pattern_mismatch":
            pattern = detail.get("ctx", {}).get("pattern")
            text = f"{where} does not have the form {pattern}"
        case str(kind) if kind == REFUSED:
            text = f"{where} {detail['msg']}" if where else detail["msg"]
        case _ if detail["input"] is None:
            text = f"{where} has no value; give it one or remove the line"
        case str(kind) if kind in _EXPECTED:
            text = f"{where} {_EXPECTED[kind]}"
        case _:
            text = f"{where} {detail['msg'].replace('Input should be', 'must be')}"
    if further_count:
        text += f" (and {further_count} more)"
    return ConfigError(code, text, field=where)


def dotted(loc: tuple[int | str, ...]) -> str:
    """Write a path of keys and positions as an operator would: ``extra_storages[0].s3.bucket``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def all_keys(model: type[BaseModel] = Settings, above: str = "") -> Iterator[str]:
    """Yield the full name of every setting, blocks included; list items as ``name[]``."""
    for name, field in model.model_fields.items():
        full = f"{above}{name}"
        yield full
        block = block_in(field.annotation)
        if block is not None:
            is_list = "tuple" in str(field.annotation)
            yield from all_keys(block, f"{full}[]." if is_list else f"{full}.")


def block_in(annotation: object) -> type[BaseModel] | None:
    """Return the block of settings in the type of a field, if it is one or holds one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := block_in(part))), None)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _nearest(loc: tuple[int | str, ...]) -> str:
    """Say which setting an unknown key was probably meant to be."""
    key = _plain(str(loc[-1]))
    model: type[BaseModel] = Settings
    names = [part for part in loc[:-1] if isinstance(part, str)]
    for name in names:
        model = block_in(model.model_fields[name].annotation) or model
    level = ".".join(names[1:])
    known = {_plain(name): name for name in model.model_fields}
    known |= {_plain(theirs): ours for theirs, ours in percona.names_at(level).items()}
    above = dotted(loc[:-1])
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {above}{'.' if above else ''}{known[near[0]]}?"
    elsewhere = [full for full in all_keys() if _plain(full.rpartition(".")[2]) == key]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    return f"{above or 'the file'} may have {', '.join(sorted(known.values()))}"


def _check_files(settings: Settings) -> None:
    named = {
        f"{where}.s3": storage.s3.ca_file if storage.s3 is not None else None
        for where, storage in _named_storages(settings)
    }
    named["notify"] = settings.notify.ca_file if settings.notify is not None else None
    for where, ca_file in named.items():
        if ca_file is not None and not ca_file.is_file():
            raise ConfigError(
                "config_unreadable",
                f"{where}.ca_file names no file: {ca_file}",
                field=f"{where}.ca_file",
            )


def _named_storages(settings: Settings) -> Iterator[tuple[str, StorageSettings]]:
    yield "storage", settings.storage
    for number, storage in enumerate(settings.extra_storages):
        yield f"extra_storages[{number}]", storage
