"""Which keys every storage takes alike."""

from typing import Final

from agent.core.errors import PermanentError

# S3's limit for a whole key, prefix included.
LONGEST_KEY_BYTES: Final = 1024
# The limit of file systems for one part.
_LONGEST_PART_BYTES: Final = 255


def check(key: str) -> str:
    """Return the key if it names an object in every storage.

    Its parts between slashes are not empty, not ``.`` or ``..`` and at most 255 bytes long; it has
    no NUL and no backslash (SeaweedFS keeps one as a slash), and is at most 1024 bytes long.

    Raises: PermanentError ``bad_key``.
    """
    try:
        size_bytes = len(key.encode())
        part_sizes = [len(part.encode()) for part in key.split("/")]
    except UnicodeEncodeError:
        raise _bad(key, "is not Unicode text") from None
    if "\x00" in key or "\\" in key:
        raise _bad(key, "has a NUL or a backslash")
    if any(part in {"", ".", ".."} for part in key.split("/")):
        raise _bad(key, "has an empty part, '.' or '..'")
    if size_bytes > LONGEST_KEY_BYTES or max(part_sizes) > _LONGEST_PART_BYTES:
        raise _bad(key, "is too long")
    return key


def _bad(key: str, why: str) -> PermanentError:
    return PermanentError("bad_key", f"the key {key!r} {why}", key=key)
