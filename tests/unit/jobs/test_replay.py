"""What the replay sends, in which order and in which way, and when it refuses."""

from collections.abc import Callable, Sequence
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.timestamp import Timestamp

from agent.codec import oplog
from agent.codec.lane_keys import key_of_id
from agent.codec.operations import Encoder
from agent.core.errors import PermanentError, Stopped, TransientError
from agent.core.flow import Stop, WorkerGroup
from agent.core.retry import RetryPolicy
from agent.jobs.replay import ReplayLimits, ReplayResult, replay
from agent.jobs.replay.lanes import Lanes, Step
from agent.jobs.workspace import Workspace
from agent.model.catalogue import Collection, Traits
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace
from agent.model.replay import Change
from agent.ports import Batch, ReplayTarget

_UUID = b"A" * 16
_BEGIN = ClusterTime(100, 0)
_QUICK = RetryPolicy(limit_s=2.0, first_wait_s=0.001, longest_wait_s=0.002)


class _Notebook:
    """Writes down what it is told; ``answer`` decides about a list of operations."""

    def __init__(self, answer: Callable[[int], tuple[int, ...]] | None = None) -> None:
        self.steps: list[tuple[Any, ...]] = []
        self.calls = 0
        self.capped_deletes = True
        self._answer = answer or (lambda _call: ())

    def deletes_from_capped(self) -> bool:
        return self.capped_deletes

    def put(self, place: Namespace, documents: Sequence[bytes]) -> None:
        self.calls += 1
        self._answer(self.calls)
        self.steps += [("i", bson.decode(each)["_id"], str(place), True) for each in documents]

    def apply(self, operations: Sequence[bytes], *, atomic: bool) -> tuple[int, ...]:
        self.calls += 1
        missing = self._answer(self.calls)
        for each in operations:
            found = bson.decode(each)
            value = found.get("o2", found["o"])["_id"]
            self.steps.append((found["op"], value, found["ns"], atomic))
        return missing

    def create(self, place: Namespace, collection: Collection) -> bytes:
        self.steps.append(("create", place, bson.decode(collection.options)))
        return b"B" * 16

    def modify(self, place: Namespace, options: bytes) -> None:
        self.steps.append(("modify", place, bson.decode(options)))

    def empty(self, place: Namespace) -> None:
        self.steps.append(("empty", place))

    def move(self, place: Namespace, target: Namespace) -> None:
        self.steps.append(("move", place, target))

    def drop(self, namespace: Namespace) -> None:
        self.steps.append(("drop", namespace))


def _proof() -> ReplayTarget:
    return _Notebook()


def _workspace(**traits: Any) -> Workspace:
    workspace = Workspace(1)
    collection = Collection(
        namespace=Namespace("shop", "a"),
        kind="collection",
        uuid=_UUID,
        options=bson.encode({}),
        indexes=(),
        traits=Traits(**traits),
    )
    workspace.add(collection, _BEGIN)
    return workspace


def _entries(*fields: dict[str, Any]) -> list[bytes]:
    """Number entries from 101.1 on."""
    return [
        bson.encode({
            "ns": "shop.a",
            "ui": Binary(_UUID, 4),
            **each,
            "ts": Timestamp(101, index + 1),
        })
        for index, each in enumerate(fields)
    ]


def _insert(value: Any, **fields: Any) -> dict[str, Any]:
    return {"op": "i", "o": {"_id": value, **fields}}


def _update(value: Any) -> dict[str, Any]:
    return {"op": "u", "o": {"$v": 2, "diff": {"u": {"a": 1}}}, "o2": {"_id": value}}


def _delete(value: Any) -> dict[str, Any]:
    return {"op": "d", "o": {"_id": value}}


def _command(**o: Any) -> dict[str, Any]:
    return {"op": "c", "ns": "shop.$cmd", "o": o}


def _replay(
    entries: list[bytes],
    target: ReplayTarget,
    workspace: Workspace | None = None,
    stop: Stop | None = None,
    **limits: ClusterTime,
) -> ReplayResult:
    bounds: dict[str, Any] = {
        "until": ClusterTime(200, 0),
        "tolerate_missing_until": _BEGIN,
        "catalogue_at": _BEGIN,
    }
    return replay(
        [Batch(data=each, docs=1) for each in entries],
        _workspace() if workspace is None else workspace,
        target,
        ReplayLimits(**(bounds | limits), selects=lambda name: name.database == "shop"),
        stop or Stop(),
        policy=_QUICK,
    )


def test_changes_of_one_document_keep_their_order() -> None:
    """Whatever lane a document has, its changes stay in it; 1 and 1.0 are one document."""
    target = _Notebook()
    fields = []
    for value in range(40):
        fields += [_insert(value), _update(float(value)), _delete(value), _insert(float(value))]
    _replay(_entries(*fields), target)
    for value in range(40):
        assert ["i", "u", "d", "i"] == [step[0] for step in target.steps if step[1] == value]


def test_only_what_is_wanted_and_not_yet_there_is_applied() -> None:
    """Skipped: what the copy holds, unknown collections, and all after the target time."""
    target = _Notebook()
    (piece,) = _workspace()
    workspace = Workspace(2)
    workspace.add(piece.collection, ClusterTime(101, 1))
    unknown = _insert(3) | {"ui": Binary(b"X" * 16, 4)}
    entries = _entries(_insert(1), _insert(2), unknown, _insert(4), _insert(5))
    result = _replay(entries, target, workspace, until=ClusterTime(101, 4))
    assert [2, 4] == sorted(step[1] for step in target.steps)
    assert (2, 2, ClusterTime(101, 4)) == (
        result.applied_count,
        result.skipped_count,
        result.reached,
    )


def test_an_update_of_a_missing_document_diverges() -> None:
    """After the consistent time a missing document is damage, before it is not."""
    entries = _entries(_update(1))
    result = _replay(entries, _Notebook(lambda _: (0,)), tolerate_missing_until=ClusterTime(101, 1))
    assert (0, 1) == (result.applied_count, result.missing_count)
    with pytest.raises(PermanentError) as error:
        _replay(entries, _Notebook(lambda _: (0,)))
    assert "replay_diverged" == error.value.code


def _lost_once(call: int) -> tuple[int, ...]:
    if call == 1:
        raise TransientError("mongodb_unreachable", "the answer was lost")
    return (0,)


def test_a_batch_whose_answer_was_lost_may_find_its_own_deletes() -> None:
    """The update was made, the delete too, and only then the connection broke."""
    result = _replay(_entries(_update(1), _delete(1.0)), _Notebook(_lost_once))
    assert 1 == result.missing_count


def test_a_repeated_batch_excuses_no_other_missing_document() -> None:
    """Repeating does not make up for a copy that does not fit."""
    with pytest.raises(PermanentError) as error:
        _replay(_entries(_update(1), _insert(1)), _Notebook(_lost_once))
    assert "replay_diverged" == error.value.code


def test_a_document_with_a_zero_timestamp_is_written_anew_alone() -> None:
    """Trap 56: atomic applyOps would leave another value on each node."""
    target = _Notebook()
    zero = Timestamp(0, 0)
    replacement = {"op": "u", "o": {"_id": 2, "t": zero}, "o2": {"_id": 2}}
    nested = _insert(3, inner={"t": zero})
    _replay(_entries(_insert(1, t=zero), replacement, nested), target)
    steps = {value: [(s[0], s[3]) for s in target.steps if s[1] == value] for value in (1, 2, 3)}
    alone = [("d", False), ("i", False)]
    assert {1: alone, 2: alone, 3: [("i", True)]} == steps


def test_a_late_id_is_never_sent_atomically() -> None:
    """Trap 57: the nodes would differ in the order of its fields."""
    target = _Notebook()
    _replay(_entries({"op": "i", "o": {"a": 1, "_id": 1}}), target)
    assert [False] == [step[3] for step in target.steps]


def test_a_capped_collection_is_replayed_in_order_and_never_atomically() -> None:
    """Its overflow would be removed on the primary alone."""
    target = _Notebook()
    _replay(
        _entries(*[_insert(value) for value in range(2500)]), target, _workspace(is_capped=True)
    )
    assert list(range(2500)) == [step[1] for step in target.steps]
    assert {False} == {step[3] for step in target.steps}


def test_deletes_of_a_capped_collection_are_left_out_where_they_are_refused() -> None:
    """Trap 68: 5.0 writes them down and refuses them; the overflow repeats itself."""
    target = _Notebook()
    target.capped_deletes = False
    result = _replay(_entries(_insert(1), _delete(1)), target, _workspace(is_capped=True))
    assert ["i"] == [step[0] for step in target.steps]
    assert 1 == result.skipped_count


def test_a_drop_waits_for_the_changes_before_it() -> None:
    """And those after it find nothing to change."""
    target = _Notebook()
    workspace = _workspace()
    fields = [*[_insert(value) for value in range(50)], _command(drop="a"), _insert(99)]
    _replay(_entries(*fields), target, workspace)
    assert 0 == len(workspace)
    assert "drop" == target.steps[-1][0]
    assert 51 == len(target.steps)


def test_definitions_before_the_catalogue_are_in_it_already() -> None:
    """Of a collection from the manifest; a temporary one is in no manifest."""
    target = _Notebook()
    workspace = _workspace()
    fields = [
        _command(drop="a"),
        _command(create="tmp.agg_out.1", temp=True) | {"ui": Binary(b"T" * 16, 4)},
        {"op": "i", "ns": "shop.tmp.agg_out.1", "ui": Binary(b"T" * 16, 4), "o": {"_id": 1}},
        _command(renameCollection="shop.tmp.agg_out.1", to="shop.out", stayTemp=False)
        | {"ui": Binary(b"T" * 16, 4)},
    ]
    _replay(_entries(*fields), target, workspace, catalogue_at=ClusterTime(101, 3))
    assert ["shop.a", "shop.out"] == [str(piece.collection.namespace) for piece in workspace]
    assert ("create", Namespace("shop", "bstmp.1.1"), {}) == target.steps[0]


def test_what_cannot_be_replayed_stops_with_its_time() -> None:
    """Trap 25: nothing is guessed; and what lies before every copy does not matter."""
    entries = _entries(_command(importCollection="a"))
    with pytest.raises(PermanentError, match=r"0000000101\.0000000001") as error:
        _replay(entries, _Notebook())
    assert "replay_unknown_entry" == error.value.code
    workspace = Workspace(1)
    (piece,) = _workspace()
    workspace.add(piece.collection, ClusterTime(102, 0))
    _replay(entries, _Notebook(), workspace, catalogue_at=ClusterTime(102, 0))


def test_the_error_of_a_lane_is_the_error_of_the_replay() -> None:
    """Not the stop that it causes."""

    def refuse(_call: int) -> tuple[int, ...]:
        raise PermanentError("replay_refused", "no")

    with pytest.raises(PermanentError) as error:
        _replay(_entries(*[_insert(value) for value in range(5000)]), _Notebook(refuse))
    assert "replay_refused" == error.value.code


def test_a_replay_ends_when_it_is_told_to() -> None:
    """A cancelled restore does not finish its replay first."""
    stop = Stop()
    stop.set("cancelled")
    with pytest.raises(Stopped):
        _replay(_entries(_insert(1)), _Notebook(), stop=stop)


def test_collections_of_the_server_and_of_other_restores_are_never_wanted() -> None:
    """Even where the selection takes everything there is in a database."""
    target = _Notebook()
    workspace = _workspace()
    other = {"ui": Binary(b"O" * 16, 4)}
    fields = [
        _command(create="system.profile", capped=True, size=4096) | other,
        _command(create="bstmp.7.0") | {"ui": Binary(b"T" * 16, 4)},
    ]
    _replay(_entries(*fields), target, workspace)
    assert ["shop.a"] == [str(piece.collection.namespace) for piece in workspace]
    assert ["create", "drop"] == [step[0] for step in target.steps]


_NEW = {"ui": Binary(b"N" * 16, 4)}


def _swap_within() -> list[bytes]:
    """Fill a collection under a name that is not wanted, then give it the wanted one."""
    return _entries(
        _command(create="new") | _NEW,
        {"op": "i", "ns": "shop.new", "o": {"_id": 1}} | _NEW,
        _command(renameCollection="shop.new", to="shop.b") | _NEW,
    )


def _replay_chosen(
    entries: list[bytes], target: ReplayTarget, workspace: Workspace, *followed: bytes
) -> ReplayResult:
    """Replay for a restore that wants shop.b alone."""
    limits = ReplayLimits(
        until=ClusterTime(200, 0),
        tolerate_missing_until=_BEGIN,
        catalogue_at=_BEGIN,
        selects=lambda name: str(name) == "shop.b",
        followed=frozenset(followed),
    )
    batches = [Batch(data=each, docs=1) for each in entries]
    return replay(batches, workspace, target, limits, Stop(), policy=_QUICK)


def test_what_gets_a_wanted_name_too_late_is_named_by_uuid() -> None:
    """So that the next try follows it from its beginning, and then has all of it."""
    target = _Notebook()
    with pytest.raises(PermanentError) as error:
        _replay_chosen(_swap_within(), target, Workspace(1))
    assert "replay_misses_collection" == error.value.code
    assert {b"N" * 16} == error.value.facts["missing"] == error.value.facts["born"]
    workspace = Workspace(1)
    _replay_chosen(_swap_within(), target, workspace, b"N" * 16)
    assert ["shop.b"] == [str(piece.collection.namespace) for piece in workspace]
    assert ("i", 1, "shop.bstmp.1.0", True) in target.steps


def test_what_is_followed_and_never_gets_a_wanted_name_leaves_no_trace() -> None:
    """The target time may lie before the rename."""
    target = _Notebook()
    workspace = Workspace(1)
    _replay_chosen(_swap_within()[:2], target, workspace, b"N" * 16)
    assert 0 == len(workspace)
    assert "drop" == target.steps[-1][0]


def test_a_piece_whose_target_is_in_another_database_is_moved_at_the_end() -> None:
    """After all of its changes: its place stays the same until then."""
    target = _Notebook()
    passing = {"create": "tmp.agg_out.1", "temp": True}
    entries = _entries(
        _command(**passing) | _NEW,
        {"op": "i", "ns": "shop.tmp.agg_out.1", "o": {"_id": 1}} | _NEW,
        _command(renameCollection="shop.tmp.agg_out.1", to="shop.b", stayTemp=False) | _NEW,
        {"op": "i", "ns": "shop.b", "o": {"_id": 2}} | _NEW,
    )
    elsewhere = {"shop.b": Namespace("rescue", "b")}
    workspace = Workspace(1, lambda name: elsewhere.get(str(name), name))
    _replay_chosen(entries, target, workspace)
    place, moved = Namespace("shop", "bstmp.1.0"), Namespace("rescue", "bstmp.1.1")
    assert [moved] == [piece.place for piece in workspace]
    assert ("move", place, moved) == target.steps[-1]
    assert {str(place)} == {step[2] for step in target.steps if step[0] == "i"}


def test_updates_of_a_clients_apply_ops_make_up_what_they_miss() -> None:
    """As they did on the source; in all others a missing document is damage."""
    kept: list[bytes] = []

    class Keeping(_Notebook):
        def apply(self, operations: Sequence[bytes], *, atomic: bool) -> tuple[int, ...]:
            kept.extend(operations)
            return super().apply(operations, atomic=atomic)

    inner = _update(1) | {"ns": "shop.a", "ui": Binary(_UUID, 4)}
    for options in ({}, {"alwaysUpsert": False}):
        _replay(_entries(_command(applyOps=[inner], **options)), Keeping())
    assert [True, None] == [bson.decode(each).get("b") for each in kept]


def _in_one_lane(entries: list[bytes], target: ReplayTarget) -> None:
    """Apply changes by one lane, as one batch."""
    encoder = Encoder(Namespace("shop", "a"))
    with WorkerGroup("test", Stop()) as group:
        lanes = Lanes(target, group, count=1, tolerate_missing_until=_BEGIN, policy=_QUICK)
        lanes.start()
        for time, change in oplog.entries(b"".join(entries)):
            assert isinstance(change, Change)
            key = key_of_id(change.selector)
            step = Step(change, change.kind, encoder, key, time, change.kind == "i")
            lanes.put(0, step, atomic=True)
        lanes.close()


_MIXED = _entries(
    _update(9), _insert(1), _delete(2), _insert(2.0), _update(1), _insert(3), _insert(4)
)


def test_inserts_go_together_before_steps_on_other_documents() -> None:
    """But never before one on the same document: what had its `_id` before is deleted first."""
    target = _Notebook()
    _in_one_lane(_MIXED, target)
    assert [
        ("i", 1),
        ("i", 3),
        ("i", 4),
        ("u", 9),
        ("d", 2),
        ("i", 2.0),
        ("u", 1),
    ] == [step[:2] for step in target.steps]
    assert 2 == target.calls


def test_an_insert_that_is_refused_among_others_names_its_own_time() -> None:
    """The position counts among the inserts alone."""

    def refuse(_call: int) -> tuple[int, ...]:
        raise PermanentError("replay_refused", "no", position=1)

    with pytest.raises(PermanentError) as error:
        _in_one_lane(_MIXED, _Notebook(refuse))
    assert "Timestamp(101, 5)" in error.value.hint


def test_every_error_of_an_entry_offers_the_time_before_it() -> None:
    """Whoever raised it: the lane that the server refused, or the codec."""

    def refuse(_call: int) -> tuple[int, ...]:
        raise PermanentError("replay_refused", "no", position=1)

    nameless = {"op": "i", "o": {"a": 1}}
    for entries, target, offered in (
        (_entries(_insert(1), _insert(1)), _Notebook(refuse), "Timestamp(101, 1)"),
        (_entries(_insert(1), _insert(2), nameless), _Notebook(), "Timestamp(101, 2)"),
    ):
        with pytest.raises(PermanentError) as error:
            _replay(entries, target)
        assert offered in error.value.hint


def test_checks_of_consistency_are_passed_over() -> None:
    """The command dbCheck writes into the oplog, and changes nothing."""
    target = _Notebook()
    _replay(_entries(_command(dbCheck="shop.a", type="batch")), target)
    assert [] == target.steps
