"""What only a directory has: links, permissions, folders, and files that are no objects."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.errors import PermanentError, TransientError
from agent.storage.filesystem import FilesystemStore, _create_named, translate
from agent.storage.size import LARGEST_OBJECT_BYTES
from tests.testbed.waiting import eventually


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory of the storage, with a neighbour."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_objects_are_private_and_nothing_else_is_left(root: Path) -> None:
    """An object is one file that only the agent's user may read."""
    FilesystemStore(root).put("rs/a/one", b"content")
    files = [path for path in root.rglob("*") if path.is_file()]
    assert files == [root / "rs/a/one"]
    assert files[0].stat().st_mode & 0o777 == 0o600
    assert (root / "rs/a").stat().st_mode & 0o777 == 0o700


def test_a_refused_put_leaves_no_file(root: Path) -> None:
    """Neither the temporary file nor a changed object stays."""
    store = FilesystemStore(root)
    store.put("rs/one", b"content")
    with pytest.raises(PermanentError):
        store.put("rs/one", b"other")
    assert [path.name for path in (root / "rs").iterdir()] == ["one"]
    assert (root / "rs/one").read_bytes() == b"content"


def test_deleting_the_last_object_removes_its_folders(root: Path) -> None:
    """Folders go with what they held; the directory itself and other folders stay."""
    store = FilesystemStore(root)
    store.put("rs/a/b/one", b"x")
    store.put("rs/c/two", b"x")
    store.delete(["rs/a/b/one"])
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) == [
        "rs",
        "rs/c",
        "rs/c/two",
    ]
    store.delete(["rs/c/two"])
    assert root.is_dir()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("key", ["link/one", "link/new/one", "deep/link/one"])
def test_links_to_folders_are_not_followed(root: Path, key: str) -> None:
    """A symbolic link that somebody put there leads nowhere, for any call."""
    outside = root.parent / "outside"
    (outside / "one").write_bytes(b"secret")
    (root / "deep").mkdir()
    (root / "link").symlink_to(outside)
    (root / "deep/link").symlink_to("../../outside")
    store = FilesystemStore(root)
    for call in (
        lambda: store.put(key, b"x"),
        lambda: store.get(key),
        lambda: store.delete([key]),
        lambda: list(store.list(key)),
    ):
        with pytest.raises(PermanentError) as caught:
            call()
        assert caught.value.code == "storage_denied"
    assert [path.name for path in outside.iterdir()] == ["one"]
    assert list(store.list("")) == []


def test_links_to_files_are_not_followed(root: Path) -> None:
    """An object is a file, not a name for one elsewhere."""
    (root.parent / "outside/one").write_bytes(b"secret")
    (root / "one").symlink_to(root.parent / "outside/one")
    store = FilesystemStore(root)
    with pytest.raises(PermanentError) as caught:
        store.get("one")
    assert caught.value.code == "storage_denied"
    assert list(store.list("")) == []


def test_the_directory_itself_may_be_a_link(root: Path) -> None:
    """An operator may move a storage to another disk."""
    link = root.parent / "link"
    link.symlink_to(root)
    FilesystemStore(link).put("rs/one", b"x")
    assert FilesystemStore(root).get("rs/one") == b"x"


def test_a_directory_that_is_not_mounted_is_noticed(root: Path) -> None:
    """Nothing is ever written beside a mount point that is not there."""
    store = FilesystemStore(root / "not" / "mounted")
    for call in (store.probe, lambda: store.put("k", b"x"), lambda: list(store.list(""))):
        with pytest.raises(PermanentError, match="mounted") as caught:
            call()
        assert caught.value.code == "storage_bucket_missing"
    assert list(root.iterdir()) == []


def test_what_is_no_object_is_not_listed(root: Path) -> None:
    """Half-written files, pipes and names that are not text are left alone."""
    store = FilesystemStore(root)
    store.put("rs/one", b"x")
    (root / "rs/.backstay-tmp-0123").write_bytes(b"half")
    os.mkfifo(root / "rs/pipe")
    (root / "rs" / os.fsdecode(b"\xff\xfe")).write_bytes(b"x")
    assert [stored.key for stored in store.list("")] == ["rs/one"]
    with pytest.raises(PermanentError) as caught:
        store.get("rs/pipe")
    assert caught.value.code == "object_missing"


def test_names_of_half_written_files_are_no_keys(root: Path) -> None:
    """They would not be listed."""
    with pytest.raises(PermanentError) as caught:
        FilesystemStore(root).put("rs/.backstay-tmp-1", b"x")
    assert caught.value.code == "bad_key"


def test_a_key_below_an_object_is_refused(root: Path) -> None:
    """A file cannot be a folder too; the object stays."""
    store = FilesystemStore(root)
    store.put("rs/one", b"x")
    with pytest.raises(PermanentError) as caught:
        store.put("rs/one/below", b"x")
    assert caught.value.code == "bad_key"
    assert store.get("rs/one") == b"x"
    store.delete(["rs/one/below"])
    store.delete(["rs"])
    assert store.get("rs/one") == b"x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_of_somebody_else_is_refused(root: Path) -> None:
    """The error says what to do."""
    root.chmod(0o500)
    with pytest.raises(PermanentError) as caught:
        FilesystemStore(root).put("rs/one", b"x")
    assert caught.value.code == "storage_denied"
    assert "user" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOENT, PermanentError, "object_missing"),
        (errno.EACCES, PermanentError, "storage_denied"),
        (errno.EROFS, PermanentError, "storage_denied"),
        (errno.ENOSPC, PermanentError, "storage_full"),
        (errno.EDQUOT, PermanentError, "storage_full"),
        (errno.ESTALE, TransientError, "storage_unreachable"),
        (errno.EIO, TransientError, "storage_unreachable"),
        (errno.ETIMEDOUT, TransientError, "storage_unreachable"),
    ],
)
def test_errors_of_the_file_system_are_ours(number: int, kind: type[Exception], code: str) -> None:
    """A full disk is for good, a network file system that is away is not."""
    error = translate(OSError(number, os.strerror(number)), "write", "rs/one")
    assert (type(error), error.code) == (kind, code)
    assert "rs/one" in error.message


def test_a_process_that_dies_while_it_writes_leaves_nothing_half(root: Path) -> None:
    """Whatever lies there is a whole object: no file is left that nobody would ever remove."""
    body = b"x" * (4 * 1024 * 1024)
    writing = (
        "import pathlib, sys\n"
        "from agent.storage.filesystem import FilesystemStore\n"
        "store = FilesystemStore(pathlib.Path(sys.argv[1]))\n"
        "number = 0\n"
        "while True:\n"
        f"    store.put(f'rs/{{number}}', b'x' * {len(body)})\n"
        "    number += 1\n"
    )
    for count in (1, 4, 7):
        with subprocess.Popen([sys.executable, "-c", writing, str(root)]) as process:
            try:
                eventually(lambda least=count: (root / f"rs/{least}").exists(), 30)  # type: ignore[misc]
            finally:
                process.kill()
        files = list((root / "rs").iterdir())
        assert {len(body)} == {each.stat().st_size for each in files}
        assert {each.name for each in files} == set(map(str, range(len(files))))
        shutil.rmtree(root / "rs")


def test_a_file_system_without_unnamed_files_is_written_to_all_the_same(root: Path) -> None:
    """As NFS: under another name first, which is gone afterwards."""
    assert _create_named(root / "one", b"x")
    assert not _create_named(root / "one", b"y")
    assert ["one"] == [each.name for each in root.iterdir()]
    assert b"x" == FilesystemStore(root).get("one")


def test_what_is_larger_than_any_object_is_not_read(root: Path) -> None:
    """Whoever may write there could otherwise end an agent by its memory."""
    store = FilesystemStore(root)
    store.put("rs/one", b"x")
    os.truncate(root / "rs/one", LARGEST_OBJECT_BYTES + 1)
    with pytest.raises(PermanentError) as caught:
        store.get("rs/one")
    assert "damaged_object" == caught.value.code
    assert "rs/one" == caught.value.facts["key"]
