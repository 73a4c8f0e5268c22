"""Files with secrets, or with what an agent runs, that others on the host may read or change."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from agent.settings.document import Settings
from agent.settings.load import CREDENTIALS_VARIABLE, URI_CREDENTIAL

_KEY_FILE: Final = re.compile(r"[?&]tlsCertificateKeyFile=([^&]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A file of which others should keep their hands, and of one with secrets their eyes.

    ``setting`` is what names it, for people.
    """

    setting: str
    path: Path
    is_secret: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What others may do with a file."""

    setting: str
    path: Path
    fault: str


def guarded(settings: Settings, environment: Mapping[str, str]) -> tuple[Guarded, ...]:
    """Return every file of which the settings speak that should be the agent's own."""
    folder = settings.file.parent
    found = [Guarded(setting="the configuration", path=settings.file)]
    found += [Guarded(setting=name, path=folder / path) for name, path in _named(settings) if path]
    key_file = _KEY_FILE.search(settings.mongodb.uri.get_secret_value())
    if key_file is not None:
        found.append(
            Guarded(setting="tlsCertificateKeyFile of mongodb.uri", path=Path(unquote(key_file[1])))
        )
    credentials = environment.get(CREDENTIALS_VARIABLE, "").strip()
    if credentials:
        found.append(Guarded(setting=URI_CREDENTIAL, path=Path(credentials) / URI_CREDENTIAL))
    found += [
        Guarded(setting=f"hooks.{name}", path=Path(arguments[0]), is_secret=False)
        for name, arguments in settings.hooks.programs.items()
    ]
    return tuple(found)


def _named(settings: Settings) -> Iterator[tuple[str, Path | None]]:
    yield "mongodb.uri_file", settings.mongodb.uri_file
    if settings.notify is not None:
        yield "notify.url_file", settings.notify.url_file
        yield "notify.headers_file", settings.notify.headers_file
    for storage in settings.storages:
        encryption = storage.s3.server_side_encryption if storage.s3 is not None else None
        if encryption is not None:
            yield f"sse_customer_key_file of {storage.label}", encryption.sse_customer_key_file


def exposures(settings: Settings, environment: Mapping[str, str]) -> Iterator[Exposure]:
    """Yield what is open to others now; a file that is not there, or not to be seen, is not."""
    for each in guarded(settings, environment):
        try:
            found = each.path.stat()
            folder = each.path.parent.stat()
        except OSError:
            continue
        for fault in faults(found, folder, own_uid=os.geteuid(), is_secret=each.is_secret):
            yield Exposure(setting=each.setting, path=each.path, fault=fault)


def faults(
    found: os.stat_result, folder: os.stat_result, *, own_uid: int, is_secret: bool
) -> Iterator[str]:
    """Yield what is wrong with owner and mode of a file, and with the directory that it is in.

    Its group may read it: that is how a service gets what root keeps for it.
    """
    if is_secret and found.st_mode & stat.S_IROTH:
        yield "every user of this host may read it"
    if found.st_mode & stat.S_IWOTH:
        yield "every user of this host may change it"
    elif found.st_mode & stat.S_IWGRP:
        yield "its group may change it"
    if found.st_uid not in {0, own_uid}:
        yield f"it belongs to another user (uid {found.st_uid}), who may change it"
    # Where names are sticky, as in /tmp, only the owner of a file may put another in its place.
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        yield "every user of this host may replace it, since its directory is open to all"
