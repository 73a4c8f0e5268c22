"""A status that is watched: one screen drawn again and again, or a line for each new answer."""

from collections.abc import Callable

from rich.console import Group
from rich.live import Live

from agent.cli import words
from agent.cli.exits import Exit
from agent.cli.overview import overview
from agent.cli.screen import Screen
from agent.cli.verdict import Picture, is_safe, sentence, troubles
from agent.core.errors import TransientError
from agent.core.flow import Stop


def watched(
    interval_s: float, screen: Screen, picture: Picture, look: Callable[[], Picture]
) -> Exit:
    """Watch until Ctrl-C, which is how it is meant to end; return what the last picture says."""
    if screen.out.is_terminal:
        last = _drawn(interval_s, screen, picture, look)
    else:
        last = _told(interval_s, screen, picture, look)
    return Exit.DONE if is_safe(last) else Exit.NOT_SAFE


def _drawn(
    interval_s: float, screen: Screen, picture: Picture, look: Callable[[], Picture]
) -> Picture:
    stop = Stop()
    first = Group(*overview(picture, screen.out))
    try:
        with Live(first, console=screen.out, auto_refresh=False) as live:
            while not stop.wait(interval_s):
                try:
                    picture = look()
                except TransientError as error:
                    live.update(_unanswered(error), refresh=True)
                else:
                    live.update(Group(*overview(picture, screen.out)), refresh=True)
    except KeyboardInterrupt:
        pass
    return picture


def _told(
    interval_s: float, screen: Screen, picture: Picture, look: Callable[[], Picture]
) -> Picture:
    """Print a line at first, and whenever the answer is another: for files and pipes."""
    stop = Stop()
    said: object = None
    try:
        while True:
            answer: object = (is_safe(picture), [each.message for each in troubles(picture)])
            if answer != said:
                screen.say(f"{words.moment(picture.now)}  {sentence(picture)}")
                said = answer
            found = None
            while found is None:
                stop.wait(interval_s)
                try:
                    found = look()
                except TransientError as error:
                    if said != error.code:
                        screen.say(_unanswered(error))
                    said = error.code
            picture = found
    except KeyboardInterrupt:
        return picture


def _unanswered(error: TransientError) -> str:
    return f"The replica set cannot be asked: {error.message}"
