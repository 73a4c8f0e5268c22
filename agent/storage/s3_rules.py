"""Which of our errors stands for what botocore raises and S3 answers.

Every exception class of botocore stands in one of the families below, and a test proves it, so
that a new release cannot bring one that nobody thought about.
"""

from dataclasses import dataclass
from typing import Final

from botocore import exceptions as boto
from botocore.discovery import EndpointDiscoveryException
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from agent.core.errors import AgentError, PermanentError, TransientError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which of our errors one of theirs becomes."""

    kind: type[AgentError]
    code: str
    hint: str = ""


UNREACHABLE: Final = Rule(
    kind=TransientError,
    code="storage_unreachable",
    hint="check endpoint_url and region, DNS, proxy and firewall",
)
INTERRUPTED: Final = Rule(kind=TransientError, code="storage_interrupted")
TOO_SLOW: Final = Rule(
    kind=TransientError,
    code="storage_too_slow",
    hint="less than 4 KiB a second came or went: look at the line to the storage, and at the"
    " storage itself",
)
_NO_CREDENTIALS: Final = Rule(
    kind=PermanentError,
    code="no_credentials",
    hint="docs/aws-access.md says where credentials may come from",
)
_CREDENTIAL_SOURCE: Final = Rule(
    kind=TransientError,
    code="credentials_unavailable",
    hint="the source of the credentials did not answer as it should",
)
_CREDENTIALS_WRONG: Final = Rule(
    kind=PermanentError,
    code="credentials_wrong",
    hint="check access_key_id and secret_access_key where the credentials come from, which"
    " credential_source in the status names",
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
MISCONFIGURED: Final = Rule(
    kind=PermanentError,
    code="storage_misconfigured",
    hint="check the storage block, and AWS_* variables and files of the agent's user",
)
OURS: Final = Rule(
    kind=PermanentError, code="storage_failed", hint="this should not happen; please report it"
)
_SLOW_DOWN: Final = Rule(
    kind=TransientError, code="storage_slow_down", hint="the storage asks for fewer requests"
)
_UNAVAILABLE: Final = Rule(kind=TransientError, code="storage_unavailable")
_DAMAGED: Final = Rule(kind=TransientError, code="storage_transfer_damaged")
DENIED: Final = Rule(kind=PermanentError, code="storage_denied")
REGION: Final = Rule(
    kind=PermanentError,
    code="storage_wrong_region",
    hint="set storage.s3.region to the region of the bucket; or endpoint_url to the address that"
    " the server redirects to, https:// perhaps",
)
KMS_KEY: Final = Rule(
    kind=PermanentError,
    code="storage_encryption",
    hint="check storage.s3.server_side_encryption.kms_key_id, that the key is enabled and in the"
    " bucket's region, and kms:GenerateDataKey and kms:Decrypt",
)
CUSTOMER_KEY: Final = Rule(
    kind=PermanentError,
    code="storage_customer_key",
    hint="give the sse_customer_key with which the object was written, in"
    " storage.s3.server_side_encryption",
)

_FAMILIES: Final[dict[Rule, tuple[type[Exception], ...]]] = {
    UNREACHABLE: (
        boto.ConnectionError,
        EndpointDiscoveryException,
    ),
    INTERRUPTED: (
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
    MISCONFIGURED: (
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
    OURS: (
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
    DENIED: (
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
    REGION: (
        "PermanentRedirect",
        "IllegalLocationConstraintException",
        "301",
        "302",
        "308",
    ),
    _SLOW_DOWN: (
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "Throttling",
        "ThrottlingException",
        # KMS has fewer to give than S3; bucket keys need it less often.
        "KMS.ThrottlingException",
        "TooManyRequests",
    ),
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
    KMS_KEY: (
        "KMS.DisabledException",
        "KMS.InvalidStateException",
        "KMS.InvalidKeyUsageException",
        "KMS.KMSInvalidStateException",
        "KMS.NotFoundException",
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


def rule_of_class(found: type[BaseException]) -> Rule | None:
    """Return the rule of the nearest class that has one; None if nobody thought of it."""
    return next((_BY_CLASS[base] for base in found.__mro__ if base in _BY_CLASS), None)


def rule_of_answer(code: str, status: int) -> Rule:
    """Return the rule for S3's code, else for the HTTP status."""
    rule = _BY_CODE.get(code)
    if rule is None and code.startswith("KMS.") and status < 500:  # noqa: PLR2004 - see below
        rule = KMS_KEY
    if rule is None:
        rule = _BY_CODE.get(str(status))
    if rule is None and status == 429:  # noqa: PLR2004 - too many requests
        rule = _SLOW_DOWN
    if rule is None and status >= 500:  # noqa: PLR2004 - the server's own failures
        rule = _UNAVAILABLE
    return rule or Rule(kind=PermanentError, code="storage_refused")
