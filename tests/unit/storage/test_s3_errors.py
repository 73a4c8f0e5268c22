"""Every error of botocore is one of ours."""

import base64
import inspect
import string
from collections.abc import Iterator

import botocore.exceptions
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from pydantic import SecretStr

from agent.core.errors import AgentError, PermanentError, TransientError
from agent.settings import EncryptionSettings
from agent.storage.s3_errors import FAILURES, missing_action, translate
from agent.storage.s3_rules import rule_of_answer, rule_of_class


def classes(root: type[BaseException]) -> Iterator[type[BaseException]]:
    """Yield every class below a class that botocore defines."""
    for found in root.__subclasses__():
        if found.__module__.startswith("botocore"):
            yield found
        yield from classes(found)


def every_class() -> list[type[BaseException]]:
    """Return each exception class of botocore, but for answers, which are judged by their code."""
    exported = [
        found
        for _, found in inspect.getmembers(botocore.exceptions, inspect.isclass)
        if issubclass(found, BotoCoreError)
    ]
    found = {*classes(BotoCoreError), *exported, ResponseParserError}
    return sorted(found - {BotoCoreError}, key=lambda each: each.__name__)


def made(kind: type[BaseException]) -> Exception:
    """Make an error with the fields that its message asks for."""
    if kind is botocore.exceptions.WaiterError:
        return botocore.exceptions.WaiterError("bucket_exists", "too many tries", {})
    fields = {name for _, name, _, _ in string.Formatter().parse(getattr(kind, "fmt", "")) if name}
    error = kind(**dict.fromkeys(fields, "told")) if fields else kind()
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
def test_every_class_of_botocore_is_translated(kind: type[BaseException]) -> None:
    """A release of botocore that brings a new one fails here until somebody thought about it."""
    assert rule_of_class(kind) is not None
    error = made(kind)
    assert isinstance(error, FAILURES)
    ours = translate(error, "PutObject", "rs/one")
    assert isinstance(ours, PermanentError | TransientError)
    assert "PutObject of rs/one" in ours.message
    assert "\n" not in ours.message


def test_the_walk_finds_the_classes() -> None:
    """The test above would be worth nothing if it walked past them."""
    names = {kind.__name__ for kind in every_class()}
    assert {"EndpointConnectionError", "NoCredentialsError", "SSLError", "ProfileNotFound"} < names
    assert len(names) > 70


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", PermanentError, "storage_tls"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version", PermanentError, "storage_tls"),
        ("EOF occurred in violation of protocol", TransientError, "storage_unreachable"),
    ],
)
def test_only_lasting_troubles_of_tls_are_for_good(
    said: str, kind: type[AgentError], code: str
) -> None:
    """A handshake that broke off may go through the next time."""
    error = botocore.exceptions.SSLError(endpoint_url="https://s3", error=OSError(said))
    ours = translate(error, "PutObject", "k")
    assert (type(ours), ours.code) == (kind, code)


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("PutObject", "s3:PutObject"),
        ("GetObject", "s3:GetObject"),
        ("ListObjectsV2", "s3:ListBucket"),
        ("DeleteObjects", "s3:DeleteObject"),
    ],
)
def test_a_denied_request_names_the_permission(operation: str, action: str) -> None:
    """The action to allow stands in the hint."""
    answer = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)
    ours = translate(answer, operation, "k")
    assert ours.code == "storage_denied"
    assert action in ours.hint


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("User: x is not authorized to perform: kms:GenerateDataKey on resource: y", "allow kms:G"),
        (
            "The ciphertext refers to a KMS key that you may not use",
            "allow kms:GenerateDataKey and",
        ),
    ],
)
def test_a_denied_key_is_not_a_denied_bucket(said: str, expected: str) -> None:
    """S3 says AccessDenied also when it is KMS that refuses."""
    ours = translate(_answer("AccessDenied", said), "PutObject", "k")
    assert ours.code == "storage_encryption"
    assert expected in ours.hint


def _answer(code: str, said: str, operation: str = "PutObject") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": said}}, operation)


AES = EncryptionSettings(algorithm="AES256")
OWN = EncryptionSettings(sse_customer_key=SecretStr(base64.b64encode(bytes(32)).decode()))


@pytest.mark.parametrize(
    ("encryption", "expected"),
    [
        (None, "set storage.s3.server_side_encryption"),
        (AES, "correct storage.s3.server_side_encryption.algorithm"),
        (OWN, "BlockedEncryptionTypes"),
    ],
)
def test_a_denied_upload_names_the_encryption_that_may_be_wanted(
    encryption: EncryptionSettings | None, expected: str
) -> None:
    """S3 does not say that the bucket's policy is about encryption."""
    said = "User: x is not authorized to perform: s3:PutObject with an explicit deny"
    ours = translate(_answer("AccessDenied", said), "PutObject", "k", encryption)
    assert ours.code == "storage_denied"
    assert "s3:PutObject" in ours.hint
    assert expected in ours.hint


@pytest.mark.parametrize(
    ("code", "said", "encryption"),
    [
        ("InvalidRequest", "The object was stored using a form of Server Side Encryption.", None),
        (
            "AccessDenied",
            "Requests specifying Server Side Encryption with Customer provided keys must ...",
            OWN,
        ),
        ("InvalidRequest", "The encryption parameters are not applicable to this object.", OWN),
        ("AccessDenied", "Access Denied", OWN),
        ("403", "Forbidden", OWN),
    ],
)
def test_a_wrong_key_of_the_customer_has_a_code_of_its_own(
    code: str, said: str, encryption: EncryptionSettings | None
) -> None:
    """In whatever words S3 says it, and in none."""
    ours = translate(_answer(code, said, "GetObject"), "GetObject", "k", encryption)
    assert (type(ours), ours.code) == (PermanentError, "storage_customer_key")
    assert "sse_customer_key" in ours.hint


@pytest.mark.parametrize("encryption", [None, AES, OWN])
def test_a_denied_read_is_not_taken_for_a_wrong_key(
    encryption: EncryptionSettings | None,
) -> None:
    """Where S3 names the action that is missing."""
    said = "User: x is not authorized to perform: s3:GetObject on resource: y"
    ours = translate(_answer("AccessDenied", said, "GetObject"), "GetObject", "k", encryption)
    assert ours.code == "storage_denied"


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("", 403, "storage_denied"),
        ("Unheard", 404, "object_missing"),
        ("KMS.Unheard", 400, "storage_encryption"),
        ("KMS.Unheard", 500, "storage_unavailable"),
        ("KMS.ThrottlingException", 400, "storage_slow_down"),
        ("Unheard", 400, "storage_refused"),
        ("Unheard", 503, "storage_unavailable"),
        ("NoSuchBucket", 404, "storage_bucket_missing"),
    ],
)
def test_an_unknown_code_is_judged_by_the_status(code: str, status: int, expected: str) -> None:
    """Other servers have words of their own."""
    assert rule_of_answer(code, status).code == expected


@pytest.mark.parametrize(
    ("operation", "code", "said", "expected"),
    [
        ("PutObject", "AccessDenied", "no", "s3:PutObject"),
        ("GetBucketEncryption", "AccessDenied", "no", "s3:GetEncryptionConfiguration"),
        ("PutObject", "AccessDenied", "may not do kms:Decrypt on it", "kms:Decrypt"),
        ("PutObject", "AccessDenied", "the KMS key says no", "kms:GenerateDataKey"),
        ("HeadObject", "AccessDenied", "the KMS key says no", "kms:Decrypt"),
        ("PutObject", "KMS.DisabledException", "the KMS key is off", None),
        ("ListObjectsV2", "NoSuchBucket", "none", None),
    ],
)
def test_the_missing_action_of_a_denial_is_known(
    operation: str, code: str, said: str, expected: str | None
) -> None:
    """That of the request, or of the key behind it; nothing is missing where nothing is denied."""
    answer = ClientError({"Error": {"Code": code, "Message": said}}, operation)
    assert expected == missing_action(translate(answer, operation, "it"), operation)
