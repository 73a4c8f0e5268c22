"""The protocols between rooms: what each side may count on.

An implementation proves its protocol in one line; a fake that passes the same contract suite
as the real thing may be trusted in its place. Knows model and core; must not know any
implementation.
"""

from agent.ports.cluster import Batch, ClusterSource, NodeReader, OplogReader, OplogTail, Read
from agent.ports.control import (
    BackupCatalogue,
    Boards,
    CommandBoard,
    EventLog,
    JobNotes,
    LeaseStore,
    QuestionBoard,
    ScheduleBoard,
    StatusBoard,
    TaskBoard,
)
from agent.ports.instruments import NO_INSTRUMENTS, Instruments, TaskEnd
from agent.ports.restore import ReplayTarget, RestoreTarget, SwitchTarget, ViewRule
from agent.ports.retention import OldVersions
from agent.ports.roles import RoleBoard, RoleStorage
from agent.ports.storage import ObjectStore, StoredObject
from agent.ports.work import CANCELED, Job, JobContext, JobError

__all__ = [
    "CANCELED",
    "NO_INSTRUMENTS",
    "BackupCatalogue",
    "Batch",
    "Boards",
    "ClusterSource",
    "CommandBoard",
    "EventLog",
    "Instruments",
    "Job",
    "JobContext",
    "JobError",
    "JobNotes",
    "LeaseStore",
    "NodeReader",
    "ObjectStore",
    "OldVersions",
    "OplogReader",
    "OplogTail",
    "QuestionBoard",
    "Read",
    "ReplayTarget",
    "RestoreTarget",
    "RoleBoard",
    "RoleStorage",
    "ScheduleBoard",
    "StatusBoard",
    "StoredObject",
    "SwitchTarget",
    "TaskBoard",
    "TaskEnd",
    "ViewRule",
]
