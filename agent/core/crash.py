"""Crash points: where a test may have the process die, so that what follows a death is proved.

Each boundary between two writes has a point of its own. A point does nothing, unless the process
was armed with its name; then the process ends itself there by SIGKILL, as by a pulled plug.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Final

from agent.core import log
from agent.core.errors import ConfigError

# Who starts an agent with this means it to die: `<point>`, or `<point>:<n>` for the n-th pass.
CRASH_VARIABLE: Final = "BACKSTAY_CRASH_AT"


class Point(StrEnum):
    """Every crash point there is; the comment above each says what has happened, and what not."""

    # The lease of the coordinator is taken; nothing of an earlier one is swept yet.
    COORDINATOR_ACQUIRED = "coordinator.acquired"
    # What is left of an ended job is gone, but for its notes.
    COORDINATOR_SWEEPING = "coordinator.sweeping"
    # A new coordinator has swept, and decided about no command.
    COORDINATOR_SWEPT = "coordinator.swept"
    # The coordinator is about to accept a command.
    COMMAND_BEFORE_ACCEPTED = "command.before_accepted"
    # A command is accepted, and nothing is begun.
    COMMAND_ACCEPTED = "command.accepted"
    # A command is planned, and not running yet.
    COMMAND_BEFORE_RUNNING = "command.before_running"
    # A command runs, and its job has done nothing.
    COMMAND_RUNNING = "command.running"
    # Another agent has fenced off the one that ran the command, and done nothing else.
    COMMAND_TAKEN_OVER = "command.taken_over"
    # The job is done; what follows it is not inserted.
    COMMAND_BEFORE_FOLLOWING = "command.before_following"
    # What follows the job is inserted; its end is not written.
    COMMAND_BEFORE_END = "command.before_end"
    # The end of a command is written; its tasks and notes are there.
    COMMAND_ENDED = "command.ended"
    # The tasks of an ended command are gone; its notes are not.
    COMMAND_TASKS_GONE = "command.tasks_gone"
    # A collection of the control database is made, and its indexes are not.
    CONTROL_CREATED = "control.created"
    # New notes of a job lie beside the old ones, which still count.
    NOTES_WRITTEN = "notes.written"
    # New notes of a job count; the old ones lie beside them.
    NOTES_REPLACED = "notes.replaced"
    # What an ended job remembered is gone, but for the mark that there was such a job.
    NOTES_EMPTIED = "notes.emptied"
    # The operator's program before a job has ended, and the job has done nothing.
    HOOK_BEFORE_ENDED = "hook.before_ended"
    # A program of the operator's runs, and nobody waits for it yet.
    HOOK_STARTED = "hook.started"
    # The operator's program after a job has ended; the end of the command is not written.
    HOOK_AFTER_ENDED = "hook.after_ended"
    # A run of a schedule is due, and its command is not inserted.
    SCHEDULE_DUE = "schedule.due"
    # The command of a run is inserted, and the schedule does not say so.
    SCHEDULE_INSERTED = "schedule.inserted"
    # The schedule is marked: the run is handled.
    SCHEDULE_MARKED = "schedule.marked"

    # The id of a backup is written down, and nothing of it is planned.
    BACKUP_DRAFTED = "backup.drafted"
    # The tasks of a backup are published; that they are is not written down.
    BACKUP_PUBLISHED = "backup.published"
    # The plan of a backup is written down.
    BACKUP_BEGUN = "backup.begun"
    # What the tasks of a backup hold is there; no task can be claimed.
    TASK_FILLED = "task.filled"
    # A task is claimed, and its last holder may still record something.
    TASK_BEFORE_FENCE = "task.before_fence"
    # A task is claimed, and nothing of it is read.
    TASK_CLAIMED = "task.claimed"
    # A chunk is read, and not stored.
    CHUNK_BEFORE_PUT = "chunk.before_put"
    # A chunk is stored, and not recorded.
    CHUNK_STORED = "chunk.stored"
    # What was stored is recorded in its task.
    TASK_RECORDED = "task.recorded"
    # All of a task is recorded, and it is not marked done.
    TASK_BEFORE_FINISH = "task.before_finish"
    # A task is marked done.
    TASK_FINISHED = "task.finished"
    # Tasks cannot be claimed any more; what they hold and what was recorded is there.
    TASK_REMOVING = "task.removing"
    # Oplog of a backup's window is stored, and not written down.
    BACKUP_WINDOW_STORED = "backup.window_stored"
    # The oplog of a backup's window is written down.
    BACKUP_WINDOW_NOTED = "backup.window_noted"
    # Everything of a backup is stored but its manifest.
    MANIFEST_BEFORE_PUT = "backup.manifest.before_put"
    # The manifest is stored: the backup exists, and the catalogue does not know it.
    MANIFEST_STORED = "backup.manifest.stored"
    # The catalogue knows the backup; what it does not name may lie beside it.
    BACKUP_CATALOGUED = "backup.catalogued"
    # What the manifest does not name is gone; the command still runs.
    BACKUP_SWEPT = "backup.swept"
    # A backup is given up: its tasks are gone, its objects are not.
    BACKUP_TASKS_GONE = "backup.tasks_gone"
    # A backup is given up: it has no manifest, its objects are there.
    BACKUP_CLEANING = "backup.cleaning"

    # A temporary collection of a restore is made.
    RESTORE_CREATED = "restore.created"
    # A part of a chunk is loaded into a temporary collection.
    RESTORE_LOADED = "restore.loaded"
    # Some batches of the oplog are replayed.
    RESTORE_REPLAYED = "restore.replayed"
    # All is loaded and replayed; no index is built.
    RESTORE_BEFORE_INDEXES = "restore.before_indexes"
    # The indexes of one temporary collection are built.
    RESTORE_INDEXED = "restore.indexed"
    # All is built; the switch is not written down.
    SWITCH_BEFORE_NOTED = "switch.before_noted"
    # The switch is written down, and nothing of it is made.
    SWITCH_NOTED = "switch.noted"
    # A temporary collection is about to take its target's place.
    SWITCH_BEFORE_RENAME = "switch.before_rename"
    # A temporary collection has its target's name; others do not.
    SWITCH_RENAMED = "switch.renamed"
    # Buckets have their place, and their time series is not to be seen.
    SWITCH_BUCKETS_RENAMED = "switch.buckets_renamed"
    # A collection is in its place, a time series is to be seen; its expiry is not set.
    SWITCH_BEFORE_EXPIRY = "switch.before_expiry"
    # All collections have their places; views, scripts, expiry, users and drops do not.
    SWITCH_ALL_RENAMED = "switch.all_renamed"
    # What is not in the backup is about to go.
    SWITCH_BEFORE_DROP = "switch.before_drop"
    # Something that is not in the backup is dropped.
    SWITCH_DROPPED = "switch.dropped"
    # A view is about to be made anew, and is not to be seen.
    SWITCH_VIEW_DROPPED = "switch.view_dropped"
    # A view is put in place.
    SWITCH_VIEW_PUT = "switch.view_put"
    # Some stored JavaScript of a database is new, some is old.
    SWITCH_SCRIPT_UPDATED = "switch.script_updated"
    # Stored JavaScript of a database is put in place.
    SWITCH_SCRIPT_PUT = "switch.script_put"
    # All but users and roles is switched.
    SWITCH_BEFORE_USERS = "switch.before_users"
    # Users or roles that must stay are taken out of those to be merged.
    SWITCH_USERS_KEPT = "switch.users_kept"
    # Users and roles are as they are to be merged.
    SWITCH_BEFORE_MERGE = "switch.before_merge"
    # Users and roles are merged.
    SWITCH_USERS_MERGED = "switch.users_merged"
    # All is switched; that it is, is not written down.
    SWITCH_BEFORE_END_NOTED = "switch.before_end_noted"
    # That all is switched is written down; what it worked with is there.
    SWITCH_END_NOTED = "switch.end_noted"
    # One of the temporary collections that are left is dropped.
    RESTORE_CLEANING = "restore.cleaning"

    # A verdict is found, and nobody knows it.
    VERIFY_BEFORE_JUDGED = "verify.before_judged"
    # The catalogue has a verdict, the storage has not.
    VERIFY_JUDGED = "verify.judged"
    # The storage has a verdict, beside older ones.
    VERIFY_STORED = "verify.stored"
    # It is written down what a delete will remove.
    DELETE_NOTED = "delete.noted"
    # The manifest is gone, the objects of the backup are not.
    DELETE_MANIFEST_GONE = "delete.manifest_gone"
    # A deleted backup is not in the catalogue; its objects are there.
    DELETE_FORGOTTEN = "delete.forgotten"
    # All objects of a backup are gone; the command still runs.
    DELETE_OBJECTS_GONE = "delete.objects_gone"
    # It is written down which backup a prune removes next.
    PRUNE_NOTED = "prune.noted"
    # The manifest of a pruned backup is gone, its objects are not.
    PRUNE_MANIFEST_GONE = "prune.manifest_gone"
    # A pruned backup is not in the catalogue, and its objects are there.
    PRUNE_FORGOTTEN = "prune.forgotten"
    # Objects of a prune are gone that were not counted yet.
    PRUNE_OBJECTS_GONE = "prune.objects_gone"
    # What a prune has done so far is counted and written down.
    PRUNE_COUNTED = "prune.counted"
    # The catalogue is about to be made anew from one storage.
    RESYNC_BEFORE_REPLACED = "resync.before_replaced"
    # The catalogue is made anew from one storage.
    RESYNC_REPLACED = "resync.replaced"
    # An agent is asked for a check; others are not.
    CHECK_ASKING = "check.asking"
    # All agents are asked for a check, and nobody waits for their answers.
    CHECK_ASKED = "check.asked"

    # The lease of the archiver is taken; nothing is archived under it.
    ARCHIVER_ACQUIRED = "archiver.acquired"
    # A segment of the archive is closed, and not stored.
    SEGMENT_BEFORE_PUT = "archive.before_put"
    # A segment of the archive is stored; nobody was told.
    SEGMENT_STORED = "archive.stored"
    # A joined segment is stored, and not read again.
    COMPACTION_STORED = "compaction.stored"
    # What a joined segment holds is about to go.
    COMPACTION_BEFORE_DELETE = "compaction.before_delete"
    # What a joined segment holds is gone.
    COMPACTION_DELETED = "compaction.deleted"
    # A damaged segment is gone, and the good one is not in its place.
    SEGMENT_REPLACING = "segment.replacing"

    # An authorization of a role is begun; the command still runs.
    ROLE_BEGUN = "role.begun"
    # A role was tried out, and is not authorized.
    ROLE_TRIED = "role.tried"
    # A role is authorized; the command still runs.
    ROLE_AUTHORIZED = "role.authorized"
    # A role is about to be given up.
    ROLE_BEFORE_REMOVED = "role.before_removed"
    # A role is given up; the command still runs.
    ROLE_REMOVED = "role.removed"


@dataclass(slots=True)
class _Fuse:
    """Which point the process dies at; None but in a test."""

    point: Point | None = None
    nth: int = 1
    # Its steps are atomic: points are passed by several threads.
    passes: Iterator[int] = field(default_factory=lambda: count(1))


_FUSE: Final = _Fuse()


def arm(wish: str) -> None:
    """Have the process die at a point, as CRASH_VARIABLE says; nothing if that is empty.

    Raises: ConfigError for anything but a point's name, and perhaps the number of a pass.
    """
    if not wish:
        return
    name, _, nth = wish.partition(":")
    if name not in set(Point) or not (nth or "1").isdecimal():
        raise ConfigError(
            "unknown_crash_point",
            f"{CRASH_VARIABLE} names no crash point: {wish}",
            hint="it is for tests of the agent alone: take it out of the environment",
        )
    _FUSE.point, _FUSE.nth, _FUSE.passes = Point(name), int(nth or 1), count(1)
    log.get().warning("this agent is armed: it kills itself at a crash point", point=wish)


def passing(point: Point) -> None:
    """Die here, if the process was armed with this point."""
    if point is _FUSE.point and next(_FUSE.passes) == _FUSE.nth:
        log.get().warning("crash point reached", point=point.value)
        os.kill(os.getpid(), signal.SIGKILL)
