"""From what was built to what the switch will do: names settled again, nothing touched."""

from collections.abc import Iterable, Mapping

from agent.codec import documents
from agent.core.errors import PermanentError
from agent.jobs.restore.ports import RestorePorts
from agent.jobs.restore.record import Move, Removal, Script, SwitchRecord, ViewMove
from agent.jobs.workspace import Piece, Workspace
from agent.model.arrangement import Existing, Surroundings, Wish, arrange
from agent.model.catalogue import Collection, Traits
from agent.model.names import ROLES, STORED_JAVASCRIPT, USERS, Namespace
from agent.model.restore_plan import RestorePlan, check_patterns
from agent.ports import ViewRule


def drop_unwanted(ports: RestorePorts, workspace: Workspace, wish: Wish) -> None:
    """Drop what ended under a name that is not wanted, such as a rename that never came."""
    for piece in tuple(workspace):
        if wish.target(piece.collection.namespace) is None:
            ports.target.drop(piece.place)
            workspace.remove(piece.collection.uuid)


def check_matches(ports: RestorePorts, workspace: Workspace, wish: Wish) -> None:
    """Prove that everything that was asked for by name is there at the target time.

    Raises: PermanentError ``nothing_matches``.
    """
    if wish.is_full:
        return
    views = _views(_definitions(ports, workspace).values())
    found = [*(piece.collection for piece in workspace), *views]
    check_patterns(wish, (each.namespace for each in found))


def _definitions(
    ports: RestorePorts, workspace: Workspace
) -> Mapping[Namespace, tuple[ViewRule, ...]]:
    """Return the views in each collection of definitions: those of its own database.

    Raises: PermanentError ``bad_view``.
    """
    found = {
        piece.collection.namespace: ports.switch.views(piece.place)
        for piece in workspace
        if piece.collection.namespace.is_views
    }
    for home, rules in found.items():
        for rule in rules:
            if rule.name.database != home.database:
                raise PermanentError(
                    "bad_view",
                    f"{home} defines the view {rule.name}, which is not of its database",
                    hint="no server wrote it; restore without its database, or another backup",
                )
    return found


def prepare(
    ports: RestorePorts, plan: RestorePlan, workspace: Workspace, result: Mapping[str, object]
) -> SwitchRecord:
    """Return what the switch will do, from what is in the workspace and the target now.

    Plans again: replay may have created, dropped and renamed collections, and others may have
    created some in the target.

    Raises: PermanentError as the plan does; ``piece_lost``.
    """
    wish = plan.wish
    definitions = _definitions(ports, workspace)
    surroundings = Surroundings(
        identity=ports.source.identity(),
        existing=ports.source.collections(),
        control_database=ports.control_database,
    )
    arrangement = arrange(
        [*(piece.collection for piece in workspace), *_views(definitions.values())],
        wish,
        surroundings,
        is_whole=not plan.manifest.namespaces,
    )
    return SwitchRecord(
        overwrite=wish.overwrite,
        displaced=tuple(_removal(each) for each in arrangement.displaced),
        moves=tuple(
            _move(ports, piece, wish) for piece in workspace if _is_renamed(piece.collection)
        ),
        old_views=tuple(
            _removal(each)
            for each in arrangement.replaced
            if each.kind == "view" and each not in arrangement.displaced
        ),
        views=_view_moves(workspace, definitions, wish),
        scripts=tuple(
            Script(place=str(piece.place), database=_target(piece, wish).database)
            for piece in workspace
            if piece.collection.namespace.collection == STORED_JAVASCRIPT
        ),
        dropped=tuple(_removal(each) for each in arrangement.dropped),
        users=_place_of(workspace, USERS),
        roles=_place_of(workspace, ROLES),
        replace_users=wish.overwrite and wish.is_full and not plan.manifest.namespaces,
        result=result,
    )


def _is_renamed(collection: Collection) -> bool:
    """Whether a collection gets its place by a rename; the others are merged or read."""
    name = collection.namespace
    return not (name.is_users_or_roles or name.is_views or name.collection == STORED_JAVASCRIPT)


def _move(ports: RestorePorts, piece: Piece, wish: Wish) -> Move:
    uuid = ports.target.uuid(piece.place)
    if not uuid:
        raise PermanentError(
            "piece_lost",
            f"the temporary collection {piece.place} of {piece.collection.namespace} is gone",
            hint="nothing was switched; restore again",
        )
    return Move(
        place=str(piece.place),
        uuid=uuid,
        target=str(_target(piece, wish)),
        ttl_s=None if wish.hold_ttl else piece.ttl_s,
    )


def _target(piece: Piece, wish: Wish) -> Namespace:
    source = piece.collection.namespace
    return wish.target(source) or source


def _removal(existing: Existing) -> Removal:
    name = existing.namespace
    checked = name.buckets if existing.kind == "timeseries" else name
    return Removal(namespace=str(name), checked=str(checked), uuid=existing.uuid)


def _place_of(workspace: Workspace, collection: str) -> str:
    wanted = Namespace("admin", collection)
    return next(
        (str(piece.place) for piece in workspace if piece.collection.namespace == wanted), ""
    )


def _views(definitions: Iterable[tuple[ViewRule, ...]]) -> list[Collection]:
    return [
        Collection(
            namespace=rule.name,
            kind="view",
            uuid=b"",
            options=documents.EMPTY,
            indexes=(),
            traits=Traits(view_on=rule.on),
        )
        for rules in definitions
        for rule in rules
    ]


def _view_moves(
    workspace: Workspace, definitions: Mapping[Namespace, tuple[ViewRule, ...]], wish: Wish
) -> tuple[ViewMove, ...]:
    found = []
    for piece in workspace:
        for rule in definitions.get(piece.collection.namespace, ()):
            target = wish.target(rule.name)
            if target is None:
                continue
            base = wish.target(Namespace(rule.name.database, rule.on))
            found.append(
                ViewMove(
                    place=str(piece.place),
                    source=str(rule.name),
                    source_on=rule.on,
                    target=str(target),
                    on=base.collection if base is not None else rule.on,
                )
            )
    return tuple(found)
