"""No wait without an end, and no queue without a bound: read from the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3] / "agent"

#: What waits for as long as it takes, and why that ends.
BOUNDED_BY_OTHERS: Final = {
    # The owner has set the stop that each of its threads looks at, or waits for their work.
    ("core/flow.py", "thread.join"),
    ("core/flow.py", "self.join"),
    # After SIGKILL.
    ("outside/program.py", "self._process.wait"),
    ("aws/sources.py", "super().communicate"),
}
_WAITS: Final = {"wait", "join", "communicate", "acquire"}
_QUEUES: Final = {"Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"}


def test_every_wait_has_an_end() -> None:
    """A bound among its arguments, or a reason above."""
    found = {
        (where, ast.unparse(call.func))
        for where, call in _calls()
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in _WAITS
        and not call.args
        and not call.keywords
    }
    assert found == BOUNDED_BY_OTHERS


def test_every_queue_is_bounded() -> None:
    """By its size, and each put and get by a time."""
    queues = [call for _, call in _calls() if ast.unparse(call.func).split(".")[-1] in _QUEUES]
    assert queues
    assert all("maxsize" in {each.arg for each in queue.keywords} for queue in queues)


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield str(path.relative_to(ROOT)), node
