"""What botocore raises and S3 answers, as errors of ours.

Every exception class of botocore stands in one of the families below, and a test proves it, so
that a new release cannot bring one that nobody thought about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore import exceptions as boto
from botocore.discovery import EndpointDiscoveryException
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from agent.core.errors import AgentError, PermanentError, TransientError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which of our errors one of theirs becomes."""

    kind: type[AgentError]
    code: str
    hint: str = ""


_UNREACHABLE: Final = Rule(
    kind=TransientError,
    code="storage_unreachable",
    hint="check endpoint_url and region, DNS, proxy and firewall",
)
_INTERRUPTED: Final = Rule(kind=TransientError, code="storage_interrupted")
_NO_CREDENTIALS: Final = Rule(
    kind=PermanentError,
    code="credentials_missing",
    hint="set storage.s3.credentials, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
)
_CREDENTIAL_SOURCE: Final = Rule(
    kind=TransientError,
    code="credentials_unavailable",
    hint="the source of the credentials did not answer as it should",
)
_CREDENTIALS_WRONG: Final = Rule(
    kind=PermanentError,
    code="credentials_wrong",
    hint="check access_key_id and secret_access_key (or their environment variables)",
)
_CREDENTIALS_EXPIRED: Final = Rule(
    kind=PermanentError, code="credentials_expired", hint="give fresh credentials"
)
_TLS: Final = Rule(
    kind=PermanentError,
    code="storage_tls",
    hint="set ca_file to the authority that signed the server's certificate, and endpoint_url to"
    " the name in it; http:// if the server has no TLS",
)
_MISCONFIGURED: Final = Rule(
    kind=PermanentError,
    code="storage_misconfigured",
    hint="check the storage block, and AWS_* variables and files of the agent's user",
)
_OURS: Final = Rule(
    kind=PermanentError, code="storage_failed", hint="this should not happen; please report it"
)
_SLOW_DOWN: Final = Rule(
    kind=TransientError, code="storage_slow_down", hint="the storage asks for fewer requests"
)
_UNAVAILABLE: Final = Rule(kind=TransientError, code="storage_unavailable")
_DAMAGED: Final = Rule(kind=TransientError, code="storage_transfer_damaged")
_DENIED: Final = Rule(kind=PermanentError, code="storage_denied")
_REGION: Final = Rule(
    kind=PermanentError,
    code="storage_wrong_region",
    hint="set storage.s3.region to the region of the bucket; or endpoint_url to the address that"
    " the server redirects to, https:// perhaps",
)
_ENCRYPTION: Final = Rule(
    kind=PermanentError,
    code="storage_encryption",
    hint="check server_side_encryption.kms_key_id, that the key is enabled and in the bucket's"
    " region, and kms:GenerateDataKey and kms:Decrypt",
)

_FAMILIES: Final[dict[Rule, tuple[type[Exception], ...]]] = {
    _UNREACHABLE: (
        boto.ConnectionError,
        EndpointDiscoveryException,
    ),
    _INTERRUPTED: (
        boto.HTTPClientError,
        boto.IncompleteReadError,
        HTTPError,
        ResponseParserError,
        boto.EventStreamError,
    ),
    _DAMAGED: (boto.ChecksumError, boto.FlexibleChecksumError, boto.AwsChunkedWrapperError),
    _UNAVAILABLE: (boto.CapacityNotAvailableError, boto.WaiterError),
    _TLS: (boto.SSLError,),
    _NO_CREDENTIALS: (
        boto.NoCredentialsError,
        boto.NoAuthTokenError,
        boto.PartialCredentialsError,
    ),
    _CREDENTIAL_SOURCE: (
        boto.CredentialRetrievalError,
        boto.TokenRetrievalError,
        boto.MetadataRetrievalError,
    ),
    _CREDENTIALS_EXPIRED: (boto.SSOError, boto.LoginError, boto.RefreshWithMFAUnsupportedError),
    _MISCONFIGURED: (
        boto.UnknownRegionError,
        boto.InvalidIMDSEndpointError,
        boto.InvalidIMDSEndpointModeError,
        boto.UnknownTokenProviderError,
        boto.UnknownSignatureVersionError,
        boto.ServiceNotInRegionError,
        boto.BaseEndpointResolverError,
        boto.ProfileNotFound,
        boto.ConfigParseError,
        boto.ConfigNotFound,
        boto.ValidationError,
        boto.UnknownCredentialError,
        boto.UnsupportedSignatureVersionError,
        boto.InvalidDNSNameError,
        boto.InvalidS3AddressingStyleError,
        boto.UnsupportedS3ArnError,
        boto.UnsupportedS3ControlArnError,
        boto.InvalidHostLabelError,
        boto.UnsupportedOutpostResourceError,
        boto.UnsupportedS3ConfigurationError,
        boto.UnsupportedS3AccesspointConfigurationError,
        boto.UnsupportedS3ControlConfigurationError,
        boto.InvalidEndpointDiscoveryConfigurationError,
        boto.InvalidRetryConfigurationError,
        boto.InvalidS3UsEast1RegionalEndpointConfigError,
        boto.InvalidSTSRegionalEndpointsConfigError,
        boto.InvalidConfigError,
        boto.InvalidProxiesConfigError,
        boto.InvalidDefaultsMode,
        boto.InvalidEndpointConfigurationError,
        boto.EndpointProviderError,
        boto.InvalidChecksumConfigError,
        boto.MissingDependencyException,
        boto.MD5UnavailableError,
    ),
    _OURS: (
        boto.DataNotFoundError,
        boto.ApiVersionNotFoundError,
        boto.MissingParametersError,
        boto.ParamValidationError,
        boto.UnknownServiceStyle,
        boto.PaginationError,
        boto.OperationNotPageableError,
        boto.UnseekableStreamError,
        boto.InvalidExpressionError,
        boto.WaiterConfigError,
        boto.UnknownClientMethodError,
        boto.StubResponseError,
        boto.UnsupportedServiceProtocolsError,
    ),
}
_BY_CLASS: Final = {found: rule for rule, family in _FAMILIES.items() for found in family}

# Source: Amazon S3 API Reference, "List of error codes"; and codes of other servers.
_CODES: Final[dict[Rule, tuple[str, ...]]] = {
    Rule(kind=PermanentError, code="object_missing"): ("NoSuchKey", "NotFound", "404"),
    Rule(
        kind=PermanentError,
        code="storage_bucket_missing",
        hint="create the bucket, or correct storage.s3.bucket and endpoint_url",
    ): ("NoSuchBucket",),
    _DENIED: (
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "AccountProblem",
        "NotSignedUp",
        "403",
    ),
    _CREDENTIALS_WRONG: (
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidSecurity",
        "AuthorizationHeaderMalformed",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidToken",
    ),
    _CREDENTIALS_EXPIRED: ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"),
    Rule(
        kind=PermanentError,
        code="storage_clock_skew",
        hint="set this host's clock; S3 refuses requests that are 15 minutes off",
    ): ("RequestTimeTooSkewed", "RequestExpired"),
    _REGION: (
        "PermanentRedirect",
        "IllegalLocationConstraintException",
        "301",
        "302",
        "308",
    ),
    _SLOW_DOWN: ("SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "TooManyRequests"),
    _UNAVAILABLE: (
        "InternalError",
        "ServiceUnavailable",
        "RequestTimeout",
        # While DNS learns of a new bucket.
        "TemporaryRedirect",
        "Redirect",
        "307",
        "XMinioServerNotInitialized",
        "500",
        "502",
        "503",
        "504",
    ),
    Rule(kind=TransientError, code="storage_conflict"): (
        "ConditionalRequestConflict",
        "OperationAborted",
    ),
    _DAMAGED: (
        "BadDigest",
        "IncompleteBody",
        "XAmzContentSHA256Mismatch",
        "XAmzContentChecksumMismatch",
    ),
    _ENCRYPTION: (
        "KMS.DisabledException",
        "KMS.InvalidStateException",
        "KMS.InvalidKeyUsageException",
        "KMS.KMSInvalidStateException",
        "KMS.NotFoundException",
        "KMS.DisabledException",
        "ServerSideEncryptionConfigurationNotFoundError",
    ),
    Rule(
        kind=PermanentError,
        code="storage_archived",
        hint="the object lies in an archive class; restore it there first",
    ): ("InvalidObjectState",),
    Rule(
        kind=PermanentError,
        code="storage_full",
        hint="make room in the storage, or raise its quota",
    ): ("QuotaExceeded", "XMinioStorageFull", "EntityTooLarge"),
    Rule(kind=PermanentError, code="bad_key"): ("KeyTooLongError",),
    Rule(kind=PermanentError, code="storage_unsupported"): (
        "NotImplemented",
        "MethodNotAllowed",
        "501",
    ),
}
_BY_CODE: Final = {code: rule for rule, codes in _CODES.items() for code in codes}

# The permission that each request needs.
_ACTIONS: Final = {
    "PutObject": "s3:PutObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
}

# What OpenSSL says when trying again cannot help.
_TLS_FOR_GOOD: Final = ("CERTIFICATE", "WRONG_VERSION", "doesn't match", "ca certificates")

# What a store may fail with from below; anything else is a mistake of ours.
FAILURES: Final = (BotoCoreError, ClientError, HTTPError, ResponseParserError, OSError, ValueError)


def rule_of_class(found: type[BaseException]) -> Rule | None:
    """Return the rule of the nearest class that has one; None if nobody thought of it."""
    return next((_BY_CLASS[base] for base in found.__mro__ if base in _BY_CLASS), None)


def translate(error: Exception, operation: str, where: str) -> AgentError:
    """Return our error for one of botocore's; ``where`` names the object or the bucket."""
    if isinstance(error, ClientError):
        return _translate_answer(error, where)
    rule = rule_of_class(type(error))
    if rule is None:
        rule = _rule_of_builtin(error)
    if isinstance(error, boto.SSLError) and not any(sign in str(error) for sign in _TLS_FOR_GOOD):
        rule = _UNREACHABLE
    return _make(rule, f"{operation} of {where} failed: {_one_line(error)}", where)


def _rule_of_builtin(error: Exception) -> Rule:
    if isinstance(error, ConnectionError | TimeoutError):
        return _INTERRUPTED
    # A missing file of certificates, an address that is none, a damaged token file.
    return _MISCONFIGURED if isinstance(error, OSError | ValueError) else _OURS


def answer_code(error: ClientError) -> str:
    """Return S3's own code of an answer, or its HTTP status."""
    return str(error.response.get("Error", {}).get("Code") or answer_status(error))


def answer_status(error: ClientError) -> int:
    """Return the HTTP status of an answer; 0 if there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def rule_of_answer(code: str, status: int) -> Rule:
    """Return the rule for S3's code, else for the HTTP status."""
    rule = _BY_CODE.get(code)
    if rule is None and code.startswith("KMS."):
        rule = _ENCRYPTION
    if rule is None:
        rule = _BY_CODE.get(str(status))
    if rule is None and status == 429:  # noqa: PLR2004 - too many requests
        rule = _SLOW_DOWN
    if rule is None and status >= 500:  # noqa: PLR2004 - the server's own failures
        rule = _UNAVAILABLE
    return rule or Rule(kind=PermanentError, code="storage_refused")


def _translate_answer(error: ClientError, where: str) -> AgentError:
    code, status = answer_code(error), answer_status(error)
    rule = rule_of_answer(code, status)
    said = error.response.get("Error", {}).get("Message", "") or "no reason given"
    text = f"{error.operation_name} of {where} failed: {code}: {said}"
    region = _true_region(error)
    if region:
        rule = Rule(kind=_REGION.kind, code=_REGION.code, hint=f"set storage.s3.region to {region}")
    if rule is _DENIED:
        rule = Rule(
            kind=rule.kind, code=rule.code, hint=_hint_for_denied(error.operation_name, said)
        )
    return _make(rule, text, where)


def _true_region(error: ClientError) -> str:
    """Return the region that S3 names when a request went to another one."""
    said: Mapping[str, Any] = error.response.get("Error", {})
    code = answer_code(error)
    if code == "AuthorizationHeaderMalformed":
        return str(said.get("Region", ""))
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region", "") if _BY_CODE.get(code) is _REGION else ""


def _hint_for_denied(operation: str, said: str) -> str:
    if "kms" in said.lower():
        return "allow kms:GenerateDataKey and kms:Decrypt on the key"
    action = _ACTIONS.get(operation, operation)
    hint = f"allow {action} on the bucket"
    if operation == "PutObject":
        return f"{hint}; if its policy asks for encryption, set server_side_encryption"
    if operation == "GetObject":
        return f"{hint}, and s3:ListBucket, without which a missing object looks forbidden"
    return hint


def _make(rule: Rule, text: str, where: str) -> AgentError:
    return rule.kind(rule.code, text, hint=rule.hint, object=where)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
