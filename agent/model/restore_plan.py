"""What a restore will do, decided before anything is touched: pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.core.errors import PermanentError
from agent.model.arrangement import Arrangement, Surroundings, Wish, arrange, some
from agent.model.catalogue import Collection, Identity
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived
from agent.model.manifest import Copy, Manifest
from agent.model.names import Namespace

_NUMBER: Final = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TtlRule:
    """An index, or a collection itself (``index`` is empty), that deletes old documents."""

    namespace: Namespace
    index: str
    expire_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The oplog after ``begin``, up to and with ``last``, and the segments that hold it."""

    begin: ClusterTime
    last: ClusterTime
    segments: tuple[Archived, ...]

    @property
    def stored_bytes(self) -> int:
        """Bytes to fetch."""
        return sum(segment.stored_bytes for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A backup, the cluster time to bring it to, and the oplog for that, if any is needed."""

    manifest: Manifest
    target: ClusterTime
    stretch: Stretch | None = None

    @property
    def is_later(self) -> bool:
        """Whether the target is after the backup's own time."""
        return self.target > self.manifest.consistent_at


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """Everything that was decided; ``copies`` are those of the manifest that hold wanted data.

    ``followed`` are the UUIDs of collections that get a wanted name only on the way.
    """

    goal: Goal
    wish: Wish
    copies: tuple[Copy, ...]
    arrangement: Arrangement
    ttl_rules: tuple[TtlRule, ...] = ()
    notes: tuple[str, ...] = ()
    followed: frozenset[bytes] = frozenset()

    @property
    def manifest(self) -> Manifest:
        """The backup's."""
        return self.goal.manifest

    def following(self, uuids: frozenset[bytes]) -> "RestorePlan":
        """Return the plan with more collections to follow, whatever they were called."""
        followed = self.followed | uuids
        copies = _copies(self.manifest, self.wish, followed)
        return replace(self, followed=followed, copies=copies)

    @property
    def docs(self) -> int:
        """Documents to load."""
        return sum(copy.docs for copy in self.copies)

    @property
    def bytes(self) -> int:
        """Uncompressed bytes to load."""
        return sum(copy.bytes for copy in self.copies)

    @property
    def stored_bytes(self) -> int:
        """Bytes to fetch, without the oplog."""
        return sum(chunk.stored_bytes for copy in self.copies for chunk in copy.chunks)

    @property
    def has_users(self) -> bool:
        """Whether users or roles are restored."""
        return any(_is_users(copy) for copy in self.copies)

    @property
    def databases(self) -> tuple[str, ...]:
        """The databases that are written to, as far as is known before the replay; sorted."""
        names = {each.target.database for each in self.arrangement.placed}
        return tuple(sorted((names | {"admin"}) if self.has_users else names))

    def document(self) -> Mapping[str, object]:
        """Return the plan as the command's result shows it."""
        return {
            "backup": self.manifest.backup_id,
            "target": self.goal.target,
            "segments": len(self.goal.stretch.segments) if self.goal.stretch else 0,
            "oplog_stored_bytes": self.goal.stretch.stored_bytes if self.goal.stretch else 0,
            "server_version": self.manifest.identity.server_version,
            "docs": self.docs,
            "bytes": self.bytes,
            "stored_bytes": self.stored_bytes,
            "users_and_roles": self.has_users,
            "create": [
                f"{placed.target}"
                for placed in self.arrangement.placed
                if placed.target not in {each.namespace for each in self.arrangement.replaced}
            ],
            "replace": [f"{each.namespace}" for each in self.arrangement.replaced],
            "drop": [f"{each.namespace}" for each in self.arrangement.dropped],
            "rename": [
                {"from": f"{each.source}", "to": f"{each.target}"}
                for each in self.arrangement.placed
                if each.source != each.target
            ],
            "ttl": [
                {
                    "namespace": f"{rule.namespace}",
                    "index": rule.index,
                    "expire_after_s": rule.expire_after_s,
                    "held": self.wish.hold_ttl,
                }
                for rule in self.ttl_rules
            ],
            "notes": list(self.notes),
        }


def plan_restore(
    goal: Goal,
    wish: Wish,
    surroundings: Surroundings,
    ttl_rules: Sequence[TtlRule],
) -> RestorePlan:
    """Decide everything about a restore; ``ttl_rules`` are those of the source, all of them.

    A pattern may match nothing in the backup if the target is later: what it means may have
    been created after it.

    Raises: PermanentError ``server_too_old``, ``nothing_matches``, ``rename_collides``,
    ``bad_target``, ``view_split``, ``target_exists``, ``database_case``.
    """
    manifest = goal.manifest
    check_version(manifest.identity, surroundings.identity)
    collections = [copy.collection for copy in manifest.copies]
    if not goal.is_later:
        check_patterns(wish, (each.namespace for each in collections))
    rules = tuple(_renamed(rule, wish) for rule in ttl_rules if _wanted(rule, wish))
    return RestorePlan(
        goal=goal,
        wish=wish,
        copies=_copies(manifest, wish, frozenset()),
        arrangement=arrange(collections, wish, surroundings, is_whole=not manifest.namespaces),
        ttl_rules=rules,
        notes=(*_notes(manifest, wish, surroundings, collections), *_ttl_notes(rules, wish)),
    )


def check_patterns(wish: Wish, namespaces: Iterable[Namespace]) -> None:
    """Raise PermanentError ``nothing_matches`` for patterns that match none of these."""
    names = tuple(namespaces)
    wish.selection.check(names)
    wish.renaming.check(name for name in names if wish.selection.takes(name))


def check_version(backup: Identity, target: Identity) -> None:
    """Refuse a target that is older than what the backup was made of.

    Raises: PermanentError ``server_too_old``.
    """
    if _version(target.feature_compatibility) < _version(backup.feature_compatibility):
        raise PermanentError(
            "server_too_old",
            f"the backup is of feature compatibility version {backup.feature_compatibility}, "
            f"this replica set runs {target.feature_compatibility}",
            hint="restore to a replica set of the same version or a newer one",
        )


def _copies(manifest: Manifest, wish: Wish, followed: frozenset[bytes]) -> tuple[Copy, ...]:
    return tuple(
        copy
        for copy in manifest.copies
        if copy.collection.has_data
        and (wish.target(copy.collection.namespace) is not None or copy.collection.uuid in followed)
    )


def _ttl_notes(rules: Sequence[TtlRule], wish: Wish) -> tuple[str, ...]:
    """Say what the time that has passed since the target does to restored documents."""
    if not rules or wish.hold_ttl:
        return ()
    names = some(sorted({rule.namespace for rule in rules}))
    told = f"what has expired in {names} by now is deleted at once after the restore"
    return (f"{told}; hold_ttl: true keeps it",)


def _notes(
    manifest: Manifest, wish: Wish, surroundings: Surroundings, collections: Sequence[Collection]
) -> tuple[str, ...]:
    found = []
    backup, target = manifest.identity, surroundings.identity
    if _version(backup.server_version) != _version(target.server_version):
        found.append(
            f"the backup is of MongoDB {backup.server_version}, "
            f"this replica set runs {target.server_version}"
        )
    renamed_views = [
        each.namespace
        for each in collections
        if each.kind == "view" and wish.target(each.namespace) not in {None, each.namespace}
    ]
    if renamed_views:
        found.append(f"the pipelines of {some(renamed_views)} keep the old names inside")
    return tuple(found)


def _renamed(rule: TtlRule, wish: Wish) -> TtlRule:
    return TtlRule(
        namespace=(wish.target(rule.namespace) or rule.namespace).visible,
        index=rule.index,
        expire_after_s=rule.expire_after_s,
    )


def _wanted(rule: TtlRule, wish: Wish) -> bool:
    return wish.target(rule.namespace) is not None


def _is_users(copy: Copy) -> bool:
    return copy.collection.namespace.is_users_or_roles


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if _NUMBER.fullmatch(part))
