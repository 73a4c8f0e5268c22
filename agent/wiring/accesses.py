"""As whom the configured buckets are reached."""

from collections.abc import Mapping, Sequence

from agent.aws.session import Access
from agent.model.status import CredentialFacts, StorageAccess
from agent.settings import Settings


class Accesses:
    """The access to each bucket by label; a directory has none.

    One for each bucket, so that all clients of it share keys and renew them once.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._main = settings.storage.label
        self._all = {
            one.label: Access(one.s3, environment)
            for one in settings.storages
            if one.s3 is not None
        }

    def find(self, label: str) -> Access | None:
        """Return the access to a storage; None to a directory."""
        return self._all.get(label)

    def facts(self) -> CredentialFacts:
        """Return with whose keys the main storage is reached, as far as is known."""
        access = self._all.get(self._main)
        return CredentialFacts(source="none") if access is None else access.facts()

    def identify(self) -> CredentialFacts:
        """Return with whose keys the main storage is reached; may ask STS."""
        access = self._all.get(self._main)
        return CredentialFacts(source="none") if access is None else access.identify()

    def keep(self) -> None:
        """Renew the keys of every storage that soon end."""
        for access in self._all.values():
            access.keep()

    def sources(self) -> Sequence[StorageAccess]:
        """Return as whom each bucket is reached, below any role; may ask STS."""
        return [
            StorageAccess(storage=label, identity=access.source_identity(), role=access.role_arn)
            for label, access in self._all.items()
        ]
