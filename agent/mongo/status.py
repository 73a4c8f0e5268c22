"""The status collection: what monitoring reads."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import Int64
from pymongo.errors import DuplicateKeyError
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.model.coverage import Recoverable, Span
from agent.model.leases import COORDINATOR
from agent.model.status import (
    AgentStatus,
    ArchiveReport,
    ClusterStatus,
    LastBackup,
    NextRun,
    OplogStatus,
    Problem,
    Running,
    StorageAccess,
    StorageStatus,
)
from agent.mongo.connect import Document
from agent.mongo.control import STATUS
from agent.mongo.documents import cluster_time, readable, timestamp
from agent.mongo.errors import translated
from agent.mongo.fences import why
from agent.ports import StatusBoard

_CLUSTER = "cluster"


class MongoStatus:
    """One document of the cluster, one of each agent."""

    def __init__(self, database: Database[Document]) -> None:
        self._database = database
        self._status: Collection[Document] = database[STATUS]

    @translated()
    def write_agent(self, status: AgentStatus) -> None:
        """Replace this agent's document; ``updated_at`` is the server's time."""
        document = _of_agent(status)
        self._status.update_one({"_id": document["_id"]}, _replace(document), upsert=True)

    @translated()
    def write_cluster(self, status: ClusterStatus, token: int) -> None:
        """Replace the cluster's document. Raises: LeaseLost if a larger token has written."""
        document = {**_of_cluster(status), "lease_token": Int64(token)}
        try:
            self._status.update_one(
                {"_id": _CLUSTER, "lease_token": {"$lte": token}}, _replace(document), upsert=True
            )
        except DuplicateKeyError as error:  # it is there, with a larger token
            raise why(self._status, _CLUSTER, lease=COORDINATOR) from error

    @translated()
    def problems(self) -> Sequence[Problem]:
        """Return the problems of the cluster's document, by whomever it was written."""
        return self._problems("problems")

    @translated()
    def told(self) -> Sequence[Problem]:
        """Return the problems of which the webhook has been told, and not yet of their end."""
        return self._problems("told")

    def _problems(self, field: str) -> Sequence[Problem]:
        found = self._status.find_one({"_id": _CLUSTER}) or {}
        listed = found.get(field)
        return list(readable(_to_problem, listed if isinstance(listed, list) else ()))

    @translated()
    def agents(self) -> Sequence[AgentStatus]:
        """Return every agent's document, also stale ones.

        One that cannot be read, of another version or changed by hand, is as if not there.
        """
        return list(readable(_to_agent, self._status.find({"kind": "agent"}).sort("_id", 1)))

    @translated()
    def server_now(self) -> datetime:
        """Return the primary's wall clock, UTC."""
        answer: datetime = self._database.command("hello")["localTime"]
        return answer if answer.tzinfo else answer.replace(tzinfo=UTC)


def _replace(document: Document) -> list[Document]:
    now = {"updated_at": "$$NOW"}
    return [{"$replaceWith": {"$mergeObjects": [{"$literal": document}, now]}}]


def _of_agent(status: AgentStatus) -> Document:
    storage = status.storage
    return {
        "_id": f"agent:{status.name}",
        "kind": "agent",
        "name": status.name,
        "node_state": status.node_state,
        "node_lag_s": status.node_lag_s,
        "priority": status.priority,
        "server_version": status.server_version,
        "agent_version": status.agent_version,
        "pid": status.pid,
        "started_at": status.started_at,
        "storage": {
            "label": storage.label,
            "ok": storage.ok,
            "bucket": storage.bucket,
            "credential_source": storage.credential_source,
            "identity": storage.identity,
            "expires_at": storage.expires_at,
            "renewal_error": storage.renewal_error,
            "error": storage.error,
            "error_code": storage.error_code,
        },
        "archive": status.archive and _of_report(status.archive),
        "access": [
            {"storage": each.storage, "identity": each.identity, "role": each.role}
            for each in status.access
        ],
        "clock_skew_s": status.clock_skew_s,
        "node_state_since": status.node_state_since,
        "oplog_from": status.oplog_from and timestamp(status.oplog_from),
    }


def _of_report(report: ArchiveReport) -> Document:
    return {
        "replset_id": report.replset_id,
        "archived_to": timestamp(report.archived_to),
        "archived_at": report.archived_at,
        "lag_s": report.lag_s,
        "window_s": report.window_s,
        "spans": [_of_range(span) for span in report.spans],
        "others": [
            {"replset_id": replset_id, "spans": [_of_range(span) for span in spans]}
            for replset_id, spans in report.others.items()
        ],
        "error": report.error,
    }


def _to_agent(found: Mapping[str, Any]) -> AgentStatus:
    return AgentStatus(
        name=found["name"],
        node_state=found["node_state"],
        node_lag_s=found["node_lag_s"],
        priority=found["priority"],
        server_version=found["server_version"],
        agent_version=found["agent_version"],
        pid=found["pid"],
        started_at=found["started_at"],
        updated_at=found["updated_at"],
        storage=StorageStatus(**found["storage"]),
        archive=_to_report(found["archive"]) if found.get("archive") else None,
        access=tuple(StorageAccess(**each) for each in found.get("access", ())),
        clock_skew_s=found.get("clock_skew_s"),
        node_state_since=found.get("node_state_since"),
        oplog_from=cluster_time(found["oplog_from"]) if found.get("oplog_from") else None,
    )


def _to_report(found: Mapping[str, Any]) -> ArchiveReport:
    return ArchiveReport(
        replset_id=found["replset_id"],
        archived_to=cluster_time(found["archived_to"]),
        archived_at=found["archived_at"],
        lag_s=found["lag_s"],
        window_s=found["window_s"],
        spans=_to_spans(found["spans"]),
        others={each["replset_id"]: _to_spans(each["spans"]) for each in found["others"]},
        error=found["error"],
    )


def _to_spans(found: Iterable[Mapping[str, Any]]) -> tuple[Span, ...]:
    return tuple(
        Span(begin=cluster_time(each["from"]), last=cluster_time(each["to"])) for each in found
    )


def _of_cluster(status: ClusterStatus) -> Document:
    return {
        "_id": _CLUSTER,
        "kind": "cluster",
        "replset": status.replset,
        "state": status.state,
        "problems": [_of_problem(problem) for problem in status.problems],
        "told": [_of_problem(problem) for problem in status.told],
        "coordinator": status.coordinator,
        "archiver": status.archiver,
        "last_backup": status.last_backup and _of_last(status.last_backup),
        "recoverable": [_of_range(each) for each in status.recoverable],
        "oplog": status.oplog and _of_oplog(status.oplog),
        "running": status.running and _of_running(status.running),
        "next_runs": [_of_next_run(each) for each in status.next_runs],
    }


def _of_range(each: Span | Recoverable) -> Document:
    return {"from": timestamp(each.begin), "to": timestamp(each.last)}


def _of_oplog(oplog: OplogStatus) -> Document:
    return {
        "archived_to": timestamp(oplog.archived_to),
        "archived_at": oplog.archived_at,
        "lag_s": oplog.lag_s,
        "window_s": oplog.window_s,
        "headroom_s": oplog.headroom_s,
        "gaps": [_of_range(gap) for gap in oplog.gaps],
    }


def _of_problem(problem: Problem) -> Document:
    return {
        "code": problem.code,
        "level": problem.level,
        "message": problem.message,
        "hint": problem.hint,
        "since": problem.since,
    }


def _to_problem(found: Mapping[str, Any]) -> Problem:
    return Problem(
        code=found["code"],
        level=found["level"],
        message=found["message"],
        hint=found["hint"],
        since=found["since"],
    )


def _of_last(last: LastBackup) -> Document:
    return {
        "id": last.backup_id,
        "consistent_at": timestamp(last.consistent_at),
        "finished_at": last.finished_at,
        "stored_bytes": Int64(last.stored_bytes),
    }


def _of_running(running: Running) -> Document:
    return {
        "command_id": running.command_id,
        "command": running.command,
        "phase": running.phase,
        "percent": running.percent,
        "eta_s": running.eta_s,
    }


def _of_next_run(run: NextRun) -> Document:
    return {"schedule": run.schedule, "at": run.at, "command": run.command}


def _proves(database: Database[Document]) -> StatusBoard:
    return MongoStatus(database)
