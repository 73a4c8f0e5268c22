"""What a replica set costs in a bucket for a month: the figures of docs/operations.md, computed.

Requests follow from how the agents work, and from their own constants and defaults. What only a
cluster itself can tell (how large its entries are, how well they compress) is assumed, and so is
the price list.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

from agent.daemon.storage_watch import PROBE_S
from agent.jobs.archive.archiver import _LOOK_AGAIN_S
from agent.jobs.archive.ports import IDLE_S
from agent.jobs.archive.work import COMPACT_EVERY_S
from agent.jobs.backup.reading import CHUNK_RAW_BYTES, CHUNK_STORED_BYTES
from agent.model.compaction import MOST_BYTES
from agent.settings import OplogSettings

_GIB: Final = 1024**3
_HOURS: Final = 30 * 24
_MONTH_S: Final = _HOURS * 3600
_LIST_PAGE: Final = 1_000

# Assumed: an insert of 400 bytes as an entry; the same as agent/model/compaction.py says of oplogs;
# half of documents, as in docs/performance.md.
ENTRY_BYTES: Final = 600
OPLOG_RATIO: Final = 4
DATA_RATIO: Final = 2
AGENTS: Final = 3
KEPT_DAYS: Final = 14
# S3 Standard in us-east-1 (N. Virginia), March 2026, in dollars: for a request, and for a GiB in a
# month. DELETE costs nothing, and neither does data that goes into the bucket.
PUT_OR_LIST: Final = 0.005 / 1_000
GET: Final = 0.0004 / 1_000
GIB_MONTH: Final = 0.023


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A replica set: its writes, its data, and how often its oplog is uploaded."""

    writes_per_s: float
    data_gib: int
    interval_s: float = OplogSettings().upload_interval_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests of S3 by price."""

    puts: float = 0
    gets: float = 0
    lists: float = 0

    def __add__(self, other: "Requests") -> "Requests":
        """Return both together."""
        return Requests(
            puts=self.puts + other.puts,
            gets=self.gets + other.gets,
            lists=self.lists + other.lists,
        )

    @property
    def dollars(self) -> float:
        """What they cost."""
        return (self.puts + self.lists) * PUT_OR_LIST + self.gets * GET


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """What a load comes to in 30 days."""

    requests: Requests
    stored_gib: float

    @property
    def dollars(self) -> float:
        """Requests and storage."""
        return self.requests.dollars + self.stored_gib * GIB_MONTH


def month(load: Load) -> Month:
    """Return what a load comes to, with a full backup a day and two weeks kept."""
    raw_per_s = load.writes_per_s * ENTRY_BYTES
    segments_per_hour = 3600 * max(
        min(load.writes_per_s, 1 / load.interval_s),
        raw_per_s / OplogSettings().segment_max_bytes,
        1 / IDLE_S,
    )
    oplog_per_hour = raw_per_s * 3600 / OPLOG_RATIO
    joined_per_hour = max(1, ceil(oplog_per_hour / MOST_BYTES))
    archived = Requests(puts=segments_per_hour * _HOURS)
    joined = join(round(segments_per_hour / joined_per_hour))
    joins_count = joined_per_hour * _HOURS
    compacted = Requests(puts=joined.puts * joins_count, gets=joined.gets * joins_count)
    # Small ones are there for two hours before they are joined and removed.
    kept = joined_per_hour * 24 * KEPT_DAYS + segments_per_hour * 2
    # A pass that joins, once an hour, looks again when it is done.
    looks_count = _MONTH_S / COMPACT_EVERY_S + _MONTH_S / _LOOK_AGAIN_S + _HOURS
    listed = Requests(lists=ceil(kept / _LIST_PAGE) * looks_count)
    probed = Requests(lists=AGENTS * _MONTH_S / PROBE_S)
    backup_bytes = load.data_gib * _GIB
    chunks = max(
        ceil(backup_bytes / DATA_RATIO / CHUNK_STORED_BYTES), ceil(backup_bytes / CHUNK_RAW_BYTES)
    )
    backed_up = Requests(puts=30 * (chunks + 1))
    stored_bytes = KEPT_DAYS * (backup_bytes / DATA_RATIO + 24 * oplog_per_hour)
    return Month(
        requests=archived + compacted + listed + probed + backed_up,
        stored_gib=stored_bytes / _GIB,
    )


def join(parts_count: int) -> Requests:
    """Return what it takes to join segments, read the joined one again, and clear the small ones.

    It is read once more before what it holds is removed, which is free.
    """
    return Requests(puts=1, gets=parts_count + 2)


LOADS: Final = (
    Load(writes_per_s=0.01, data_gib=1),
    Load(writes_per_s=10, data_gib=10),
    Load(writes_per_s=10, data_gib=10, interval_s=1),
    Load(writes_per_s=10, data_gib=10, interval_s=60),
    Load(writes_per_s=100, data_gib=100),
    Load(writes_per_s=100, data_gib=100, interval_s=0.2),
    Load(writes_per_s=1_000, data_gib=500),
    Load(writes_per_s=5_000, data_gib=2_000),
)


def row(load: Load) -> list[str]:
    """Return the cells of the table in docs/operations.md."""
    found = month(load)
    requests = found.requests
    counts = (requests.puts, requests.gets, requests.lists)
    return [
        f"{load.writes_per_s:,g}",
        f"{load.data_gib:,} GiB",
        f"{load.interval_s:g} s",
        *(f"{ceil(count / 1_000):,}" for count in counts),
        f"{found.stored_gib:,.0f} GiB",
        f"{requests.dollars:,.2f} $",
        f"{found.stored_gib * GIB_MONTH:,.2f} $",
        f"{found.dollars:,.2f} $",
    ]


if __name__ == "__main__":
    for each in LOADS:
        print("|", " | ".join(row(each)), "|")  # noqa: T201 - to be pasted
