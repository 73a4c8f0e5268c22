"""The spelling of Percona Backup for MongoDB in a storage block, put into ours.

Its users paste their ``storage`` block as it is. What has another name here is renamed, what
has no meaning here is left out and reported, and what would change where or how objects are
kept is refused. Source: "Remote backup storage options" of its reference, versions 1.8 to 2.17.
"""

from collections.abc import Mapping
from typing import Final

from agent.core.errors import ConfigError

_RENAMED: Final[Mapping[str, Mapping[str, str]]] = {
    "s3": {
        "endpointUrl": "endpoint_url",
        "forcePathStyle": "force_path_style",
        "insecureSkipTLSVerify": "insecure_skip_tls_verify",
        "serverSideEncryption": "server_side_encryption",
        "storageClass": "storage_class",
    },
    "s3.credentials": {
        "access-key-id": "access_key_id",
        "secret-access-key": "secret_access_key",
        "session-token": "session_token",
    },
    "s3.server_side_encryption": {
        "sseAlgorithm": "algorithm",
        "kmsKeyID": "kms_key_id",
        "sseCustomerAlgorithm": "sse_customer_algorithm",
        "sseCustomerKey": "sse_customer_key",
    },
}

# They steer multipart uploads and the SDK of that program. Here every object is one PUT, and
# ``retries`` and ``log`` say the rest.
_IGNORED: Final[Mapping[str, frozenset[str]]] = {
    "s3": frozenset({
        "provider",
        "uploadPartSize",
        "maxUploadParts",
        "maxObjSizeGB",
        "debugLogLevels",
        "retryer",
    }),
}

# Its reference shows them all at once; an empty one is one that is not set.
_LEFT_OUT_IF_EMPTY: Final = frozenset({"sseCustomerAlgorithm", "sseCustomerKey"})

_REFUSED: Final[Mapping[str, Mapping[str, str]]] = {
    "s3": {"endpointUrlMap": "each node has a file of its own: write its endpoint_url there"},
    "s3.credentials": {"vault": "write the keys, or leave credentials out and use a role"},
}


def names_at(level: str) -> Mapping[str, str]:
    """Return the other program's names at a level of the block and ours for them."""
    return _RENAMED.get(level, {})


def translate(block: Mapping[str, object], where: str) -> tuple[dict[str, object], list[str]]:
    """Return the block in our spelling, and the full names of settings that were left out.

    ``where`` is the full name of the block. Raises: ConfigError, for a setting that is given
    twice or that is refused.
    """
    ignored: list[str] = []
    return _translate(block, where, "", ignored), ignored


def _translate(
    block: Mapping[str, object], where: str, level: str, ignored: list[str]
) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, value in block.items():
        full = f"{where}.{name}"
        if name in _IGNORED.get(level, ()) or (name in _LEFT_OUT_IF_EMPTY and not value):
            ignored.append(full)
            continue
        if name in _REFUSED.get(level, {}):
            if value:
                raise _unsupported(full, _REFUSED[level][name])
            ignored.append(full)
            continue
        ours = names_at(level).get(name, name)
        if ours in made or (ours != name and ours in block):
            raise ConfigError(
                "config_bad_value",
                f"{where} has {ours} twice, in two spellings; keep one",
                field=f"{where}.{ours}",
            )
        below = f"{level}.{ours}" if level else str(ours)
        if isinstance(value, Mapping):
            value = _translate(value, f"{where}.{ours}", below, ignored)  # noqa: PLW2901
        made[ours] = value
    return made


def _unsupported(full: str, mend: str) -> ConfigError:
    return ConfigError("config_unsupported", f"{full} is not supported: {mend}", field=full)
