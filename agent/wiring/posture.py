"""What the configuration leaves open: files that others may read, servers that prove nothing."""

from collections.abc import Iterator, Mapping
from typing import Final

from agent.core.log import Log
from agent.model.check import Finding
from agent.mongo.connect import unverified
from agent.settings import Settings, exposures

_FILES: Final = "files"
_TRUST: Final = "trust"


def posture(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what an operator should know of it; nothing of it keeps an agent from its work."""
    found = tuple(exposures(settings, environment))
    for each in found:
        yield _warning(
            _FILES,
            f"{each.path} ({each.setting}): {each.fault}",
            hint="owner root or the agent's user, and mode 0600, or 0640 with the agent's group",
        )
    if not found:
        yield _ok(_FILES, "what the configuration names is the agent's own")
    options = unverified(settings.mongodb.uri.get_secret_value())
    if options:
        yield _warning(
            _TRUST,
            f"mongodb.uri has {', '.join(options)}: whoever answers as MongoDB is believed",
            hint="name the certificate authority with tlsCAFile, and each node by a name that its"
            " certificate has",
        )
    skipping = [
        each.label for each in settings.storages if each.s3 and each.s3.insecure_skip_tls_verify
    ]
    for label in skipping:
        yield _warning(
            _TRUST,
            f"storage {label} has insecure_skip_tls_verify: whoever answers in its place is"
            " believed, and gets what is stored",
            hint="name the certificate authority with ca_file instead",
            storage=label,
        )
    if not options and not skipping:
        yield _ok(_TRUST, "wherever TLS is asked for, certificates are verified")


def tell_posture(settings: Settings, environment: Mapping[str, str], log: Log) -> None:
    """Log what is left open, at the start of an agent."""
    for each in posture(settings, environment):
        if each.outcome == "warning":
            log.warning("left open", test=each.test, reason=each.message, hint=each.hint)


def _ok(test: str, message: str) -> Finding:
    return Finding(test=test, outcome="ok", message=message)


def _warning(test: str, message: str, *, hint: str, storage: str | None = None) -> Finding:
    return Finding(test=test, outcome="warning", message=message, hint=hint, storage=storage)
