"""The check of what was loaded: each collection has as many documents as the manifest says."""

from collections.abc import Sequence

from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.core.retry import retry
from agent.jobs.restore.crew import Crew
from agent.jobs.restore.ports import PATIENCE
from agent.jobs.workspace import Workspace
from agent.model.manifest import Copy
from agent.ports import RestoreTarget


def check_counts(
    crew: Crew, stop: Stop, target: RestoreTarget, copies: Sequence[Copy], workspace: Workspace
) -> None:
    """Count every loaded collection, before any replay changes it.

    A capped collection may hold fewer documents than were read: it lost old ones to new ones
    while it was read, and loses them again while it is loaded.

    Raises: PermanentError ``count_differs`` naming the collection.
    """

    def check(copy: Copy) -> None:
        piece = workspace.find(copy.collection.uuid)
        if piece is None:
            return
        found = retry(lambda: target.count(piece.place), policy=PATIENCE, stop=stop)
        if found == copy.docs or (copy.collection.traits.is_capped and 0 < found < copy.docs):
            return
        raise PermanentError(
            "count_differs",
            f"{copy.collection.namespace} should have {copy.docs} documents and has {found}",
            hint="nothing was switched; restore again, or from another backup",
        )

    crew.each("check", copies, check)
