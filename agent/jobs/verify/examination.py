"""Looking at everything that a manifest names: by listings, and byte for byte if so wished."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from agent.core.errors import PermanentError
from agent.core.flow import Shared
from agent.jobs import segments
from agent.jobs.restore.crew import Crew
from agent.jobs.restore.feed import Archive
from agent.jobs.verify.content import Reader
from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived, Span, reach, spans
from agent.model.manifest import Chunk, Manifest, Segment
from agent.model.progress import Progress
from agent.model.restore_plan import Stretch
from agent.model.verdict import Depth
from agent.model.verification import (
    Fault,
    chunks_of,
    faults_in,
    gap_in,
    misplaced,
    needed_oplog,
    segments_of,
    way_through,
)
from agent.ports import JobContext, ObjectStore

# How the way around harmed segments ends, if it does not lead through.
_HARMED: Final = frozenset({"object_missing", "damaged_object"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was looked at, and what is wrong with it, by key.

    ``was_there``: whether there was a manifest. ``docs`` and ``bytes`` (uncompressed) were counted,
    None if nothing was read. ``segments`` are those of the backup's own oplog;
    ``replaced_segments`` are harmed, and others hold the same. ``restorable_to`` is how far the
    archive goes on from a sound backup, by its listing.
    """

    faults: tuple[Fault, ...]
    objects: int
    stored_bytes: int = 0
    docs: int | None = None
    bytes: int | None = None
    segments: int = 0
    was_there: bool = True
    replaced_segments: int = 0
    restorable_to: ClusterTime | None = None


class Examination:
    """Looks at one backup; tells its progress in uncompressed bytes and documents."""

    def __init__(
        self, store: ObjectStore, context: JobContext, workers: int, progress: Shared[Progress]
    ) -> None:
        self._store = store
        self._context = context
        self._workers = workers
        self._progress = progress

    def of(self, manifest: Manifest, replset: str, backup: str, depth: Depth) -> Found:
        """Return what is wrong with a backup.

        Raises: Stopped, LeaseLost; TransientError; PermanentError of the storage as a whole.
        """
        root = keys.backup_root(replset, backup)
        sizes = {each.key: each.size_bytes for each in self._store.list(root)}
        self._context.held()
        archived = self._archived(manifest)
        chunks, own = chunks_of(manifest), segments_of(manifest)
        found = _by_key(faults_in(chunks, sizes))
        sizes |= {each.key: each.stored_bytes for each in archived}
        harmed = _by_key(faults_in(own, sizes))
        if depth == "content":
            deeper = self._read(manifest, sizes)
            ours = {each.key for each in own}
            found |= {key: each for key, each in deeper.items() if key not in ours}
            harmed |= {key: each for key, each in deeper.items() if key in ours}
        left = self._left(manifest, archived, harmed, depth)
        faults = (*misplaced(manifest, replset, backup), *found.values(), *left)
        done = self._progress.get() if depth == "content" else None
        base = manifest.base
        return Found(
            faults=tuple(sorted(faults, key=lambda each: each.key)),
            objects=1 + len(chunks) + len(own),
            stored_bytes=manifest.stored_bytes,
            docs=None if done is None else done.done_docs,
            bytes=None if done is None else done.done_bytes,
            segments=len(own),
            replaced_segments=0 if left else len(harmed),
            restorable_to=None if faults else reach(base, spans(archived)).last,
        )

    def _archived(self, manifest: Manifest) -> Sequence[Archived]:
        identity = manifest.identity
        return segments.listed(self._store, identity.replset).get(identity.replset_id, ())

    # -- the content

    def _read(self, manifest: Manifest, sizes: Mapping[str, int]) -> Mapping[str, Fault]:
        """Read everything, the largest first, and return what is wrong with each object.

        But not what has a size that nothing of the backup has: it need not fit into memory.
        """
        named: list[Chunk | Segment] = [*chunks_of(manifest), *segments_of(manifest)]
        self._progress.set(
            Progress(
                phase="checking",
                total_bytes=sum(each.bytes for each in named),
                total_docs=manifest.docs,
            )
        )
        reader = Reader(self._store, {each.sha256: each.key for each in named}, self._look)
        faults: Shared[tuple[Fault, ...]] = Shared(())

        def read(stored: Chunk | Segment) -> None:
            if isinstance(stored, Chunk):
                what = reader.of_chunk(stored)
            else:
                what = reader.of_segment(stored)
            if what:
                faults.update(_with(Fault(key=stored.key, what=what)))

        fitting = {each.stored_bytes for each in named}
        wanted = [each for each in named if sizes.get(each.key) in fitting]
        ordered = sorted(wanted, key=lambda each: each.stored_bytes, reverse=True)
        self._crew().each("verify", ordered, read)
        return _by_key(faults.get())

    def _look(self, part_bytes: int, docs: int) -> None:
        self._context.stop.check()
        self._context.held()
        self._progress.update(
            lambda old: replace(
                old, done_bytes=old.done_bytes + part_bytes, done_docs=old.done_docs + docs
            )
        )

    def _crew(self) -> Crew:
        return Crew(workers=self._workers, stop=self._context.stop, held=self._context.held)

    # -- the backup's own oplog

    def _left(
        self,
        manifest: Manifest,
        archived: Sequence[Archived],
        harmed: Mapping[str, Fault],
        depth: Depth,
    ) -> Sequence[Fault]:
        """Return what is wrong with the backup's own oplog that no other segments make good."""
        needed = needed_oplog(manifest)
        if needed is None or not harmed:
            return gap_in(manifest, archived)
        # Anew: segments may have been joined since, and what they were joined from removed.
        around = way_through(needed, self._archived(manifest), harmed)
        if around is None:
            return tuple(harmed.values())
        return self._unread(manifest, needed, around, harmed) if depth == "content" else ()

    def _unread(
        self,
        manifest: Manifest,
        needed: Span,
        around: tuple[Archived, ...],
        harmed: Mapping[str, Fault],
    ) -> Sequence[Fault]:
        """Read the way around harmed segments, as a restore would."""
        stretch = Stretch(begin=needed.begin, last=needed.last, segments=around)
        sealed = {each.key: each for each in segments_of(manifest)}
        identity = manifest.identity
        archive = Archive(
            store=self._store,
            replset=identity.replset,
            replset_id=identity.replset_id,
            sealed=sealed,
        )
        try:
            with closing(archive.feed(stretch, self._context.stop)) as feed:
                for _ in feed:
                    self._context.held()
        except PermanentError as error:
            if error.code not in _HARMED:
                raise
            key = str(error.facts["key"])
            others = {key: Fault(key=key, what=error.message)}
            return tuple({**others, **harmed}.values())
        return ()


def _by_key(faults: Sequence[Fault]) -> dict[str, Fault]:
    return {each.key: each for each in faults}


def _with(fault: Fault) -> Callable[[tuple[Fault, ...]], tuple[Fault, ...]]:
    return lambda found: (*found, fault)
