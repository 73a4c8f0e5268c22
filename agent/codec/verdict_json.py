"""What was found when a backup was verified, as JSON that people read."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from agent.model.cluster_time import ClusterTime


def encode(result: Mapping[str, object]) -> bytes:
    """Return a result as JSON: dates as ISO texts in UTC, cluster times as ``S.I``."""
    return json.dumps(result, indent=1, ensure_ascii=False, default=_plain).encode()


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, ClusterTime):
        return f"{value.seconds}.{value.increment}"
    raise TypeError(f"no JSON for {value!r}")
