"""Transactions put together from their oplog entries, and handed out when they commit."""

from dataclasses import dataclass, replace
from typing import Final

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.replay import Bundle, Settle, restore_before

# Open transactions live in memory. The server lets none run for more than a minute, unless it
# is prepared, and writes a large one down at its commit in one go.
LARGEST_OPEN_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Operations that become visible together at a time; ``upserts`` as in their entry."""

    at: ClusterTime
    operations: tuple[bytes, ...]
    upserts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    number: int
    parts: tuple[tuple[bytes, ...], ...]
    size_bytes: int
    is_whole: bool
    is_prepared: bool = False

    @property
    def count(self) -> int:
        return sum(map(len, self.parts))


class Transactions:
    """The transactions whose entries have been seen, and not their end.

    ``floor``: whatever committed up to and with it is in every copy already, so that a
    transaction that began before the first entry does no harm if it ended by then.
    """

    def __init__(self, floor: ClusterTime, largest_open_bytes: int = LARGEST_OPEN_BYTES) -> None:
        self._floor = floor
        self._largest_open_bytes = largest_open_bytes
        self._open: dict[bytes, _Open] = {}
        self._open_bytes = 0

    @property
    def has_prepared(self) -> bool:
        """Whether a prepared transaction has not ended yet."""
        return any(each.is_prepared for each in self._open.values())

    def add(self, time: ClusterTime, bundle: Bundle) -> Committed | None:
        """Take in one entry's operations; return those that it makes visible, if any.

        Raises: PermanentError ``replay_transaction_incomplete``, ``replay_transaction_large``.
        """
        if bundle.session is None:
            return Committed(at=time, operations=bundle.operations, upserts=bundle.upserts)
        whole = self._join(bundle.session, bundle)
        if bundle.is_partial:
            self._keep(bundle.session, whole)
            return None
        if bundle.count is not None and whole.count != bundle.count:
            whole = replace(whole, is_whole=False)
        if bundle.is_prepared:
            self._keep(bundle.session, replace(whole, is_prepared=True))
            return None
        self._forget(bundle.session)
        return self._commit(time, whole)

    def settle(self, settle: Settle) -> Committed | None:
        """End a prepared transaction; return what it makes visible, if it commits.

        Raises: PermanentError ``replay_transaction_incomplete``.
        """
        found = self._open.get(settle.session)
        if found is not None and found.number == settle.number:
            self._forget(settle.session)
        else:
            found = None
        if settle.commit_at is None:
            return None
        nothing = _Open(number=settle.number, parts=(), size_bytes=0, is_whole=False)
        return self._commit(settle.commit_at, found or nothing)

    def _commit(self, at: ClusterTime, whole: _Open) -> Committed | None:
        if whole.is_whole:
            operations = tuple(each for part in whole.parts for each in part)
            return Committed(at=at, operations=operations)
        if at <= self._floor:
            return None
        raise PermanentError(
            "replay_transaction_incomplete",
            f"the first entries of a transaction that committed at {at} are missing",
            hint=f"{restore_before(at)}, or from a backup made after it",
            at=str(at),
        )

    def _join(self, session: bytes, bundle: Bundle) -> _Open:
        size_bytes = sum(map(len, bundle.operations))
        before = self._open.get(session)
        if bundle.continues and before is not None and before.number == bundle.number:
            return replace(
                before,
                parts=(*before.parts, bundle.operations),
                size_bytes=before.size_bytes + size_bytes,
            )
        return _Open(
            number=bundle.number,
            parts=(bundle.operations,),
            size_bytes=size_bytes,
            is_whole=not bundle.continues,
        )

    def _keep(self, session: bytes, whole: _Open) -> None:
        self._forget(session)
        self._open[session] = whole
        self._open_bytes += whole.size_bytes
        if self._open_bytes > self._largest_open_bytes:
            raise PermanentError(
                "replay_transaction_large",
                f"open transactions take more than {self._largest_open_bytes} bytes",
                hint="they have to fit into memory until they end",
            )

    def _forget(self, session: bytes) -> None:
        before = self._open.pop(session, None)
        if before is not None:
            self._open_bytes -= before.size_bytes
