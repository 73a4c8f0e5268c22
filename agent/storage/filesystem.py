"""A directory as a storage: for trials, and for network file systems."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Final

from agent.core.errors import AgentError, PermanentError, TransientError
from agent.ports import ObjectStore, StoredObject
from agent.storage.key import check
from agent.storage.size import check_size

# Names of files that are still being written; no key may have such a part.
_TEMPORARY: Final = ".backstay-tmp-"
# A put loses its folder when the last other object in it is deleted at that moment.
_FOLDER_TRIES: Final = 20
# Linux alone has files without a name, and not each of its file systems.
_UNNAMED: Final[int] = getattr(os, "O_TMPFILE", 0)
_UNNAMED_UNKNOWN: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})

_CODES: Final[dict[int, tuple[type[AgentError], str, str]]] = {
    errno.ENOENT: (PermanentError, "object_missing", ""),
    errno.EACCES: (PermanentError, "storage_denied", "give the agent's user the directory"),
    errno.EPERM: (
        PermanentError,
        "storage_denied",
        "give the agent's user the directory, on a file system that has hard links",
    ),
    errno.EROFS: (PermanentError, "storage_denied", "the file system is mounted read-only"),
    errno.ENOSPC: (PermanentError, "storage_full", "make room on the file system"),
    errno.EDQUOT: (PermanentError, "storage_full", "raise the quota"),
    errno.EFBIG: (PermanentError, "storage_full", "the file system takes no file of this size"),
    errno.ENAMETOOLONG: (PermanentError, "bad_key", "the directory's own path is too long"),
    errno.ENOTDIR: (PermanentError, "bad_key", "a part of the key is an object"),
    errno.EEXIST: (PermanentError, "bad_key", "a part of the key is an object"),
    errno.EISDIR: (PermanentError, "bad_key", "the key is the prefix of other objects"),
    errno.ELOOP: (PermanentError, "storage_denied", "symbolic links in a storage are not followed"),
    errno.EOPNOTSUPP: (
        PermanentError,
        "storage_unsupported",
        "the file system must have hard links",
    ),
}


class FilesystemStore:
    """Objects as files under a directory that must exist.

    An object appears whole or not at all, on disk before ``put`` returns, and is never
    overwritten: a file without a name is written, and then linked to its place, which fails if
    there is one. Symbolic links below the directory are refused, so that no key leaves it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Create an object: written, synced, then linked to its name."""
        path = self._path(key)
        with _Translated("write", key):
            self._check_root()
            for _ in range(_FOLDER_TRIES):
                self._make_folder(path.parent)
                try:
                    created = _create(path, body)
                except FileNotFoundError:
                    continue
                break
            else:
                raise TransientError("storage_unreachable", f"the folder of {key} keeps vanishing")
        if not created and self.get(key) != body:
            raise PermanentError("object_exists", f"{key} exists with another content", key=key)

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        path = self._path(key)
        with _Translated("read", key):
            self._check_root()
            self._refuse_links(path.parent)
            try:
                return _read(path, key)
            except NotADirectoryError:
                raise _missing(key) from None

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield objects in the order of their keys' bytes; what is no object is left out."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check(folder)
        with _Translated("list", prefix):
            self._check_root()
            if folder:
                self._refuse_links(self._root / folder)
        yield from self._walk(folder, prefix)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, and the folders that this leaves empty."""
        for key in keys:
            path = self._path(key)
            with _Translated("delete", key):
                self._check_root()
                self._refuse_links(path.parent)
                try:
                    path.unlink(missing_ok=True)
                except (IsADirectoryError, NotADirectoryError):
                    continue
                self._remove_empty(path.parent)

    def probe(self) -> None:
        """Check that the directory is there and may be listed."""
        with _Translated("list", ""):
            self._check_root()
            with os.scandir(self._root) as entries:
                next(entries, None)

    def describe(self) -> str:
        """Name the directory."""
        return str(self._root)

    def _path(self, key: str) -> Path:
        if any(part.startswith(_TEMPORARY) for part in check(key).split("/")):
            raise PermanentError("bad_key", f"the key {key!r} has a reserved part", key=key)
        return self._root / key

    def _check_root(self) -> None:
        if not self._root.is_dir():
            raise PermanentError(
                "storage_bucket_missing",
                f"the directory {self._root} does not exist",
                hint="create it, or mount the file system that holds it",
            )

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, each on disk before what it will hold."""
        missing = []
        while folder != self._root and not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        self._refuse_links(folder)
        for made in reversed(missing):
            made.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(made.parent)

    def _refuse_links(self, folder: Path) -> None:
        real = os.path.realpath(self._root)
        expected = os.path.join(real, folder.relative_to(self._root))  # noqa: PTH118
        if os.path.realpath(folder) != os.path.normpath(expected):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _remove_empty(self, folder: Path) -> None:
        while folder != self._root:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return
            folder = folder.parent

    def _walk(self, folder: str, prefix: str) -> Iterator[StoredObject]:
        for name, entry in self._entries(folder):
            key = f"{folder}/{name}" if folder else name
            if name.endswith("/"):
                # A folder matters if the prefix leads into it, or if it lies below the prefix.
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(key[:-1], prefix)
            elif key.startswith(prefix):
                with _Translated("list", key):
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                yield StoredObject(
                    key=key,
                    size_bytes=found.st_size,
                    modified_at=datetime.fromtimestamp(found.st_mtime, tz=UTC),
                )

    def _entries(self, folder: str) -> Sequence[tuple[str, os.DirEntry[str]]]:
        """Return files and folders in the order of keys: a folder sorts with its slash."""
        found = []
        with _Translated("list", folder):
            try:
                with os.scandir(self._root / folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            found.append((entry.name + "/", entry))
                        elif entry.is_file(follow_symlinks=False):
                            found.append((entry.name, entry))
            except (FileNotFoundError, NotADirectoryError):
                return []
        ours = (pair for pair in found if _may_be_ours(pair[0]))
        return sorted(ours, key=lambda pair: pair[0].encode())


def _may_be_ours(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not name.startswith(_TEMPORARY)


def _create(path: Path, body: bytes | bytearray) -> bool:
    """Write a new file with this content; return False if its name is taken."""
    created = _create_unnamed(path, body)
    if created is None:
        created = _create_named(path, body)
    if created:
        _sync_folder(path.parent)
    return created


def _create_unnamed(path: Path, body: bytes | bytearray) -> bool | None:
    """Write a file that has no name until it is whole: a process that dies leaves nothing.

    None if the file system, as NFS, or the host knows no such files.
    """
    if not _UNNAMED:
        return None
    try:
        descriptor = os.open(path.parent, os.O_WRONLY | _UNNAMED | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in _UNNAMED_UNKNOWN:
            return None
        raise
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        _write(file, body)
        try:
            # The way of open(2); a src_dir_fd means nothing here, but has the link followed.
            source = f"/proc/self/fd/{descriptor}"
            os.link(source, path, src_dir_fd=descriptor, follow_symlinks=True)
        except FileExistsError:
            return False
        except FileNotFoundError:
            if not path.parent.is_dir():
                raise
            return None  # a host without /proc
    return True


def _create_named(path: Path, body: bytes | bytearray) -> bool:
    """Write a file under another name first."""
    temporary = path.with_name(_TEMPORARY + secrets.token_hex(8))
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            _write(file, body)
        try:
            os.link(temporary, path, follow_symlinks=False)
        except FileExistsError:
            return False
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _write(file: FileIO, body: bytes | bytearray) -> None:
    view = memoryview(body)
    while view:
        view = view[file.write(view) :]
    os.fsync(file.fileno())


def _read(path: Path, key: str) -> bytes:
    # Without blocking, because a pipe that somebody put there would wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _missing(key)
        check_size(key, found.st_size)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Translated:
    """Turns errors of the file system into ours."""

    def __init__(self, action: str, key: str) -> None:
        self._action = action
        self._key = key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise translate(error, self._action, self._key) from error


def translate(error: OSError, action: str, key: str) -> AgentError:
    """Return our error for one of the file system; an unknown one may pass."""
    kind, code, hint = _CODES.get(
        error.errno or 0, (TransientError, "storage_unreachable", "see the system's log")
    )
    if code == "object_missing":
        return _missing(key)
    text = f"cannot {action} {key or 'the storage'}: {error.strerror or error}"
    return kind(code, text, hint=hint, key=key)


def _missing(key: str) -> PermanentError:
    return PermanentError("object_missing", f"{key} is not in the storage", key=key)


def _proof(store: FilesystemStore) -> ObjectStore:
    return store
