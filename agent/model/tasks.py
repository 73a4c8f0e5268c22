"""The pieces of a backup that one agent can do alone."""

from dataclasses import dataclass
from typing import Literal

from agent.model.catalogue import Collection, Size
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk

TaskState = Literal["todo", "running", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A part of a collection in ``_id`` order: from ``lower``, before ``upper``.

    Bounds are BSON documents ``{_id: value}``; None is the open end. The range with the open
    upper end also holds a document whose ``_id`` is MaxKey.
    """

    lower: bytes | None
    upper: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One collection, or a range of one, in a task."""

    collection: Collection
    range: Range | None
    size: Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Some collections, or one range of one, to be read at ``read_at``.

    ``number`` counts from 0 within the backup; ``catalogue_at`` and everything else that the
    job needs again is in its notes, not here.
    """

    job: object
    backup_id: str
    storage: str
    number: int
    read_at: ClusterTime
    members: tuple[Member, ...]

    @property
    def size_bytes(self) -> int:
        """Estimated uncompressed bytes."""
        return sum(member.size.bytes for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A chunk of a member that lies in the storage.

    ``last_id`` is the BSON document ``{_id: value}`` of its last document: reading goes on
    after it. It is empty for collections that are not read in ``_id`` order.
    """

    member: int
    read_at: ClusterTime
    chunk: Chunk
    last_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A member that needs no more reading.

    Its replay starts at ``since``; chunks read before that are void (a capped collection that
    had to be read again). ``read_at`` is the last cluster time used for it. ``gone_at`` is set
    if the collection was dropped under the read: a cluster time at which it was not there.
    """

    member: int
    since: ClusterTime
    read_at: ClusterTime
    gone_at: ClusterTime | None = None


Record = Stored | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task that this agent holds under a fencing token, with what was recorded of it so far."""

    task: Task
    holder: str
    token: int
    attempt: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailure:
    """Why a task cannot be done by anyone."""

    number: int
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """A task as the board shows it: its state, who worked on it, and all that was recorded."""

    task: Task
    state: TaskState
    holders: tuple[str, ...]
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTasks:
    """All tasks of a job at a glance; ``latest_read_at`` is the latest time in any record."""

    total_count: int
    done_count: int
    running_count: int
    done_docs: int
    done_bytes: int
    total_bytes: int
    total_docs: int
    failures: tuple[TaskFailure, ...]
    latest_read_at: ClusterTime | None
