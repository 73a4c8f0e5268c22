"""Every key in a storage is built and parsed here.

    <replset>/backups/<id>/manifest.json
    <replset>/backups/<id>/data/<db>/<collection>/<task>-<token>-<seq>.bson.zst
    <replset>/backups/<id>/verified/<time>-<depth>-<verdict>.json
    <replset>/oplog/<replica set id>/<yyyymmdd>/<begin>_<last>.bson.zst
    <replset>/check/<agent>/<time>-<name>

What is written to try a storage out lies beside these, below ``check/``, and is removed at once.

Keys are relative to the storage's prefix. Parts that come from users are percent-encoded,
byte by byte, unless they are letters, digits or one of ``-_~``, and dots that do not stand alone
or first; so a key is never a special path and never collides with another. A part longer than a
file system allows is cut and ended by its SHA-256. Only what is built here is parsed: a foreign
object that merely looks alike is nobody's manifest.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace
from agent.model.verdict import Depth, Verdict

# For fullmatch, because ``$`` would let a newline follow; ASCII, because other scripts have digits.
_BACKUP_ID: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_MANIFEST: Final = re.compile(r"([^/]+)/backups/([^/]+)/manifest\.json")
_SEGMENT: Final = re.compile(
    r"([^/]+)/oplog/([^/]+)/\d{8}/(\d{10}\.\d{10})_(\d{10}\.\d{10})\.bson\.zst", re.ASCII
)
_CHECK: Final = re.compile(r"[^/]+/check/[^/]+/(\d{8}T\d{6}Z)-[0-9A-Za-z]+", re.ASCII)
_VERDICT: Final = re.compile(
    r"([^/]+)/backups/([^/]+)/verified/(\d{8}T\d{6}Z)-(objects|content)-(sound|damaged)\.json",
    re.ASCII,
)
_CHUNK: Final = re.compile(
    r"([^/]+)/backups/([^/]+)/data/([^/]+)/([^/]+)/\d{6,}-\d{19,}-\d{6,}\.bson\.zst", re.ASCII
)
_CUT: Final = re.compile(r".*![0-9a-f]{64}", re.ASCII)
# An escape that a cut went through.
_HALF_ESCAPE: Final = re.compile(r"%[0-9A-F]?\Z")
_ID_FORMAT: Final = "%Y%m%dT%H%M%SZ"
# File systems take 255 bytes for a name.
_LONGEST_PART_BYTES: Final = 255


def encode(name: str) -> str:
    """Percent-encode a name so that it is one harmless part of a key."""
    text = quote(name.encode("utf-8", "surrogatepass"), safe="-_~.")
    if text.startswith("."):
        text = "%2E" + text[1:]
    if len(text) <= _LONGEST_PART_BYTES:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return _HALF_ESCAPE.sub("", text[: _LONGEST_PART_BYTES - len(digest) - 1]) + "!" + digest


def decode(part: str) -> str:
    """Undo ``encode``; a name that was cut cannot be had back.

    Raises: PermanentError ``bad_key``, also for what ``encode`` never makes.
    """
    if _CUT.fullmatch(part):
        raise PermanentError("bad_key", f"the name in {part!r} was cut")
    try:
        name = unquote(part, errors="surrogatepass")
        is_ours = encode(name) == part
    except UnicodeError:
        is_ours = False
    if not is_ours:
        raise PermanentError("bad_key", f"{part!r} is not a part of a key of ours")
    return name


def backup_id(started_at: datetime) -> str:
    """Return the id of a backup that started then: UTC, to the second."""
    return started_at.astimezone(UTC).strftime(_ID_FORMAT)


def backup_time(backup: str) -> datetime:
    """Undo ``backup_id``. Raises: ValueError."""
    return datetime.strptime(backup, _ID_FORMAT).replace(tzinfo=UTC)


def is_backup_id(text: str) -> bool:
    """Whether a text has the form of a backup id, and tells a time that others can follow."""
    if _BACKUP_ID.fullmatch(text) is None:
        return False
    try:
        return backup_time(text).year < MAXYEAR
    except ValueError:
        return False


def replset_root(replset: str) -> str:
    """Return the prefix of everything of one replica set name."""
    return f"{encode(replset)}/"


def role_probe(replset: str, authorization: str) -> str:
    """Return the key of the object with which a role is tried out, and which is removed again."""
    return f"{replset_root(replset)}check/role-{encode(authorization)}"


def backups_root(replset: str) -> str:
    """Return the prefix of all backups of a replica set."""
    return f"{encode(replset)}/backups/"


def backup_root(replset: str, backup: str) -> str:
    """Return the prefix of everything that belongs to one backup."""
    return f"{encode(replset)}/backups/{encode(backup)}/"


def manifest(replset: str, backup: str) -> str:
    """Return the key of a backup's manifest."""
    return backup_root(replset, backup) + "manifest.json"


def parse_manifest(key: str) -> tuple[str, str] | None:
    """Return (replica set, backup id) if a key is a manifest's, else None.

    Raises: PermanentError ``bad_key``, if the name of the replica set was cut.
    """
    found = _MANIFEST.fullmatch(key)
    if found is None or not is_backup_id(found[2]):
        return None
    replset = _decode_ours(found[1])
    return None if replset is None else (replset, found[2])


def verdicts_root(replset: str, backup: str) -> str:
    """Return the prefix of what was found when a backup was verified."""
    return backup_root(replset, backup) + "verified/"


def verdict(replset: str, backup: str, found: Verdict) -> str:
    """Return the key of a verdict: a listing tells all that the catalogue has of it."""
    time, word = backup_id(found.checked_at), "sound" if found.is_sound else "damaged"
    return f"{verdicts_root(replset, backup)}{time}-{found.depth}-{word}.json"


def parse_verdict(key: str) -> tuple[str, str, Verdict] | None:
    """Return (replica set, backup id, verdict) if a key is a verdict's, else None.

    Raises: PermanentError ``bad_key``, if the name of the replica set was cut.
    """
    found = _VERDICT.fullmatch(key)
    if found is None or not is_backup_id(found[2]):
        return None
    replset = _decode_ours(found[1])
    depth: Depth = "content" if found[4] == "content" else "objects"
    try:
        checked_at = backup_time(found[3])
    except ValueError:
        return None
    if replset is None:
        return None
    return (
        replset,
        found[2],
        Verdict(depth=depth, checked_at=checked_at, is_sound=found[5] == "sound"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkName:
    """What tells one chunk from all others: ``token`` is the fencing token of the claim."""

    task: int
    token: int
    sequence: int


def chunk(replset: str, backup: str, namespace: Namespace, name: ChunkName) -> str:
    """Return the key of a chunk; sorted, the chunks of a collection are in reading order."""
    return (
        f"{backup_root(replset, backup)}data/{encode(namespace.database)}/"
        f"{encode(namespace.collection)}/"
        f"{name.task:06d}-{name.token:019d}-{name.sequence:06d}.bson.zst"
    )


def backup_of(key: str) -> str | None:
    """Return which backup an object is part of, by its key; None if nobody here wrote it.

    Manifests, chunks and verdicts are parts. Raises: PermanentError ``bad_key``, if the name of
    the replica set was cut.
    """
    part = parse_manifest(key) or parse_verdict(key)
    if part is not None:
        return part[1]
    found = _CHUNK.fullmatch(key)
    if found is None or not is_backup_id(found[2]) or _decode_ours(found[1]) is None:
        return None
    return found[2] if _is_ours(found[3]) and _is_ours(found[4]) else None


def check_root(replset: str) -> str:
    """Return the prefix of what is written to try a storage out."""
    return f"{encode(replset)}/check/"


def oplog_root(replset: str) -> str:
    """Return the prefix of the whole oplog archive of a replica set's name."""
    return f"{encode(replset)}/oplog/"


def segment(replset: str, replset_id: str, begin: ClusterTime, last: ClusterTime) -> str:
    """Return the key of a segment: after ``begin``, up to and with ``last``."""
    day = last.wall.strftime("%Y%m%d")
    return f"{encode(replset)}/oplog/{encode(replset_id)}/{day}/{begin}_{last}.bson.zst"


def parse_segment(key: str) -> tuple[str, str, ClusterTime, ClusterTime] | None:
    """Return (replica set, replica set id, begin, last) if a key is a segment's, else None.

    Raises: PermanentError ``bad_key``, if the name of the replica set was cut.
    """
    found = _SEGMENT.fullmatch(key)
    # Ids are short: one that was cut is none, and must not hide the segments beside it.
    if found is None or _CUT.fullmatch(found[2]):
        return None
    replset, replset_id = _decode_ours(found[1]), _decode_ours(found[2])
    if replset is None or replset_id is None:
        return None
    try:
        begin, last = ClusterTime.parse(found[3]), ClusterTime.parse(found[4])
    except PermanentError:
        return None
    is_in_its_day = segment(replset, replset_id, begin, last) == key
    return (replset, replset_id, begin, last) if is_in_its_day else None


def checks_root(replset: str, agent: str) -> str:
    """Return the prefix of what an agent writes to test a storage."""
    return f"{encode(replset)}/check/{encode(agent)}/"


def check_object(replset: str, agent: str, made_at: datetime, name: str) -> str:
    """Return the key of an object that tests a storage; ``name`` is letters and digits."""
    return f"{checks_root(replset, agent)}{backup_id(made_at)}-{name}"


def check_time(key: str) -> datetime | None:
    """Return when an object that tests a storage was made, to the second; None of any other."""
    found = _CHECK.fullmatch(key)
    if found is None:
        return None
    try:
        return backup_time(found[1])
    except ValueError:
        return None


def _is_ours(part: str) -> bool:
    """Whether a part of a key was made of a name, which may have been cut."""
    return _CUT.fullmatch(part) is not None or _decode_ours(part) is not None


def _decode_ours(part: str) -> str | None:
    """Return the name in a part of a key, None if it is not one of ours."""
    try:
        return decode(part)
    except PermanentError:
        if _CUT.fullmatch(part):
            raise
        return None
