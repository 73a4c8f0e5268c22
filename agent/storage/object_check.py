"""Tests of any storage by one small object: written, kept from others, read, removed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from agent.core.clock import Clock
from agent.core.errors import AgentError
from agent.model import keys
from agent.model.check import Finding
from agent.ports import ObjectStore
from agent.storage.asking import Asked, Findings, tried

BODY: Final = b"Backstay wrote this to test the storage, and removes it again.\n"
_OTHER: Final = b"Backstay tried to overwrite an object, and the storage let it.\n"
# What an interrupted test left is removed by a later one, when nobody can still need it.
_LEFT_AFTER: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where to write: ``store`` tries each request once.

    ``name`` keeps tests at the same time apart: letters and digits, another one each time.
    """

    label: str
    store: ObjectStore
    replset: str
    agent: str
    name: str
    clock: Clock

    @property
    def findings(self) -> Findings:
        """What makes findings about this storage."""
        return Findings(label=self.label)


class ObjectCheck:
    """One object's life."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._found = site.findings
        self.key: Final = keys.check_object(site.replset, site.agent, site.clock.now(), site.name)

    def findings(
        self,
        refused: Callable[[Asked[None]], Finding] | None = None,
        while_there: Callable[[], Iterable[Finding]] = tuple,
    ) -> Iterator[Finding]:
        """Yield what the tests find.

        ``refused`` explains why the object was not written, ``while_there`` tests what else
        needs it.
        """
        store = self._site.store
        put = tried("PutObject", lambda: store.put(self.key, BODY))
        if put.error is not None:
            yield refused(put) if refused else self._failed("put", put)
            return
        try:
            yield self._found.ok("put", "an object is written in one piece")
            yield from while_there()
            yield self._overwriting()
            yield self._get()
        finally:
            removed = tried("DeleteObject", self.remove)
        if removed.error is not None:
            yield self._failed("delete", removed)
            return
        yield self._found.ok("delete", "the object is removed again")
        tried("DeleteObject", self._sweep)

    def remove(self) -> None:
        """Remove the object. Raises: what the store raises."""
        self._site.store.delete([self.key])

    def _overwriting(self) -> Finding:
        again = tried("GetObject", lambda: self._site.store.put(self.key, _OTHER))
        if again.error is None:
            return self._found.of(
                "overwrite",
                "failed",
                "the storage lets an object be overwritten",
                hint="set storage.s3.conditional_puts: false for this server",
            )
        if again.error.code == "object_exists":
            return self._found.ok("overwrite", "an object is never overwritten")
        return self._failed("overwrite", again)

    def _get(self) -> Finding:
        got = tried("GetObject", lambda: self._site.store.get(self.key))
        if got.error is not None:
            return self._failed("get", got)
        if got.answer != BODY:
            return self._found.of("get", "failed", "the object came back with another content")
        return self._found.ok("get", "the object comes back as it was written")

    def _sweep(self) -> None:
        """Remove what tests of this agent left that were interrupted."""
        site, now = self._site, self._site.clock.now()
        found = site.store.list(keys.checks_root(site.replset, site.agent))
        made = {each.key: keys.check_time(each.key) for each in found}
        site.store.delete([key for key, at in made.items() if at and now - at > _LEFT_AFTER])

    def _failed(self, test: str, asked: Asked[Any]) -> Finding:
        assert isinstance(asked.error, AgentError)  # noqa: S101 - for the type checker
        return self._found.failed(test, asked.error, asked.missing)
