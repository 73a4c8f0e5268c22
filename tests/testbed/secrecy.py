"""Every secret that the tests hand out, and what finds one where an agent wrote it."""

from collections.abc import Iterator, Mapping

# Names of settings and of environment variables whose values are secret, in every spelling.
_SECRET_NAMES = {
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "secret_access_key",
    "secret-access-key",
    "session_token",
    "session-token",
    "sse_customer_key",
    "sseCustomerKey",
}
# Shorter ones, such as a wrong key of a test, may be part of anything.
_SHORTEST = 12

_known: set[str] = set()


def keep(secret: str) -> str:
    """Remember a secret for the rest of the run, and return it."""
    if len(secret) >= _SHORTEST:
        _known.add(secret)
    return secret


def keep_all(values: Mapping[str, object]) -> None:
    """Remember what stands under the names of secrets in settings or an environment."""
    for secret in _secrets_in(values):
        keep(secret)


def check(text: str, where: str) -> None:
    """Fail if any secret that was handed out so far stands in a text.

    Raises: AssertionError, which does not repeat it.
    """
    assert not any(secret in text for secret in _known), f"{where} holds a secret"


def _secrets_in(values: Mapping[str, object]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _secrets_in(value)
        elif isinstance(value, str) and name in _SECRET_NAMES:
            yield value
