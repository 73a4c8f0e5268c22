"""What agents write of themselves."""

from datetime import UTC, datetime

from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Span
from agent.model.status import AgentStatus, ArchiveReport, StorageAccess, StorageStatus

REPLSET_ID = "65f0000000000000000000aa"


def an_agent(
    name: str,
    updated_at: datetime,
    archive: ArchiveReport | None = None,
    access: tuple[StorageAccess, ...] = (),
) -> AgentStatus:
    """Return an agent that is in good order."""
    return AgentStatus(
        name=name,
        node_state="SECONDARY",
        node_lag_s=0.0,
        priority=1,
        server_version="6.0.5",
        agent_version="0.1.0",
        pid=4711,
        started_at=updated_at,
        updated_at=updated_at,
        storage=StorageStatus(
            label="main", ok=True, bucket="memory", credential_source="configuration"
        ),
        archive=archive,
        access=access,
    )


def a_report(
    *spans: Span, lag_s: float = 2.0, window_s: float | None = 86400.0, error: str | None = None
) -> ArchiveReport:
    """Return what the archiver tells of an archive that covers these spans."""
    last = spans[-1].last if spans else ClusterTime(1, 1)
    return ArchiveReport(
        replset_id=REPLSET_ID,
        archived_to=last,
        archived_at=datetime.fromtimestamp(last.seconds, tz=UTC),
        lag_s=lag_s,
        window_s=window_s,
        spans=spans,
        error=error,
    )
