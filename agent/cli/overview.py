"""One screen that says how a replica set's backups stand."""

from collections.abc import Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from agent.cli import words
from agent.cli.archive import archive_line, recoverable_line
from agent.cli.next_run import next_line
from agent.cli.screen import columns, facts
from agent.cli.sight import number
from agent.cli.verdict import Picture, is_safe, sentence, troubles
from agent.model.status import AgentStatus

# What fits one screen beside everything else.
_MOST_TROUBLES = 4


def overview(picture: Picture) -> list[RenderableType]:
    """Return the parts of the screen, the most important first."""
    colour = "bold green" if is_safe(picture) else "bold red"
    if is_safe(picture) and troubles(picture):
        colour = "bold yellow"
    parts: list[RenderableType] = [Text(sentence(picture), style=colour)]
    for part in (_troubles(picture), _agents(picture), _facts(picture)):
        if part is not None:
            parts += [Text(""), part]
    return parts


def _troubles(picture: Picture) -> Table | None:
    found = troubles(picture)
    if not found:
        return None
    table = Table.grid(padding=(0, 2))
    for trouble in found[:_MOST_TROUBLES]:
        style = "red" if trouble.level == "error" else "yellow"
        since = f" ({words.ago(trouble.since, picture.now)})" if trouble.since else ""
        table.add_row(Text(trouble.level, style=style), Text(f"{trouble.message}{since}"))
        if trouble.hint:
            table.add_row("", Text(f"hint: {trouble.hint}", style="dim"))
    if len(found) > _MOST_TROUBLES:
        table.add_row("", Text(f"and {len(found) - _MOST_TROUBLES} more; --json shows all"))
    return table


def _agents(picture: Picture) -> Table | None:
    if not picture.agents:
        return None
    table = columns("agent", "node", "lag", "server", "version", "storage", "seen", right=("lag",))
    leader = (picture.cluster or {}).get("coordinator") if picture.is_led else None
    for agent in picture.agents:
        table.add_row(*_agent(agent, picture, is_leader=agent.name == leader))
    return table


def _agent(agent: AgentStatus, picture: Picture, *, is_leader: bool) -> tuple[Text, ...]:
    seen = words.ago(agent.updated_at, picture.now)
    if not picture.is_there(agent):
        gone = [Text(each, style="dim") for each in ("-", "", agent.server_version)]
        rest = [Text(agent.agent_version, style="dim"), Text("")]
        return (Text(agent.name), *gone, *rest, Text(f"not there, {seen}", style="yellow"))
    lag = "" if agent.node_lag_s is None else f"{agent.node_lag_s:.0f} s"
    is_ok = agent.storage.ok
    return (
        Text.assemble(agent.name, (" *", "bold") if is_leader else ""),
        Text(agent.node_state.lower()),
        Text(lag),
        Text(agent.server_version),
        Text(agent.agent_version),
        Text("ok" if is_ok else "not ok", style="" if is_ok else "red"),
        Text(seen, style="dim"),
    )


def _facts(picture: Picture) -> Table:
    cluster = picture.cluster or {}
    rows: dict[str, str | Text] = {"replica set": words.text(cluster.get("replset"))}
    if picture.is_led:
        rows["coordinator *"] = words.text(cluster.get("coordinator"))
    last = picture.last
    rows["last backup"] = (
        f"{last.backup_id}, consistent at {words.moment(last.consistent_at.wall)},"
        f" {words.size(last.stored_bytes)} stored, {words.verified(last.verdict, picture.now)}"
        if last
        else "none"
    )
    rows["backups"] = words.count(len(picture.entries)) if picture.entries else ""
    rows["archive"] = archive_line(picture)
    if picture.is_led:
        rows["recoverable"] = recoverable_line(cluster.get("recoverable"))
    running = cluster.get("running") if picture.is_led else None
    rows["running"] = _running(running) if isinstance(running, Mapping) else "nothing"
    rows["next run"] = next_line(picture)
    return facts(rows)


def _running(running: Mapping[str, object]) -> Text:
    line = f"{running.get('command')}: {running.get('phase')} {number(running, 'percent'):.0f} %"
    eta = running.get("eta_s")
    if isinstance(eta, int | float):
        line += f", {words.duration(eta)} left"
    return Text(line, style="cyan")
