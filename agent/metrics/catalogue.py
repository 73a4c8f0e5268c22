"""Every metric that an agent has: its name, what it is, and its labels."""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["gauge", "counter", "histogram"]

PREFIX: Final = "backstay_"
# On every metric, so that one Prometheus can watch several replica sets.
REPLSET: Final = "replset"


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric; ``name`` is without the prefix, and of a counter without ``_total``."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as it is served."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")


# Seconds: from a small request in the same region to the longest that settings allow.
REQUEST_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TASK_BUCKETS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
COMMAND_BUCKETS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0)

# Of the whole replica set; the coordinator alone tells them.
CLUSTER: Final = (
    Definition(
        "status_updated_timestamp_seconds",
        "gauge",
        "When the coordinator looked last. Metrics of the cluster are as of then.",
    ),
    Definition(
        "cluster_state", "gauge", "The worst problem: 0 if there is none, 1 warning, 2 error."
    ),
    Definition("problems", "gauge", "Problems that stand.", ("code", "level")),
    Definition(
        "last_backup_timestamp_seconds",
        "gauge",
        "Time at which the newest full and undamaged backup is consistent.",
        ("storage",),
    ),
    Definition("last_backup_duration_seconds", "gauge", "How long that backup took.", ("storage",)),
    Definition("last_backup_size_bytes", "gauge", "Its data, uncompressed.", ("storage",)),
    Definition("last_backup_stored_bytes", "gauge", "Its data as it is stored.", ("storage",)),
    Definition("backups", "gauge", "Backups in the catalogue.", ("storage",)),
    Definition(
        "backups_stored_bytes", "gauge", "What they take, without the archive.", ("storage",)
    ),
    Definition("backups_damaged", "gauge", "Backups that verify found damaged.", ("storage",)),
    Definition(
        "last_verify_timestamp_seconds",
        "gauge",
        "When a backup was verified last.",
        ("storage", "depth"),
    ),
    Definition(
        "last_verify_sound",
        "gauge",
        "Whether that backup was whole: 1 sound, 0 damaged.",
        ("storage", "depth"),
    ),
    Definition(
        "recoverable_seconds",
        "gauge",
        "Length of the newest range of times that can be restored. 0 if nothing can be.",
    ),
    Definition(
        "recoverable_begin_timestamp_seconds", "gauge", "Begin of the newest recoverable range."
    ),
    Definition(
        "recoverable_end_timestamp_seconds",
        "gauge",
        "End of it: the newest time that can be restored.",
    ),
    Definition("recoverable_ranges", "gauge", "Ranges of times that can be restored."),
    Definition(
        "archive_lag_seconds",
        "gauge",
        "How far the archive of the oplog is behind: what would be lost with the whole cluster.",
    ),
    Definition(
        "archive_last_timestamp_seconds", "gauge", "Time of the last entry that is archived."
    ),
    Definition("archive_gaps", "gauge", "Gaps in the archive of the oplog."),
    Definition(
        "oplog_window_seconds", "gauge", "How far the oplog of the archiver's node reaches back."
    ),
    Definition(
        "oplog_headroom_seconds",
        "gauge",
        "How long the archive may fail before the oplog has lost what is not archived.",
    ),
    Definition(
        "running_progress_ratio", "gauge", "Done part of the job that runs, 0 to 1.", ("command",)
    ),
)

# Of one agent, as it stands.
AGENT: Final = (
    Definition(
        "agent_info",
        "gauge",
        "Always 1; its labels say which agent this is.",
        ("agent", "version", "server_version"),
    ),
    Definition(
        "heartbeat_timestamp_seconds",
        "gauge",
        "When the agent wrote its status down last.",
    ),
    Definition("coordinator", "gauge", "1 if this agent coordinates, else 0."),
    Definition("archiver", "gauge", "1 if this agent archives the oplog, else 0."),
    Definition("node_lag_seconds", "gauge", "How far the agent's node is behind the primary."),
    Definition(
        "storage_up",
        "gauge",
        "1 if the main storage answered this agent last, else 0.",
        ("storage",),
    ),
    Definition(
        "credentials_expiry_timestamp_seconds",
        "gauge",
        "When the keys for a storage end; absent if they do not.",
        ("storage",),
    ),
    Definition(
        "credentials_renewal_failing",
        "gauge",
        "1 if the keys for a storage could not be renewed when it was tried last, else 0.",
        ("storage",),
    ),
)

# What an agent has done since it was started.
WORK: Final = (
    Definition("s3_requests", "counter", "Requests to S3, each attempt.", ("operation", "status")),
    Definition(
        "s3_request_duration_seconds",
        "histogram",
        "Time to the answer, or to the first byte of an object.",
        ("operation",),
    ),
    Definition(
        "storage_written_bytes", "counter", "Bytes of objects that were stored.", ("storage",)
    ),
    Definition("storage_read_bytes", "counter", "Bytes of objects that were read.", ("storage",)),
    Definition(
        "storage_retries",
        "counter",
        "Failures of a storage after which the same was tried again.",
        ("storage",),
    ),
    Definition("tasks_claimed", "counter", "Tasks of backups that this agent has claimed."),
    Definition(
        "task_duration_seconds",
        "histogram",
        "Tasks of backups that ended here: done, given_back, lost or failed.",
        ("end",),
    ),
    Definition(
        "command_duration_seconds",
        "histogram",
        "Commands whose job this agent brought to an end, since it began or took over.",
        ("command", "state"),
    ),
    Definition(
        "command_processed_bytes",
        "counter",
        "Uncompressed bytes that those jobs were about, as their results tell.",
        ("command",),
    ),
)

ALL: Final = (*CLUSTER, *AGENT, *WORK)
