"""Which error codes the agent's source raises, found by reading its syntax trees."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
AGENT: Final = ROOT / "agent"

_CODE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ERRORS: Final = frozenset({
    "AgentError",
    "ConfigError",
    "JobError",
    "PermanentError",
    "TransientError",
})
# Values that carry a code by keyword: what commands, tasks and the status show.
_CARRIERS: Final = frozenset({"Failure", "Problem", "Rule", "TaskFailure"})
_LEVELS: Final = frozenset({"info", "warning", "error"})


class Codes(dict[str, str]):
    """Codes, each with a place that raises it; ``riddles`` are places that nobody understood."""

    def __init__(self) -> None:
        super().__init__()
        self.riddles: list[str] = []


@cache
def error_codes() -> Codes:
    """Return every code that an error, a failure or a problem in the agent can have."""
    codes = Codes()
    for path in sorted(AGENT.rglob("*.py")):
        _Module(path).collect(codes)
    return codes


@cache
def event_codes() -> Mapping[str, str]:
    """Return every code that is written to the event log as a constant, with its place."""
    found = {}
    for path in sorted(AGENT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(args=[ast.Constant(value=level), ast.Constant(value=code), *_]):
                    if level in _LEVELS and _is_code(code):
                        found[str(code)] = _place(path, node)
    return found


@cache
def problem_codes() -> Mapping[str, str]:
    """Return the code of every problem that the status can show, with its place.

    Raises: AssertionError for a code that is neither a constant nor the name of one.
    """
    constants: dict[str, str] = {}
    calls: list[tuple[str, ast.expr]] = []
    for path in sorted(AGENT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text))):
                    constants[name] = text
                case ast.Call(func=ast.Name(id="Problem"), keywords=keywords):
                    place = _place(path, node)
                    calls += [(place, each.value) for each in keywords if each.arg == "code"]
    codes = {}
    for place, code in calls:
        match code:
            case ast.Constant(value=str(text)):
                codes[text] = place
            case ast.Name(id=name) if name in constants:
                codes[constants[name]] = place
            case ast.Subscript():  # read from a document, which another place has written
                continue
            case _:
                raise AssertionError(f"{place}: which code is {ast.unparse(code)}?")
    return codes


class _Module:
    """One file: its trees, and the functions in it that make an error of a code they are given."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tree = ast.parse(path.read_text(encoding="utf-8"))
        self._makers: dict[str, int] = {}

    def collect(self, codes: Codes) -> None:
        for function in _functions(self._tree):
            self._calls(function, codes)
        for node in ast.walk(self._tree):
            for code in (*_of_table(node), *_of_carrier(node), *_of_class(node)):
                codes.setdefault(code, _place(self._path, node))
            if isinstance(node, ast.Call) and _name(node.func) in self._makers:
                position = self._makers[_name(node.func)]
                for code in _constants(node.args[position : position + 1]):
                    codes.setdefault(code, _place(self._path, node))

    def _calls(self, function: ast.FunctionDef, codes: Codes) -> None:
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and _name(node.func) in _ERRORS and node.args):
                continue
            place = _place(self._path, node)
            found = self._codes_of(node.args[0], function)
            if found is None:
                codes.riddles.append(f"{place}: {ast.unparse(node.args[0])}")
            for code in found or ():
                codes.setdefault(code, place)

    def _codes_of(self, first: ast.expr, function: ast.FunctionDef) -> list[str] | None:
        """Return what the first argument of an error may be; None if that cannot be told."""
        match first:
            case ast.Constant():
                return _constants([first])
            case ast.Attribute(attr="code"):
                return []  # that of another error, or of a rule, which is found where it is made
            case ast.Name(id=name):
                parameters = [each.arg for each in function.args.args]
                if name in parameters:
                    self._makers[function.name] = parameters.index(name)
                    return []
                return _assigned(function, name) or None
        return None


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _of_table(node: ast.AST) -> list[str]:
    """Return the code in a row of a table: ``(PermanentError, "code", "hint")``."""
    match node:
        case ast.Tuple(elts=[ast.Name(id=kind), second, *_]) if kind in _ERRORS:
            return _constants([second])
    return []


def _of_carrier(node: ast.AST) -> list[str]:
    match node:
        case ast.Call(func=function, keywords=keywords) if _name(function) in _CARRIERS:
            return _constants([each.value for each in keywords if each.arg == "code"])
    return []


def _of_class(node: ast.AST) -> list[str]:
    """Return the code that a class of errors gives to all its own."""
    if not isinstance(node, ast.ClassDef) or "AgentError" not in map(_name, node.bases):
        return []
    calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
    return [
        code
        for call in calls
        if _name(call.func) == "__init__"
        for code in _constants(call.args[:1])
    ]


def _assigned(function: ast.FunctionDef, name: str) -> list[str]:
    """Return the constants that a local variable may hold."""
    found: list[str] = []
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                found += _constants(_choices(value))
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                names = [_name(each) for each in targets]
                if name in names and isinstance(value, ast.Tuple):
                    found += _constants(_choices(value.elts[names.index(name)]))
    return found


def _choices(value: ast.expr) -> list[ast.expr]:
    if isinstance(value, ast.IfExp):
        return [*_choices(value.body), *_choices(value.orelse)]
    return [value]


def _constants(nodes: list[ast.expr]) -> list[str]:
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return [str(value) for value in values if _is_code(value)]


def _is_code(value: object) -> bool:
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}, line {getattr(node, 'lineno', 0)}"
