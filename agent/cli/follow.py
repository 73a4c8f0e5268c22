"""Inserting a command and following it to its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from agent.cli.console import Console
from agent.cli.exits import OF_STATE, Exit
from agent.cli.progress import displayed
from agent.cli.results import show_end
from agent.cli.screen import Screen
from agent.cli.sight import Sight, sight_of
from agent.core.clock import Clock
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.model.commands import parse
from agent.model.nodes import STALE_S
from agent.model.states import State

# A command that nobody took for so long makes one wonder whether any agent is there.
_PATIENCE_S: Final = 5.0
# An election is over sooner; after that the server is not coming back by itself.
_OUTAGE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What following needs: the replica set, the screen, the time."""

    console: Console
    screen: Screen
    clock: Clock
    look_s: float
    program_name: str = "backstay"


def submit(at: Terminal, options: Mapping[str, object], *, wait: bool) -> Exit:
    """Insert a command as an operator would; follow it to its end unless told not to.

    Raises: PermanentError ``bad_command``; TransientError.
    """
    given = {name: value for name, value in options.items() if value is not None}
    parse(given)
    command_id = at.console.commands.insert(given)
    if wait:
        return follow(at, command_id)
    document = at.console.documents.command(command_id) or {"_id": command_id, **given}
    if at.screen.is_json:
        at.screen.document(document)
    else:
        at.screen.say(f"{given['command']} inserted: {command_id}")
        at.screen.note(f"follow it with: {at.program_name} show {command_id} --follow", "dim")
    return Exit.DONE


def follow(at: Terminal, command_id: object) -> Exit:
    """Show a command until it is over, and return the exit status that tells how it ended."""
    last: Sight | None = None
    try:
        last = _watch(at, command_id)
    except KeyboardInterrupt:
        _leave(at, command_id)
        return Exit.INTERRUPTED
    if at.screen.is_json:
        at.screen.document(last.document)
    else:
        show_end(at.screen, last)
    return Exit.ERROR if last.state is None else OF_STATE.get(last.state, Exit.ERROR)


def _watch(at: Terminal, command_id: object) -> Sight:
    stop = Stop()
    patience = _Patience(at)
    with displayed(at.screen, at.clock) as display:
        while True:
            sight = patience.look(command_id)
            if sight is not None:
                display.show(sight)
                if sight.is_over:
                    return sight
                patience.wonder(sight)
            stop.wait(at.look_s)


class _Patience:
    """Looks at a command; bears an outage for a while, and wonders aloud when nobody comes."""

    def __init__(self, at: Terminal) -> None:
        self._at = at
        self._begun_at = at.clock.monotonic()
        self._answered_at = self._begun_at
        self._wondered = False

    def look(self, command_id: object) -> Sight | None:
        """Return the command as it is now, None while the server cannot be asked."""
        try:
            document = self._at.console.documents.command(command_id)
        except TransientError:
            if self._at.clock.monotonic() - self._answered_at > _OUTAGE_S:
                raise
            return None
        self._answered_at = self._at.clock.monotonic()
        if document is None:
            raise PermanentError(
                "command_gone",
                f"the command {command_id} is not there any more",
                hint="somebody has deleted its document; the work itself may go on: see status",
            )
        return sight_of(document)

    def wonder(self, sight: Sight) -> None:
        """Say once why a command waits, if it does."""
        waited_s = self._at.clock.monotonic() - self._begun_at
        if self._wondered or sight.state is State.RUNNING or waited_s < _PATIENCE_S:
            return
        self._wondered = True
        try:
            self._at.screen.note(self._reason(sight), "yellow")
        except TransientError:
            self._wondered = False

    def _reason(self, sight: Sight) -> str:
        if not any_lives(self._at.console):
            return "no agent is there to do it: start `backstay run` beside each node"
        if sight.state is State.ACCEPTED:
            return "it is being planned, or waits for its turn: one job writes data at a time"
        return "no agent has taken it yet"


def any_lives(console: Console) -> bool:
    """Whether any agent was heard of lately. Raises: TransientError."""
    now, fresh = console.status.server_now(), timedelta(seconds=STALE_S)
    return any(now - agent.updated_at <= fresh for agent in console.status.agents())


def _leave(at: Terminal, command_id: object) -> None:
    name = at.program_name
    at.screen.note("")
    at.screen.note("The command goes on without this terminal.")
    at.screen.note(f"  see how it is   {name} show {command_id} --follow")
    at.screen.note(f"  stop it         {name} cancel {command_id}")
