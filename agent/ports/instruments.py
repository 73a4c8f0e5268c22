"""What an agent tells of its own work and of the cluster, for whoever watches by figures."""

from collections.abc import Sequence
from typing import Final, Literal, Protocol

from agent.model.backups import BackupEntry
from agent.model.states import State
from agent.model.status import ClusterStatus

TaskEnd = Literal["done", "given_back", "lost", "failed"]
Direction = Literal["written", "read"]


class Instruments(Protocol):
    """Counts what happens. Every method is cheap, never fails, and may be called by any thread."""

    def count_request(self, operation: str, status: str, elapsed_s: float) -> None:
        """Count a request to S3: ``status`` is 2xx, 3xx, 4xx, 5xx, or "none" without an answer."""
        ...

    def count_bytes(self, storage: str, direction: Direction, size_bytes: int) -> None:
        """Count the bytes of an object that is now in a storage, or came from one."""
        ...

    def count_retry(self, storage: str) -> None:
        """Count a failure of a storage after which the same is tried again."""
        ...

    def count_claim(self) -> None:
        """Count a task that this agent has claimed."""
        ...

    def count_task(self, end: TaskEnd, elapsed_s: float) -> None:
        """Count a claimed task that has come to an end here."""
        ...

    def count_command(
        self, command: str, state: State, elapsed_s: float, size_bytes: int | None
    ) -> None:
        """Count a command that this agent brought to an end state; bytes are uncompressed."""
        ...

    def tell_cluster(self, status: ClusterStatus, entries: Sequence[BackupEntry]) -> None:
        """Tell how the cluster stands, and what backups there are, as the coordinator sees it."""
        ...

    def forget_cluster(self) -> None:
        """Tell that this agent coordinates no more, so that its view is nobody's concern."""
        ...


class NoInstruments:
    """Counts nothing."""

    def count_request(self, operation: str, status: str, elapsed_s: float) -> None:
        """Do nothing."""

    def count_bytes(self, storage: str, direction: Direction, size_bytes: int) -> None:
        """Do nothing."""

    def count_retry(self, storage: str) -> None:
        """Do nothing."""

    def count_claim(self) -> None:
        """Do nothing."""

    def count_task(self, end: TaskEnd, elapsed_s: float) -> None:
        """Do nothing."""

    def count_command(
        self, command: str, state: State, elapsed_s: float, size_bytes: int | None
    ) -> None:
        """Do nothing."""

    def tell_cluster(self, status: ClusterStatus, entries: Sequence[BackupEntry]) -> None:
        """Do nothing."""

    def forget_cluster(self) -> None:
        """Do nothing."""


NO_INSTRUMENTS: Final[Instruments] = NoInstruments()
