"""A file that is there whole or not at all."""

import os
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
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise PermanentError(
            "file_unwritable",
            f"{path} cannot be written: {error.strerror}",
            hint="does the directory exist, and may this user write there?",
        ) from error
