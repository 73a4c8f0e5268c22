"""Where a restore puts everything, and what is in the way: pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from agent.core.errors import PermanentError
from agent.model.catalogue import Collection, Identity
from agent.model.names import STORED_JAVASCRIPT, Namespace, is_backed_up
from agent.model.selection import Renaming, Selection

VisibleKind = Literal["collection", "view", "timeseries"]

# Names of the server: https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
_DATABASE_MAX_BYTES: Final = 63
_NAMESPACE_MAX_BYTES: Final = 255
_FORBIDDEN_IN_DATABASE: Final = frozenset('/\\. "$*<>:|?\0')
_MOST_NAMED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command asks for."""

    selection: Selection = field(default_factory=Selection)
    renaming: Renaming = field(default_factory=Renaming)
    overwrite: bool = False
    users_and_roles: bool | None = None
    hold_ttl: bool = False

    @property
    def is_full(self) -> bool:
        """Whether everything is to be as it was, nothing chosen and nothing renamed."""
        return self.selection.is_everything and not self.renaming.rules

    def target(self, source: Namespace) -> Namespace | None:
        """Return where a source namespace goes; None if it is not wanted."""
        if source.is_users_or_roles:
            wanted = self.is_full if self.users_and_roles is None else self.users_and_roles
            return source if wanted else None
        return self.renaming.target(source) if self.selection.takes(source) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The replica set that is restored to, as it is now."""

    identity: Identity
    existing: tuple[Collection, ...]
    control_database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A namespace of the source and where it goes, both by the names that users know."""

    source: Namespace
    target: Namespace
    kind: VisibleKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """What the target has under one visible name."""

    namespace: Namespace
    kind: VisibleKind
    uuid: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Which names appear, which are replaced, which go.

    ``displaced`` are those of ``replaced`` that are of another kind than what comes: they
    cannot be renamed over and are dropped just before. ``dropped`` is what a full
    restore with ``overwrite`` does not leave.
    """

    placed: tuple[Placed, ...]
    replaced: tuple[Existing, ...] = ()
    displaced: tuple[Existing, ...] = ()
    dropped: tuple[Existing, ...] = ()


def arrange(
    collections: Iterable[Collection],
    wish: Wish,
    surroundings: Surroundings,
    *,
    is_whole: bool,
) -> Arrangement:
    """Find where everything goes and what is there now.

    ``collections`` are those of the source; ``is_whole`` tells that they are all of them.

    Raises: PermanentError ``rename_collides``, ``bad_target``, ``view_split``,
    ``target_exists``, ``database_case``.
    """
    collections = tuple(collections)
    placed = _placed(collections, wish)
    definitions = _definitions(collections, wish)
    _check_twice(collections)
    _check_collisions(placed)
    _check_names(placed, surroundings.control_database)
    _check_definitions(definitions, surroundings.control_database)
    _check_views(collections, wish)
    existing = existing_names(surroundings.existing)
    _check_database_case((*placed, *definitions), surroundings)
    there = {each.namespace: each for each in existing}
    replaced = tuple(there[each.target] for each in placed if each.target in there)
    if replaced and not wish.overwrite:
        raise PermanentError(
            "target_exists",
            f"already there: {some([each.namespace for each in replaced])}",
            hint="restore under another name with rename, or replace with overwrite: true",
            namespaces=tuple(str(each.namespace) for each in replaced),
        )
    kinds = {each.target: each.kind for each in placed}
    targets = set(kinds)
    drops = wish.overwrite and wish.is_full and is_whole
    return Arrangement(
        placed=placed,
        replaced=replaced,
        displaced=tuple(each for each in replaced if each.kind != kinds[each.namespace]),
        dropped=tuple(each for each in existing if drops and each.namespace not in targets),
    )


def existing_names(collections: Iterable[Collection]) -> tuple[Existing, ...]:
    """Return one entry for each visible name, sorted; a time series is one, with its buckets' UUID.

    Users, roles and the definitions of views are left out: they are merged, not replaced.
    """
    found: dict[Namespace, Existing] = {}
    for each in collections:
        name = each.namespace
        if name.is_users_or_roles or name.is_views:
            continue
        if name.is_buckets or each.kind == "timeseries":
            uuid = each.uuid or (found[name.visible].uuid if name.visible in found else b"")
            found[name.visible] = Existing(namespace=name.visible, kind="timeseries", uuid=uuid)
        else:
            found[name] = Existing(namespace=name, kind=each.kind, uuid=each.uuid)
    return tuple(found[name] for name in sorted(found))


def _placed(collections: Iterable[Collection], wish: Wish) -> tuple[Placed, ...]:
    found: dict[Namespace, Placed] = {}
    for each in collections:
        source = each.namespace
        # A view of such a name is none of these, and has no business to be there.
        if each.has_data and (source.is_users_or_roles or source.is_views):
            continue
        target = wish.target(source)
        if target is None:
            continue
        kind: VisibleKind = "timeseries" if source.is_buckets else each.kind
        found[source.visible] = Placed(source=source.visible, target=target.visible, kind=kind)
    return tuple(found[name] for name in sorted(found))


def _definitions(collections: Iterable[Collection], wish: Wish) -> tuple[Placed, ...]:
    found = ((each.namespace, wish.target(each.namespace)) for each in collections)
    return tuple(
        Placed(source=source, target=target, kind="view")
        for source, target in found
        if target is not None and source.is_views
    )


def _check_twice(collections: Iterable[Collection]) -> None:
    """Refuse two of one name: the second would take the place of the first."""
    counts = Counter(each.namespace for each in collections)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        raise PermanentError(
            "rename_collides",
            f"{counts[twice]} collections or views would be restored to {twice}",
            hint="the backup or its oplog is damaged; restore to another time, or another backup",
        )


def _check_collisions(placed: Sequence[Placed]) -> None:
    counts = Counter(each.target for each in placed)
    collided = next((target for target, count in counts.items() if count > 1), None)
    if collided is None:
        return
    sources = [each.source for each in placed if each.target == collided]
    raise PermanentError(
        "rename_collides",
        f"{some(sources)} would all be restored to {collided}",
        hint="change the rename so that every collection has a name of its own",
    )


def _check_names(placed: Sequence[Placed], control_database: str) -> None:
    for each in placed:
        name = each.target
        if not is_backed_up(name, control_database):
            raise _bad_target(each, "it does not belong to users' data")
        is_javascript = name.collection == STORED_JAVASCRIPT and each.kind == "collection"
        if name.collection.startswith("system.") and not is_javascript:
            raise _bad_target(each, "names that begin with system. belong to the server")
        _check_text(each)


def _check_text(placed: Placed) -> None:
    name = placed.target
    length = len(str(name.buckets if placed.kind == "timeseries" else name).encode())
    forbidden = _FORBIDDEN_IN_DATABASE & set(name.database)
    if forbidden or not name.collection or "$" in name.collection or "\0" in name.collection:
        raise _bad_target(placed, "it holds characters that the server refuses")
    if len(name.database.encode()) > _DATABASE_MAX_BYTES or length > _NAMESPACE_MAX_BYTES:
        raise _bad_target(
            placed,
            f"a database may have {_DATABASE_MAX_BYTES} bytes and a namespace "
            f"{_NAMESPACE_MAX_BYTES}, it has {length}",
        )


def _check_definitions(definitions: Iterable[Placed], control_database: str) -> None:
    """Refuse definitions of views where no user has any: they would be loaded there first."""
    for each in definitions:
        if not is_backed_up(each.target, control_database):
            raise _bad_target(each, "it does not belong to users' data")
        _check_text(each)


def _bad_target(placed: Placed, reason: str) -> PermanentError:
    return PermanentError(
        "bad_target",
        f"{placed.source} cannot be restored to {placed.target}: {reason}",
        hint="choose another name with rename",
    )


def _check_views(collections: Sequence[Collection], wish: Wish) -> None:
    """Keep a view and what it reads in one database: a view cannot look into another."""
    by_name = {each.namespace.visible for each in collections}
    for each in collections:
        if each.kind != "view":
            continue
        target = wish.target(each.namespace)
        base = Namespace(each.namespace.database, each.traits.view_on)
        base_target = wish.target(base) if base in by_name else None
        if target is None or base_target is None or target.database == base_target.database:
            continue
        raise PermanentError(
            "view_split",
            f"the view {each.namespace} would go to {target}, and what it reads to {base_target}",
            hint="rename both to the same database",
        )


def _check_database_case(placed: Sequence[Placed], surroundings: Surroundings) -> None:
    """Refuse two databases whose names differ in case only, as the server does (13297)."""
    known = {surroundings.control_database, "admin", "config", "local"}
    known.update(each.namespace.database for each in surroundings.existing)
    by_case: dict[str, str] = {name.casefold(): name for name in known}
    for each in placed:
        name = each.target.database
        other = by_case.setdefault(name.casefold(), name)
        if other != name:
            raise PermanentError(
                "database_case",
                f"the databases {other} and {name} differ in case only",
                hint="rename to another database",
            )


def some(names: Sequence[Namespace]) -> str:
    """Return names for a message: the first ten, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:_MOST_NAMED])
    left = len(names) - _MOST_NAMED
    return f"{shown} and {left} more" if left > 0 else shown
