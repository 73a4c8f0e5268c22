"""How an agent is, in one line for the service manager."""

from agent.model.status import AgentStatus


def status_line(status: AgentStatus | None, *, leads: bool) -> str:
    """Say how an agent is by what its last heartbeat wrote; None if that failed."""
    if status is None:
        return "no heartbeat: the node or the primary does not answer"
    parts = [status.node_state.lower()]
    if leads:
        parts.append("coordinator")
    if status.archive is not None:
        parts.append(f"archiver, {status.archive.lag_s:.0f} s behind")
    if not status.storage.ok:
        parts.append(f"storage does not answer: {status.storage.error_code}")
    return "; ".join(parts)
