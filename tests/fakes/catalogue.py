"""Collections as the source would list them."""

from agent.model.catalogue import Collection, Kind, Traits
from agent.model.names import Namespace

EMPTY_DOCUMENT = b"\x05\x00\x00\x00\x00"


def collection(
    name: str, *, kind: Kind = "collection", capped: bool = False, uuid: bytes | None = None
) -> Collection:
    """Return a collection without indexes, whose UUID comes from its name."""
    plain = name.encode()[-16:].rjust(16, b"\0")
    return Collection(
        namespace=Namespace.parse(name),
        kind=kind,
        uuid=b"" if kind != "collection" else (uuid or plain),
        options=EMPTY_DOCUMENT,
        indexes=(),
        traits=Traits(is_capped=capped),
    )
