"""Every boundary between two writes has a crash point, or a reason why it needs none."""

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from agent.core.crash import Point, arm, passing
from agent.core.errors import ConfigError

_AGENT: Final = Path(__file__).resolve().parents[2] / "agent"

# Who writes what, by the last two names of a call: what the process does until there stays.
_WRITES: Final = {
    "board": {"claim", "finish", "give_back", "publish", "record", "remove"},
    "catalogue": {"judge", "put", "remove", "replace"},
    "commands": {"insert", "move", "remove"},
    "commit_store": {"put"},
    "leases": {"acquire", "release"},
    "notes": {"forget", "save"},
    "questions": {"ask", "remove"},
    "roles": {"authorize", "begin", "refuse", "remove"},
    "schedules": {"mark"},
    "store": {"delete", "put"},
    "switch": {
        "complete_time_series", "merge_users", "put_javascript", "put_view", "rename", "set_expiry",
    },
    "target": {"apply", "build_indexes", "create", "drop", "load", "put"},
    "tasks": {"publish", "remove"},
}  # fmt: skip
_FUNCTIONS: Final = {"put_segment", "write_down"}

# Of pymongo, and of modules that call it; commands count where a write concern is sent along.
_SERVER_WRITES: Final = {
    "bulk_write", "create_indexes", "delete_many", "delete_one", "drop", "fence",
    "find_one_and_replace", "find_one_and_update", "insert_many", "insert_one", "replace_one",
    "update_many", "update_one",
    ("bodies", "remove"),
}  # fmt: skip
_REFUSED = "a try that was refused wrote nothing"
_LOADED = "a temporary collection, which another coordinator loads anew: as restore.loaded"
_STEPS_EXEMPT: Final = {
    "mongo/control.py:prepare": "every agent makes what is missing at its start: control.created",
    "mongo/insert.py:_insert": _LOADED,
    "mongo/insert.py:_settle": _LOADED,
    "mongo/insert.py:load": _LOADED,
    "mongo/leases.py:acquire": "a lease is made that nobody has, and whoever asks next takes it",
    "mongo/roles.py:begin": _REFUSED,
    "mongo/switch.py:rename": "one of two forms of one command",
    "mongo/target.py:create": "a temporary collection, as restore.created",
    "mongo/task_log.py:append": _REFUSED,
    "mongo/task_log.py:fence": _REFUSED,
}

_CALLER = "whoever calls it has a point behind the call"
_EXEMPT: Final = {
    "daemon/archive.py:_give_back": "a lease that is not handed back lapses: as archiver.acquired",
    "daemon/coordinator.py:_fill_catalogue": "one insert of a fixed _id, after coordinator.swept",
    "daemon/coordinator.py:resign": "a lease that is not handed back lapses: as any death",
    "daemon/following.py:insert_after": _CALLER,
    "daemon/gaps.py:mend": "one insert of a fixed _id, and an event that may be missing",
    "daemon/forgetting.py:_remove": "one removal of what nobody needs; the next look repeats it",
    "daemon/schedules.py:_insert": _CALLER,
    "jobs/backup/cleaning.py:remove_late": "the next coordinator removes what is not named",
    "jobs/backup/cleaning.py:remove_unnamed": _CALLER,
    "jobs/backup/job.py:_clean_up": "the window of a failed backup, before backup.tasks_gone",
    "jobs/backup/notes.py:save": _CALLER,
    "jobs/backup/window.py:_close": _CALLER,
    "jobs/backup/worker.py:_give_back": "a claim that is not given back lapses",
    "jobs/delete.py:_begin": _CALLER,
    "jobs/prune/relisting.py:relist": "the list is made right again by the next prune",
    "jobs/removal.py:write_down": _CALLER,
    "jobs/replay/definitions.py:_create": "a temporary collection, as restore.created",
    "jobs/replay/definitions.py:_remove": "a temporary collection, as restore.cleaning",
    "jobs/replay/lanes.py:_apply": _CALLER,
    "jobs/restore/indexes.py:_abandon": "temporary collections, as restore.cleaning",
    "jobs/restore/load.py:load": "the same worker makes it anew: as restore.created",
    "jobs/restore/job.py:_write_down": _CALLER,
    "jobs/restore/preparation.py:drop_unwanted": "a temporary collection, as restore.cleaning",
    "jobs/roles/trial.py:_use": "a probe that the next trial of the role overwrites or removes",
}


class _Boundaries(ast.NodeVisitor):
    """Collects writes and points by the innermost function that they stand in."""

    def __init__(self) -> None:
        self._within: list[str] = []
        self.writes: dict[str, str] = {}
        self.points: dict[str, set[str]] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = node.value
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        name = name.lstrip("_")
        if self._within and node.attr in _WRITES.get(name, ()):
            self.writes.setdefault(self._within[-1], f"{name}.{node.attr}")
        if name == "Point":
            self.points.setdefault(self._within[-1] if self._within else "", set()).add(node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and self._within:
            self.writes.setdefault(self._within[-1], node.func.id)
        self.generic_visit(node)


@cache
def _read() -> Mapping[str, _Boundaries]:
    read = {}
    for room in ("daemon", "jobs", "mongo", "outside"):
        for path in sorted((_AGENT / room).rglob("*.py")):
            found = _Boundaries()
            found.visit(ast.parse(path.read_text(encoding="utf-8")))
            read[path.relative_to(_AGENT).as_posix()] = found
    return read


def test_every_write_stands_beside_a_crash_point() -> None:
    """A new boundary fails here, until it has a point, or a reason why it needs none."""
    bare = {
        f"{module}:{function}": write
        for module, found in _read().items()
        if module.partition("/")[0] in {"daemon", "jobs"}
        for function, write in found.writes.items()
        if function not in found.points
    }
    missing = {place: write for place, write in bare.items() if place not in _EXEMPT}
    assert {} == missing, "add a point to agent/core/crash.py, and pass it there"
    assert set() == set(_EXEMPT) - set(bare), "an exemption that nothing needs any more"


def test_every_step_of_several_writes_stands_beside_a_crash_point() -> None:
    """What jobs take for one write is none, where a server is told several things."""
    bare = {
        f"{path.relative_to(_AGENT).as_posix()}:{function}": count
        for path in sorted((_AGENT / "mongo").rglob("*.py"))
        for function, count in _several(ast.parse(path.read_text(encoding="utf-8"))).items()
        if function not in _read()[path.relative_to(_AGENT).as_posix()].points
    }
    missing = {place: count for place, count in bare.items() if place not in _STEPS_EXEMPT}
    assert {} == missing, "add a point to agent/core/crash.py, and pass it between the writes"
    assert set() == set(_STEPS_EXEMPT) - set(bare), "an exemption that nothing needs any more"


def _several(module: ast.Module) -> dict[str, int]:
    """Return the functions that write more than once: calls, those in a loop counted twice.

    A call of a function of the module that writes counts like what that function does.
    """
    functions = {each.name: each for each in ast.walk(module) if isinstance(each, ast.FunctionDef)}
    counts: dict[str, int] = {}

    def count(name: str, seen: frozenset[str]) -> int:
        if name in seen:
            return 0
        if name not in counts:
            body = functions[name]
            counts[name] = sum(
                many * _weight(call, body, lambda other: count(other, seen | {name}), functions)
                for call, many in _calls(body)
            )
        return counts[name]

    return {name: found for name in functions if (found := count(name, frozenset())) > 1}


def _calls(function: ast.FunctionDef) -> Iterator[tuple[ast.Call, int]]:
    """Yield the calls in a function; with 2, if a loop repeats it."""
    loops = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp)
    repeated = {
        id(call)
        for loop in ast.walk(function)
        if isinstance(loop, loops)
        for call in ast.walk(loop)
    }
    for call in ast.walk(function):
        if isinstance(call, ast.Call):
            yield call, 2 if id(call) in repeated else 1


def _weight(
    call: ast.Call,
    within: ast.FunctionDef,
    of: Callable[[str], int],
    functions: Mapping[str, ast.FunctionDef],
) -> int:
    """Return how many writes one call is."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    owner = ast.unparse(call.func).rpartition(".")[0]
    if name in functions and owner in {"", "self"}:
        return min(of(name), 2)
    if name in _SERVER_WRITES or (owner, name) in _SERVER_WRITES:
        return 1
    said = ast.unparse(within)
    return int(name == "command" and ("MAJORITY" in said or "applyOps" in said))


def test_every_point_is_passed_somewhere() -> None:
    """A name that is left over would make a test that never dies."""
    used = {name for found in _read().values() for names in found.points.values() for name in names}
    assert set(Point.__members__) == used


def test_every_point_says_what_stands_there() -> None:
    """The comment above each name is a sentence."""
    lines = (_AGENT / "core/crash.py").read_text(encoding="utf-8").splitlines()
    for point in Point:
        (at,) = (n for n, line in enumerate(lines) if line.strip().startswith(f"{point.name} = "))
        said = lines[at - 1].strip()
        assert said.startswith("# "), point
        assert said.endswith("."), point


@pytest.mark.parametrize("wish", ["no.such.point", "chunk.stored:x", ":1"])
def test_what_names_no_point_is_refused(wish: str) -> None:
    """An agent that was to die and cannot does not start as if nothing were asked of it."""
    with pytest.raises(ConfigError) as caught:
        arm(wish)
    assert "unknown_crash_point" == caught.value.code


def test_an_agent_that_is_not_armed_passes_every_point() -> None:
    """Points do nothing, however often they are passed."""
    arm("")
    for point in Point:
        passing(point)
