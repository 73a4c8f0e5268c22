"""Names of databases and collections: what is backed up, and what our own are called."""

from dataclasses import dataclass
from typing import Final

from agent.core.errors import PermanentError

BUCKETS_PREFIX: Final = "system.buckets."
USERS: Final = "system.users"
ROLES: Final = "system.roles"

# Collections that a restore loads beside their targets. Short, so that it fits wherever the
# target's own name does (255 bytes for database and collection together).
TEMPORARY_PREFIX: Final = "bstmp."

# Databases that belong to a server, not to its users' data.
_SERVER_DATABASES: Final = frozenset({"local", "config"})
VIEWS: Final = "system.views"
STORED_JAVASCRIPT: Final = "system.js"
# The only system collections that carry users' data.
_KEPT_SYSTEM: Final = frozenset({STORED_JAVASCRIPT, VIEWS})


@dataclass(frozen=True, slots=True, order=True)
class Namespace:
    """A collection or view by name."""

    database: str
    collection: str

    def __str__(self) -> str:
        return f"{self.database}.{self.collection}"

    @classmethod
    def parse(cls, text: str) -> "Namespace":
        """Split at the first dot: a database name has none, a collection name may.

        Raises: PermanentError ``bad_namespace``.
        """
        database, dot, collection = text.partition(".")
        if not (database and dot and collection):
            raise PermanentError(
                "bad_namespace", f"{text!r} is not a namespace", hint="write database.collection"
            )
        return cls(database, collection)

    @property
    def is_buckets(self) -> bool:
        """Whether this holds the buckets of a time series."""
        return self.collection.startswith(BUCKETS_PREFIX)

    @property
    def visible(self) -> "Namespace":
        """The name that users know: of a bucket collection, its time series."""
        if self.is_buckets:
            return Namespace(self.database, self.collection.removeprefix(BUCKETS_PREFIX))
        return self

    @property
    def is_temporary(self) -> bool:
        """Whether a restore of ours made this."""
        return self.visible.collection.startswith(TEMPORARY_PREFIX)

    @property
    def is_users_or_roles(self) -> bool:
        """Whether this holds the users or the roles of the replica set."""
        return self.database == "admin" and self.collection in {USERS, ROLES}

    @property
    def is_views(self) -> bool:
        """Whether this holds the definitions of a database's views."""
        return self.collection == VIEWS

    @property
    def buckets(self) -> "Namespace":
        """The name of the bucket collection under a time series of this name."""
        return Namespace(self.database, BUCKETS_PREFIX + self.collection)


def temporary(database: str, token: int, number: int, *, buckets: bool) -> Namespace:
    """Return the name of a temporary collection: unique by lease token and number."""
    name = f"{TEMPORARY_PREFIX}{token}.{number}"
    return Namespace(database, BUCKETS_PREFIX + name if buckets else name)


def temporary_token(namespace: Namespace) -> int | None:
    """Return the lease token in a temporary collection's name; None if it is not such a name."""
    token, dot, number = (
        namespace.visible.collection.removeprefix(TEMPORARY_PREFIX).partition(".")
        if namespace.is_temporary
        else ("", "", "")
    )
    return int(token) if dot and token.isdecimal() and number.isdecimal() else None


def is_backed_up(namespace: Namespace, control_database: str) -> bool:
    """Whether a namespace belongs to users' data.

    Server databases, the control database, our temporary collections and system collections
    other than time-series buckets, ``system.js``, ``system.views``, users and roles do not.
    """
    if namespace.database in _SERVER_DATABASES or namespace.database == control_database:
        return False
    if namespace.is_temporary:
        return False
    if namespace.collection.startswith("system."):
        return (
            namespace.is_buckets
            or namespace.is_users_or_roles
            or namespace.collection in _KEPT_SYSTEM
        )
    return True
