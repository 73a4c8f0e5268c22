"""How large an object may be."""

from typing import Final

from agent.core.errors import PermanentError

#: Agents write none that comes near it, and each is held in memory as a whole.
LARGEST_OBJECT_BYTES: Final = 1024**3


def check_size(key: str, size_bytes: int) -> None:
    """Refuse to read an object that no agent wrote. Raises: PermanentError ``damaged_object``."""
    if size_bytes > LARGEST_OBJECT_BYTES:
        raise PermanentError(
            "damaged_object",
            f"{key} has {size_bytes} bytes, and no object of ours is so large",
            hint="find out who wrote it; another backup may be sound",
            key=key,
        )
