"""What becomes of deleted objects."""

from typing import Literal

OldVersions = Literal["none", "expire", "kept", "unknown"]
"""What becomes of a deleted object: it is gone; it stays as a noncurrent version until a rule of
the bucket ends that; it stays for ever; nobody may look."""
