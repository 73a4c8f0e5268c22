"""What botocore raises and S3 answers, as errors of ours with a hint for the operator."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from agent.core.errors import AgentError
from agent.core.pace import TooSlowError
from agent.model.iam import KMS_READ, KMS_WRITE, action_of
from agent.settings import EncryptionSettings
from agent.storage.s3_rules import (
    CUSTOMER_KEY,
    DENIED,
    INTERRUPTED,
    KMS_KEY,
    MISCONFIGURED,
    OURS,
    REGION,
    TOO_SLOW,
    UNREACHABLE,
    Rule,
    rule_of_answer,
    rule_of_class,
)

# What a store may fail with from below; anything else is a mistake of ours.
FAILURES: Final = (BotoCoreError, ClientError, HTTPError, ResponseParserError, OSError, ValueError)

# What OpenSSL says when trying again cannot help.
_TLS_FOR_GOOD: Final = ("CERTIFICATE", "WRONG_VERSION", "doesn't match", "ca certificates")

_READS: Final = frozenset({"GetObject", "HeadObject"})
# An action or a key of KMS in the text of an AccessDenied, which is S3's code for its refusals too.
_KMS_ACTION: Final = re.compile(r"\bkms:[A-Z]\w+")
_KMS_SIGNS: Final = ("kms:", "KMS key")
# How S3 and others speak of SSE-C, whose refusals have codes of many other things.
_CUSTOMER_SIGNS: Final = (
    "server side encryption with customer provided keys",
    "a form of server side encryption",
    "encryption parameters are not applicable",
)
_SETTING: Final = "storage.s3.server_side_encryption"


def translate(
    error: Exception,
    operation: str,
    where: str,
    encryption: EncryptionSettings | None = None,
) -> AgentError:
    """Return our error for one of botocore's.

    ``where`` names the object or the bucket, ``encryption`` is what was asked for.
    """
    if isinstance(error, ClientError):
        return _translate_answer(error, where, encryption)
    rule = rule_of_class(type(error))
    if rule is None:
        rule = _rule_of_builtin(error)
    if isinstance(error, boto.SSLError) and not any(sign in str(error) for sign in _TLS_FOR_GOOD):
        rule = UNREACHABLE
    slow = _too_slow(error)
    if slow is not None:
        rule, error = TOO_SLOW, slow
    return _make(rule, f"{operation} of {where} failed: {_one_line(error)}", where)


def _too_slow(error: BaseException | None) -> TooSlowError | None:
    """Return what a library's error was made of, if that is a pace that was not kept."""
    while error is not None and not isinstance(error, TooSlowError):
        error = error.__cause__ or error.__context__
    return error


def _rule_of_builtin(error: Exception) -> Rule:
    if isinstance(error, ConnectionError | TimeoutError):
        return INTERRUPTED
    # A missing file of certificates, an address that is none, a damaged token file.
    return MISCONFIGURED if isinstance(error, OSError | ValueError) else OURS


def answer_code(error: ClientError) -> str:
    """Return S3's own code of an answer, or its HTTP status."""
    return str(error.response.get("Error", {}).get("Code") or answer_status(error))


def answer_status(error: ClientError) -> int:
    """Return the HTTP status of an answer; 0 if there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_unencrypted(error: ClientError) -> bool:
    """Whether a read was refused because the object has no key of the customer's.

    Amazon says InvalidRequest; an answer to HEAD has no words, and is 400.
    """
    return answer_code(error) in {"InvalidRequest", "400"}


def _translate_answer(
    error: ClientError, where: str, encryption: EncryptionSettings | None
) -> AgentError:
    code, status = answer_code(error), answer_status(error)
    said = str(error.response.get("Error", {}).get("Message", "") or "no reason given")
    rule = rule_of_answer(code, status)
    region = _true_region(error, rule)
    if region:
        rule = replace(REGION, hint=f"set storage.s3.region to {region}")
    elif any(sign in said.lower() for sign in _CUSTOMER_SIGNS):
        rule = CUSTOMER_KEY
    elif rule is DENIED:
        rule = _rule_of_denied(error.operation_name, said, encryption)
    return _make(rule, f"{error.operation_name} of {where} failed: {code}: {said}", where)


def _true_region(error: ClientError, rule: Rule) -> str:
    """Return the region that S3 names when a request went to another one."""
    said: Mapping[str, Any] = error.response.get("Error", {})
    if answer_code(error) == "AuthorizationHeaderMalformed":
        return str(said.get("Region", ""))
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region", "") if rule is REGION else ""


def _rule_of_denied(operation: str, said: str, encryption: EncryptionSettings | None) -> Rule:
    """Return what an AccessDenied is about: the KMS key, the customer's key, or a permission.

    Source: Amazon S3 User Guide, "Troubleshoot access denied (403 Forbidden) errors".
    """
    if any(sign in said for sign in _KMS_SIGNS):
        found = _KMS_ACTION.search(said)
        needed = found[0] if found else f"{KMS_WRITE} and {KMS_READ}"
        return replace(
            KMS_KEY, hint=f"allow {needed} on the key, to this identity and in the key's own policy"
        )
    has_customer_key = encryption is not None and encryption.customer_key is not None
    if has_customer_key and operation in _READS and "not authorized" not in said:
        return replace(
            CUSTOMER_KEY, hint=f"{CUSTOMER_KEY.hint}; if it is the right one, allow s3:GetObject"
        )
    return replace(DENIED, hint=_hint_for_denied(operation, encryption))


def missing_action(error: AgentError, operation: str) -> str | None:
    """Return the IAM action without which a request was denied; None if that is not the cause."""
    if error.code == DENIED.code:
        return action_of(operation)
    if error.code != KMS_KEY.code or "AccessDenied" not in error.message:
        return None
    found = _KMS_ACTION.search(error.message)
    if found is not None:
        return found[0]
    return KMS_READ if operation in _READS else KMS_WRITE


def _hint_for_denied(operation: str, encryption: EncryptionSettings | None) -> str:
    hint = f"allow {action_of(operation)} on the bucket"
    if operation == "GetObject":
        return f"{hint}, and s3:ListBucket, without which a missing object looks forbidden"
    if operation != "PutObject":
        return hint
    if encryption is None:
        return f"{hint}; if its policy asks for encryption, set {_SETTING}"
    if encryption.customer_key is not None:
        return f"{hint}, and SSE-C in its default encryption (BlockedEncryptionTypes: NONE)"
    return f"{hint}; if its policy asks for other encryption, correct {_SETTING}.algorithm"


def _make(rule: Rule, text: str, where: str) -> AgentError:
    return rule.kind(rule.code, text, hint=rule.hint, object=where)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
