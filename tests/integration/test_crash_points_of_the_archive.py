"""A process dies at the points of compaction, and another one ends what it began."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.crash import CRASH_VARIABLE, Point
from agent.model.coverage import chain, spans
from agent.storage.filesystem import FilesystemStore
from tests.fakes import archive
from tests.fakes.archive import listed, numbers_in, ranges, time

_LAST = 24
_ALL = list(range(_LAST + 1))


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    """An archive of four hours, in six segments each."""
    path = tmp_path / "storage"
    path.mkdir()
    store = FilesystemStore(path)
    for number in range(-1, _LAST):
        archive.archive(store, number, number + 1)
    return store


def _ended(store: FilesystemStore, wish: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.integration.mortal_compaction", store.describe()]
    return subprocess.run(
        [*command, wish, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def _read(store: FilesystemStore) -> list[int]:
    read: list[int] = []
    for each in chain(listed(store), time(-1), time(_LAST)):
        read += [number for number in numbers_in(store, each) if number > (read or [-1])[-1]]
    return read


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize(
    "point", [Point.COMPACTION_STORED, Point.COMPACTION_BEFORE_DELETE, Point.COMPACTION_DELETED]
)
def test_another_process_goes_on_with_the_compaction(
    store: FilesystemStore, point: Point, nth: int
) -> None:
    """Every entry can be read after the death, and the end is that of one that nobody killed."""
    before = spans(listed(store))
    dead = _ended(store, f"{point}:{nth}")
    assert -signal.SIGKILL == dead.returncode, dead.stderr
    assert "crash point reached" in dead.stdout
    assert before == spans(listed(store))
    assert _ALL == _read(store)

    for _ in range(3):
        later = _ended(store, "")
        assert 0 == later.returncode, later.stderr
    assert before == spans(listed(store))
    assert _ALL == _read(store)
    assert 5 == len(ranges(store))


def test_a_damaged_segment_is_replaced_though_that_took_two(store: FilesystemStore) -> None:
    """Between the two nothing lies there: it is stored again as if it had never been."""
    key = archive.key_of(2, 3)
    good = store.get(key)
    (Path(store.describe()) / key).write_bytes(good[:-3])
    dead = _ended(store, Point.SEGMENT_REPLACING.value, "2", "3")
    assert -signal.SIGKILL == dead.returncode, dead.stderr
    assert key not in [each.key for each in listed(store)]

    later = _ended(store, "", "2", "3")
    assert 0 == later.returncode, later.stderr
    assert _ALL == _read(store)


def test_the_variable_is_named_as_the_documents_say() -> None:
    """Whoever finds it in an environment can look it up."""
    named = Path(__file__).parents[2] / "CONTRIBUTING.md"
    assert CRASH_VARIABLE in named.read_text(encoding="utf-8")
