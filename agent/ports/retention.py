"""What a prune reads beside backups: the rules, and what becomes of deleted objects."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

OldVersions = Literal["none", "expire", "kept", "unknown"]
"""What becomes of a deleted object: it is gone; it stays as a noncurrent version until a rule of
the bucket ends that; it stays for ever; nobody may look."""


class RetentionRules(Protocol):
    """The collection of schedules, as prune reads it."""

    def documents(self) -> Sequence[Mapping[str, Any]]:
        """Return every document as it is, whatever is in it; none if there is no collection."""
        ...
