"""A file that is there whole or not at all."""

import os
import secrets
from pathlib import Path

from agent.core.errors import PermanentError


def write(path: Path, text: str) -> None:
    """Write a file in one step, instead of one that is there: a reader sees the old or the new.

    Raises: PermanentError ``file_unwritable``.
    """
    if path.exists() and not path.is_file():
        raise PermanentError(
            "file_unwritable",
            f"{path} is there and is no ordinary file",
            hint="name a file, or - for standard output",
        )
    # Beside it, since only within one file system a rename is one step.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        _create(beside, text)
        try:
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise PermanentError(
            "file_unwritable",
            f"{path} cannot be written: {error.strerror}",
            hint="does the directory exist, and may this user write there?",
        ) from error


def _create(path: Path, text: str) -> None:
    """Write a file that nobody else has made, nor may read before it has its name.

    In a directory that is open to all, a name that can be foretold may be somebody's link.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
        mask = os.umask(0o077)
        os.umask(mask)
        path.chmod(0o666 & ~mask)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
