"""One screen that says how a replica set's backups stand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.console import Console as Rich
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from agent.cli import words
from agent.cli.archive import archive_line, recoverable_line
from agent.cli.screen import columns, facts
from agent.cli.sight import number
from agent.cli.verdict import Picture, advice, errors, is_safe, sentence, troubles
from agent.model.status import AgentStatus

# A terminal's usual height less the line of the next prompt; also what is printed elsewhere.
_USUAL_LINES: Final = 23


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """How much of each list is shown."""

    problems: int
    agents: int
    runs: int
    hints: bool = True


# From everything worth a screen to what a small one has room for.
_ROOMS: Final = (
    _Room(problems=4, agents=9, runs=3),
    _Room(problems=3, agents=5, runs=2),
    _Room(problems=2, agents=3, runs=1),
    _Room(problems=2, agents=1, runs=1, hints=False),
    _Room(problems=1, agents=0, runs=1, hints=False),
    _Room(problems=0, agents=0, runs=0, hints=False),
)


def overview(picture: Picture, on: Rich) -> list[RenderableType]:
    """Return the parts of the screen, the most important first, as many as it has room for."""
    most = on.height - 1 if on.is_terminal else _USUAL_LINES
    parts: list[RenderableType] = []
    for room in _ROOMS:
        parts = list(_parts(picture, room))
        if sum(len(on.render_lines(part, pad=False)) for part in parts) <= most:
            break
    return parts


def _parts(picture: Picture, room: _Room) -> Iterator[RenderableType]:
    yield Text(sentence(picture), style=colour(picture))
    todo = advice(picture)
    if todo:
        yield Text.assemble(("Do: ", "bold"), todo)
    for part in (_troubles(picture, room), _agents(picture, room), _facts(picture, room)):
        if part is not None:
            yield Text("")
            yield part


def colour(picture: Picture) -> str:
    """Return the style of the sentence."""
    if not is_safe(picture):
        return "bold red"
    return "bold yellow" if troubles(picture) else "bold green"


def _troubles(picture: Picture, room: _Room) -> Table | None:
    """Show the problems that the sentence does not tell."""
    found = troubles(picture)[1 if errors(picture) else 0 :]
    if not found:
        return None
    table = Table.grid(padding=(0, 2))
    for trouble in found[: room.problems]:
        style = "red" if trouble.level == "error" else "yellow"
        since = f" ({words.ago(trouble.since, picture.now)})" if trouble.since else ""
        table.add_row(Text(trouble.level, style=style), Text(f"{trouble.message}{since}"))
        if trouble.hint and room.hints:
            table.add_row("", Text(f"hint: {trouble.hint}", style="dim"))
    left = len(found) - room.problems
    if left > 0:
        table.add_row("", Text(f"and {left} more; --json shows all"))
    return table


def _agents(picture: Picture, room: _Room) -> RenderableType | None:
    """Show the agents, those in trouble first; a line for the others if there is no room."""
    if not picture.agents:
        return None
    shown = sorted(picture.agents, key=lambda agent: _is_well(agent, picture))[: room.agents]
    rest = [agent for agent in picture.agents if agent not in shown]
    if not shown:
        return Text(_rest(rest, picture).removeprefix("and "))
    names = ("agent", "node", "lag", "server", "version", "storage", "seen")
    table = columns(*names, right=("lag",))
    for column in table.columns:
        column.no_wrap = True
        column.overflow = "ellipsis"
    leader = (picture.cluster or {}).get("coordinator") if picture.is_led else None
    for agent in picture.agents:
        if agent in shown:
            table.add_row(*_agent(agent, picture, is_leader=agent.name == leader))
    if rest:
        table.add_row(Text(_rest(rest, picture), style="dim"))
    return table


def _rest(rest: Sequence[AgentStatus], picture: Picture) -> str:
    well = sum(_is_well(agent, picture) for agent in rest)
    agents = f"{len(rest)} agent{'s' if len(rest) > 1 else ''}"
    return f"and {agents}, {'all' if well == len(rest) else well} in order"


def _is_well(agent: AgentStatus, picture: Picture) -> bool:
    return picture.is_there(agent) and agent.storage.ok


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


def _facts(picture: Picture, room: _Room) -> Table:
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
    rows["recoverable"] = recoverable_line(picture)
    running = cluster.get("running")
    rows["running"] = _running(running, picture) if isinstance(running, Mapping) else "nothing"
    rows["next"] = "\n".join(run_line(run, picture.now) for run in next_runs(picture)[: room.runs])
    return facts(rows)


def _running(running: Mapping[str, object], picture: Picture) -> Text:
    """Show what runs; a job whose coordinator is gone is not over, and may be half done."""
    line = f"{running.get('command')}: {running.get('phase')} {number(running, 'percent'):.0f} %"
    eta = running.get("eta_s")
    if not picture.is_led:
        return Text(f"{line}, and nobody goes on with it now", style="yellow")
    if isinstance(eta, int | float):
        line += f", {words.duration(eta)} left"
    return Text(line, style="cyan")


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRun:
    """When a schedule inserts its command next."""

    schedule: str
    command: str
    at: datetime


def next_runs(picture: Picture) -> list[NextRun]:
    """Return what schedules will do, the nearest first; nothing while nobody tells."""
    told = (picture.cluster or {}).get("next_runs") if picture.is_led else None
    if not isinstance(told, Sequence):
        return []
    found = [_next_run(each) for each in told if isinstance(each, Mapping)]
    return sorted((run for run in found if run is not None), key=lambda run: run.at)


def _next_run(told: Mapping[str, object]) -> NextRun | None:
    at, command = told.get("at"), told.get("command")
    if not isinstance(at, datetime):
        return None
    name = command.get("command") if isinstance(command, Mapping) else command
    return NextRun(schedule=str(told.get("schedule", "")), command=str(name or ""), at=at)


def run_line(run: NextRun, now: datetime) -> str:
    """Write a run that is to come on a line."""
    name = f"{run.command} ({run.schedule})" if run.command else run.schedule
    return f"{name} {words.coming(run.at, now)}"
