"""Who is told of what happens, and which programs run around backups and restores."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from agent.core.errors import ConfigError
from agent.model.hooks import HookName
from agent.model.notices import NoticeEvent
from agent.settings.shape import Block, refused

# Source: RFC 9110, "Field Names" and "Field Values".
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*)")
# What the agent itself must set, for the request to be what it seems.
_OWN_HEADERS: Final = frozenset({
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "transfer-encoding",
})
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_ALL: Final[tuple[NoticeEvent, ...]] = get_args(NoticeEvent)

Arguments = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class NotifySettings(Block):
    """A webhook that is told what happens; the same on every node."""

    url: SecretStr = Field(
        description="https:// or http:// address that notices are posted to, which may be secret."
    )
    url_file: Annotated[Path, Field(strict=False)] | None = Field(
        default=None, description="File that holds the address, so that it stands elsewhere."
    )
    events: Annotated[tuple[NoticeEvent, ...], Field(strict=False, min_length=1)] = Field(
        default=_ALL, description="What is told. Default: everything."
    )
    headers: Annotated[tuple[SecretStr, ...], Field(strict=False)] = Field(
        default=(), description="Further headers of each request, as Name: value."
    )
    headers_file: Annotated[Path, Field(strict=False)] | None = Field(
        default=None, description="File that holds such headers, one to a line."
    )
    ca_file: Annotated[Path, Field(strict=False)] | None = Field(
        default=None,
        description="PEM file of the certificate authorities to trust. Default: the well-known.",
    )
    timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        le=30,
        description="Seconds to wait for the receiver. Nothing else waits for it.",
    )

    @field_validator("url")
    @classmethod
    def _url_is_an_address(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise refused("is not an address") from None
        if parts.scheme not in {"http", "https"} or not host or not _PRINTABLE.fullmatch(text):
            raise refused("must be an address such as https://hooks.example.net/path")
        if "@" in parts.netloc:
            raise refused("must not hold a user; give an Authorization header in headers_file")
        return url

    @field_validator("headers")
    @classmethod
    def _headers_have_names(cls, headers: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for header in headers:
            found = _HEADER.fullmatch(header.get_secret_value())
            if found is None:
                raise refused("must each be written as Name: value, in ASCII")
            if found[1].lower() in _OWN_HEADERS:
                raise refused(f"must not have {found[1]}, which the agent sets")
        return headers

    @property
    def pairs(self) -> Mapping[str, str]:
        """The headers by name; secret."""
        matches = (_HEADER.fullmatch(header.get_secret_value()) for header in self.headers)
        return {found[1]: found[2].strip() for found in matches if found is not None}


class HooksSettings(Block):
    """Programs of yours on the coordinator's host; the same on every node."""

    before_backup: Arguments | None = Field(
        default=None, description="Program with its arguments, run before a backup."
    )
    after_backup: Arguments | None = Field(
        default=None, description="Run after a backup, however it ended."
    )
    before_restore: Arguments | None = Field(
        default=None, description="Run before a restore; not before a dry run."
    )
    after_restore: Arguments | None = Field(
        default=None, description="Run after a restore, however it ended; not after a dry run."
    )
    timeout_s: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Seconds after which a hook is killed, with all that it started. The command"
        " waits for it.",
    )

    @field_validator("before_backup", "after_backup", "before_restore", "after_restore")
    @classmethod
    def _program_has_a_path(cls, arguments: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if arguments is not None and not arguments[0].startswith("/"):
            raise refused("must begin with the absolute path of a program; there is no shell")
        if arguments is not None and any("\0" in each for each in arguments):
            raise refused("must not hold the character NUL")
        return arguments

    @property
    def programs(self) -> Mapping[HookName, tuple[str, ...]]:
        """The program of each hook that has one."""
        names: tuple[HookName, ...] = get_args(HookName)
        found = {name: getattr(self, name) for name in names}
        return {name: arguments for name, arguments in found.items() if arguments is not None}


def with_files(block: object, text_of: Callable[[str, str], str]) -> object:
    """Return the notify block with what its files hold.

    ``text_of`` returns the content of a file and takes its path and the setting that names it.

    Raises: ConfigError.
    """
    if not isinstance(block, Mapping):
        return block
    made = dict(block)
    if isinstance(block.get("url_file"), str):
        _refuse_both(block, "url")
        made["url"] = text_of(block["url_file"], "notify.url_file")
    elif block.get("url") is None and block.get("url_file") is None:
        raise ConfigError(
            "config_missing", "notify.url is missing; write it, or url_file", field="notify.url"
        )
    if isinstance(block.get("headers_file"), str):
        _refuse_both(block, "headers")
        lines = text_of(block["headers_file"], "notify.headers_file").splitlines()
        made["headers"] = [line.strip() for line in lines if line.strip()]
    return made


def _refuse_both(block: Mapping[object, object], name: str) -> None:
    if block.get(name) is not None:
        raise ConfigError(
            "config_bad_value",
            f"notify has both {name} and {name}_file; keep one",
            field=f"notify.{name}",
        )
