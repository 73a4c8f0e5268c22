"""The figures of an agent, put together."""

from collections.abc import Callable
from dataclasses import dataclass

import agent
from agent.core.clock import Clock
from agent.core.flow import Stop
from agent.core.log import Log
from agent.metrics.counts import Counts
from agent.metrics.exposed import Exposed
from agent.metrics.figures import AgentView, of_agent
from agent.metrics.server import MetricsServer
from agent.model.status import AgentStatus, CredentialFacts, StorageStatus
from agent.mongo.connect import OwnNode
from agent.ports import NO_INSTRUMENTS, Instruments
from agent.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Sights:
    """What an agent can see of itself at any moment, without asking anybody."""

    written: Callable[[], AgentStatus | None]
    is_archiver: Callable[[], bool]
    storage: Callable[[], StorageStatus]
    credentials: Callable[[], dict[str, CredentialFacts]]


class Metrics:
    """What counts in an agent, and tells of it if ``metrics.listen`` says where."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._listen = settings.metrics.listen
        self._counts = Counts([each.label for each in settings.storages], clock)

    @property
    def instruments(self) -> Instruments:
        """What the agent's work is told to; nothing is counted that nobody can ask for."""
        return NO_INSTRUMENTS if self._listen is None else self._counts

    def duty(self, own: OwnNode, sights: Sights, log: Log) -> Callable[[Stop], None] | None:
        """Return the duty of telling, if there is one."""
        if self._listen is None:
            return None

        def look() -> AgentView:
            return AgentView(
                name=own.name,
                version=agent.__version__,
                server_version=own.server_version,
                written=sights.written(),
                is_coordinator=self._counts.view is not None,
                is_archiver=sights.is_archiver(),
                storage=sights.storage(),
                credentials=sights.credentials(),
            )

        exposed = Exposed(own.replset, self._counts, lambda: of_agent(look()))
        return MetricsServer(self._listen, exposed, log).run
