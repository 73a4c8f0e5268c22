"""The role that is assumed with what the chain gave."""

from dataclasses import replace
from typing import Any, Final

from botocore.credentials import AssumeRoleCredentialFetcher
from botocore.exceptions import ClientError

from agent.aws.held import BotocoreKeys, HeldKeys
from agent.aws.keys import (
    EXPIRED,
    FAILURES,
    UNKNOWN_KEY,
    Keys,
    answer_code,
    is_passing,
    keys_in,
    told,
)
from agent.aws.sts import Sts
from agent.core.errors import AgentError, PermanentError, TransientError
from agent.settings.storage import RoleSettings

_WRONG_KEYS: Final = UNKNOWN_KEY | {"SignatureDoesNotMatch"}
# STS has one code for a wrong secret and for a wrong clock.
_SKEW_SIGNS: Final = ("Signature expired", "Signature not yet current")


def assume(role: RoleSettings, base: HeldKeys, sts: Sts) -> Keys:
    """Return keys of the role; keys of the source that STS refuses are fetched anew once.

    Raises: PermanentError ``role_denied``, ``credentials_wrong``, ``credentials_expired``,
    ``storage_clock_skew``; TransientError ``credentials_unavailable``; what the base raises.
    """
    try:
        used = base.get()
        try:
            return _assume(role, base, sts)
        except ClientError as error:
            if not has_others(base, answer_code(error), used.access_key_id):
                raise
            return _assume(role, base, sts)
    except FAILURES as error:
        found = base.peek()
        raise _translated(error, role, found.source if found else "no source") from error


def has_others(keys: HeldKeys, refusal: str, refused_id: str) -> bool:
    """Whether a request may be sent again with other keys, after a refusal of those it had.

    ``refusal``: the code of AWS's answer. Raises: what renewing the keys raises.
    """
    if refusal in EXPIRED:
        return keys.renew(refused_id)
    return refusal in UNKNOWN_KEY and keys.has_others(refused_id)


def _assume(role: RoleSettings, base: HeldKeys, sts: Sts) -> Keys:
    arguments: dict[str, Any] = {
        "RoleSessionName": role.session_name,
        "DurationSeconds": role.duration_s,
    }
    if role.external_id is not None:
        arguments["ExternalId"] = role.external_id
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=sts.client,
        source_credentials=BotocoreKeys(base),
        role_arn=role.arn,
        extra_args=arguments,
    )
    keys = keys_in(fetcher.fetch_credentials())
    found = base.peek()
    return replace(keys, source=f"role {role.arn} over {found.source if found else 'no source'}")


def _translated(error: Exception, role: RoleSettings, source: str) -> AgentError:
    text = f"the role {role.arn} cannot be assumed with the keys of {source}: {told(error)}"
    if not isinstance(error, ClientError) or is_passing(error):
        return TransientError(
            "credentials_unavailable", text, hint="the agent asks again; see to what is named here"
        )
    code = answer_code(error)
    if any(sign in text for sign in _SKEW_SIGNS):
        return PermanentError("storage_clock_skew", text, hint="set this host's clock")
    if code in EXPIRED:
        return PermanentError("credentials_expired", text, hint="give fresh credentials")
    if code in _WRONG_KEYS:
        return PermanentError("credentials_wrong", text, hint=f"check the keys of {source}")
    if code == "ValidationError":
        hint = "check storage.s3.role; its duration_s must not exceed what the role allows"
    else:
        hint = (
            "let the role's trust policy name this identity and its external id be that of"
            " storage.s3.role.external_id, and allow this identity sts:AssumeRole on the role"
        )
    return PermanentError("role_denied", text, hint=hint)
