"""What others receive and run: a webhook and an operator's programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.core.flow import Stop


class Postbox(Protocol):
    """Delivers to one receiver."""

    @property
    def host(self) -> str:
        """Who receives, without anything secret."""
        ...

    def post(self, notice_id: str, body: bytes) -> None:
        """Deliver a JSON document once; ``notice_id`` lets the receiver know a repetition.

        Raises: TransientError ``webhook_unreachable`` if it may work later; PermanentError
        ``webhook_refused`` if the receiver did not want it. Neither text holds a secret.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a program ended: ``fault`` is None if it did its work; ``output`` is the end of it."""

    fault: str | None
    output: str


class ProgramRunner(Protocol):
    """Runs a program of the operator's."""

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        limit_s: float,
        stop: Stop,
    ) -> Ran:
        """Run a program to its end, or end it with all that it started after ``limit_s`` seconds.

        ``environment`` is added to the few variables that every program gets.

        Raises: Stopped, after the program was ended.
        """
        ...
