"""What a replica set holds: collections with their options and indexes, verbatim."""

from dataclasses import dataclass
from typing import Literal

from agent.model.names import Namespace

Kind = Literal["collection", "view", "timeseries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Facts that the rules need, read from the options when a collection is listed."""

    is_capped: bool = False
    is_clustered: bool = False
    has_collation: bool = False
    view_on: str = ""
    ttl_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One entry of the catalogue.

    ``uuid`` is the 16 bytes of its UUID, empty for views and time-series views. ``options``
    and each of ``indexes`` are BSON documents exactly as the server listed them; indexes
    that are still being built are not among them.
    """

    namespace: Namespace
    kind: Kind
    uuid: bytes
    options: bytes
    indexes: tuple[bytes, ...]
    traits: Traits

    @property
    def has_data(self) -> bool:
        """Whether there are documents to read: views have none of their own."""
        return self.kind == "collection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Documents and their uncompressed bytes, as the server's statistics say: an estimate."""

    docs: int
    bytes: int

    @property
    def doc_bytes(self) -> int:
        """Average size of a document; 0 if there is none."""
        return self.bytes // self.docs if self.docs else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which replica set this is, and what it runs."""

    replset: str
    replset_id: str
    server_version: str
    feature_compatibility: str
