"""What only S3 has: credentials, regions, encryption, TLS, addressing, and answers that fail."""

import base64
import functools
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agent.aws.session import Access
from agent.core.errors import AgentError, ConfigError, PermanentError, TransientError
from agent.core.flow import Stop
from agent.core.retry import RetryPolicy
from agent.settings import CredentialSettings, EncryptionSettings, S3Settings
from agent.storage.retrying import RetryingStore
from agent.storage.s3 import S3Store
from agent.storage.size import LARGEST_OBJECT_BYTES
from tests.fakes.http_server import Answer, Request, s3_error, serving
from tests.testbed.aws import AwsServer
from tests.testbed.loopback import free_port
from tests.testbed.s3 import Bucket, FastS3Server, S3Server

TLS_FILES = Path(__file__).parent / "tls"
KEYS = CredentialSettings(
    access_key_id=SecretStr("AKIATEST"), secret_access_key=SecretStr("secret-of-the-test")
)


def settings_of(bucket: Bucket, **changes: object) -> S3Settings:
    """Return the settings of a test's own prefix, with changes."""
    settings = S3Settings(
        bucket=bucket.name,
        prefix=bucket.prefix,
        endpoint_url=bucket.server.endpoint_url,
        credentials=CredentialSettings(
            access_key_id=SecretStr(bucket.server.access_key_id),
            secret_access_key=SecretStr(bucket.server.secret_access_key),
        ),
    )
    return settings.model_copy(update=changes)


def at(url: str, **changes: object) -> S3Settings:
    """Return settings for a server that the test wrote."""
    settings = S3Settings(bucket="bucket", endpoint_url=url, credentials=KEYS)
    return settings.model_copy(update=changes)


def store_of(settings: S3Settings) -> S3Store:
    """Open a store."""
    return S3Store(settings, lambda: Access(settings, {}).connect())


def customer_key(number: int) -> EncryptionSettings:
    """Return encryption by a key of the customer's."""
    key = base64.b64encode(bytes([number]) * 32).decode()
    return EncryptionSettings(sse_customer_key=SecretStr(key))


def error_of(call: Callable[[], object]) -> AgentError:
    """Return the error that a call ends with."""
    with pytest.raises(AgentError) as caught:
        call()
    return caught.value


def _always(answer: Answer, _request: Request) -> Answer:
    return answer


class TestRealServer:
    """Over SeaweedFS, which checks signatures and checksums."""

    def test_objects_lie_under_the_prefix(self, bucket: Bucket) -> None:
        """Another program finds the object where the layout says."""
        store_of(settings_of(bucket)).put("rs/one", b"content")
        client = bucket.server.client()
        answer = client.get_object(Bucket=bucket.name, Key=f"{bucket.prefix}/rs/one")
        assert answer["Body"].read() == b"content"
        client.close()

    @pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
    def test_either_check_of_content_is_accepted(self, bucket: Bucket, checksums: str) -> None:
        """A CRC32 in a header, and a SHA-256 in the signature."""
        store = store_of(settings_of(bucket, checksums=checksums))
        store.put("rs/one", bytearray(b"x" * 300_000))
        assert store.get("rs/one") == b"x" * 300_000

    def test_without_conditions_nothing_is_overwritten_either(self, bucket: Bucket) -> None:
        """With conditional_puts off, the object is looked for first."""
        store = store_of(settings_of(bucket, conditional_puts=False))
        store.put("rs/one", b"content")
        store.put("rs/one", b"content")
        assert error_of(lambda: store.put("rs/one", b"other")).code == "object_exists"
        assert store.get("rs/one") == b"content"

    def test_encryption_is_asked_for(self, bucket: Bucket) -> None:
        """The server says that it keeps the object encrypted, and gives it back."""
        encryption = EncryptionSettings(algorithm="AES256")
        store = store_of(settings_of(bucket, server_side_encryption=encryption))
        store.put("rs/one", b"content")
        client = bucket.server.client()
        answer = client.head_object(Bucket=bucket.name, Key=f"{bucket.prefix}/rs/one")
        assert answer["ServerSideEncryption"] == "AES256"
        assert store.get("rs/one") == b"content"
        client.close()

    def test_a_key_of_the_customer_goes_with_every_request(self, bucket: Bucket) -> None:
        """Written, found to be the same, read; a wrong key and none have an error of their own."""
        store = store_of(settings_of(bucket, server_side_encryption=customer_key(1)))
        store.put("rs/one", b"content")
        store.put("rs/one", b"content")
        assert store.get("rs/one") == b"content"
        client = bucket.server.client()
        with pytest.raises(client.exceptions.ClientError):
            client.get_object(Bucket=bucket.name, Key=f"{bucket.prefix}/rs/one")
        client.close()
        for changes in ({"server_side_encryption": customer_key(2)}, {}):
            other = store_of(settings_of(bucket, **changes))
            error = error_of(functools.partial(other.get, "rs/one"))
            assert (type(error), error.code) == (PermanentError, "storage_customer_key")
            assert "sse_customer_key" in error.hint

    def test_without_conditions_a_key_of_the_customer_is_used_too(self, bucket: Bucket) -> None:
        """The object is looked for by HEAD, which needs the key."""
        store = store_of(
            settings_of(bucket, server_side_encryption=customer_key(1), conditional_puts=False)
        )
        store.put("rs/one", b"content")
        assert error_of(lambda: store.put("rs/one", b"other")).code == "object_exists"

    def test_the_bucket_may_stand_in_the_host_name(
        self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Virtual-host addressing: the server itself is the proxy that knows the name."""
        monkeypatch.setenv("http_proxy", bucket.server.endpoint_url)
        monkeypatch.setenv("no_proxy", "")
        url = bucket.server.endpoint_url.replace("127.0.0.1", "s3.localhost")
        store = store_of(settings_of(bucket, endpoint_url=url, force_path_style=False))
        store.put("rs/a b/ünï", b"content")
        assert store.get("rs/a b/ünï") == b"content"
        assert [stored.key for stored in store.list("rs/")] == ["rs/a b/ünï"]
        path_style = store_of(settings_of(bucket))
        monkeypatch.delenv("http_proxy")
        assert path_style.get("rs/a b/ünï") == b"content"

    @pytest.mark.parametrize(
        "method", [lambda s: s.put("k", b"x"), lambda s: s.get("k"), lambda s: s.probe()]
    )
    def test_a_missing_bucket_is_named(
        self, bucket: Bucket, method: Callable[[S3Store], None]
    ) -> None:
        """Every call says that the bucket is not there, and what to do."""
        error = error_of(
            lambda: method(
                store_of(settings_of(bucket).model_copy(update={"bucket": "no-such-bucket"}))
            )
        )
        assert (type(error), error.code) == (PermanentError, "storage_bucket_missing")
        assert "storage.s3.bucket" in error.hint

    def test_an_unknown_access_key_is_told(self, bucket: Bucket) -> None:
        """The error names the setting, and shows no secret."""
        error = error_of(lambda: store_of(settings_of(bucket, credentials=KEYS)).probe())
        assert (type(error), error.code) == (PermanentError, "credentials_wrong")
        assert "access_key_id" in error.hint
        assert "secret-of-the-test" not in error.message + error.hint

    def test_a_wrong_secret_is_told(self, bucket: Bucket) -> None:
        """A signature that does not match is the same mistake as an unknown key."""
        wrong = CredentialSettings(
            access_key_id=SecretStr(bucket.server.access_key_id),
            secret_access_key=SecretStr("secret-of-the-test"),
        )
        error = error_of(lambda: store_of(settings_of(bucket, credentials=wrong)).put("k", b"x"))
        assert (type(error), error.code) == (PermanentError, "credentials_wrong")

    def test_a_frozen_server_times_out(self) -> None:
        """A server that takes connections and never answers costs the read timeout, not more."""
        with S3Server.start() as server:
            frozen = Bucket(server=server, name=server.create_bucket(), prefix="p")
            store = store_of(settings_of(frozen, read_timeout_s=0.5, connect_timeout_s=0.5))
            store.put("k", b"x")
            server.pause()
            began = time.monotonic()
            error = error_of(lambda: store.get("k"))
            server.resume()
        assert (type(error), error.code) == (TransientError, "storage_interrupted")
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("has_conditions", [True, False])
def test_objects_from_before_there_was_a_customer_key_are_read(
    aws_server: AwsServer, *, has_conditions: bool
) -> None:
    """MiniStack refuses the key for them, as Amazon does; the key can be set at any time."""
    bucket = Bucket(server=aws_server, name=aws_server.create_bucket(), prefix="p")
    store_of(settings_of(bucket)).put("rs/old", b"content")
    keyed = store_of(
        settings_of(bucket, server_side_encryption=customer_key(1), conditional_puts=has_conditions)
    )
    assert keyed.get("rs/old") == b"content"
    keyed.put("rs/old", b"content")
    assert error_of(lambda: keyed.put("rs/old", b"other")).code == "object_exists"
    assert error_of(lambda: keyed.get("rs/none")).code == "object_missing"


def test_a_server_without_checksums_or_batch_deletes_works_too() -> None:
    """JuiceFS's gateway: signed uploads, and objects listed and deleted."""
    with FastS3Server.start() as server:
        settings = S3Settings(
            bucket=server.create_bucket(),
            endpoint_url=server.endpoint_url,
            checksums="when_required",
            conditional_puts=False,
            credentials=CredentialSettings(
                access_key_id=SecretStr(server.access_key_id),
                secret_access_key=SecretStr(server.secret_access_key),
            ),
        )
        store = store_of(settings)
        keys = ["rs/a-b", "rs/a/b", "rs/a/c d", "rs/per%25cent"]
        for key in keys:
            store.put(key, key.encode())
        assert error_of(lambda: store.put("rs/a-b", b"other")).code == "object_exists"
        assert [stored.key for stored in store.list("rs/")] == keys
        assert [store.get(key) for key in keys] == [key.encode() for key in keys]
        store.delete([*keys, "rs/never"])
        assert list(store.list("")) == []


class TestReachability:
    """What an operator sees when the way to the server is broken."""

    def test_nobody_listens(self) -> None:
        """A refused connection fails at once, and may pass."""
        url = f"http://127.0.0.1:{free_port()}"
        error = error_of(lambda: store_of(at(url)).probe())
        assert (type(error), error.code) == (TransientError, "storage_unreachable")
        assert url in error.message
        assert "endpoint_url" in error.hint

    def test_retries_end(self) -> None:
        """A storage that stays away is given up after the limit, with the cause as the error."""
        inner = store_of(at(f"http://127.0.0.1:{free_port()}"))
        tries: list[int] = []
        store = RetryingStore(
            inner,
            RetryPolicy(limit_s=1.5, first_wait_s=0.01, longest_wait_s=0.05),
            Stop(),
            lambda _error, number: tries.append(number),
        )
        # Making the client takes time of its own.
        assert error_of(inner.probe).code == "storage_unreachable"
        began = time.monotonic()
        assert error_of(lambda: store.put("k", b"x")).code == "storage_unreachable"
        assert 0.5 < time.monotonic() - began < 30
        assert tries == list(range(1, len(tries) + 1))
        assert len(tries) > 1

    def test_an_unknown_host_may_pass(self) -> None:
        """DNS has outages like anything else."""
        error = error_of(lambda: store_of(at("http://no-such-host.invalid")).probe())
        assert (type(error), error.code) == (TransientError, "storage_unreachable")

    def test_a_silent_listener_times_out_while_connecting_over_tls(self) -> None:
        """A port that accepts and says nothing costs a timeout."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            error = error_of(lambda: store_of(at(url, connect_timeout_s=0.3)).probe())
        assert (type(error), error.code) == (TransientError, "storage_interrupted")

    def test_a_slow_line_is_not_a_timeout(self) -> None:
        """An upload may take longer than the timeout, as long as it goes on."""
        body = bytearray(b"x" * 8_000_000)
        with socket.socket() as listener:
            # A small window, and a reader that rests: the upload takes two seconds.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            store = store_of(at(url, connect_timeout_s=1.5, read_timeout_s=10.0))
            took = _drain_slowly(listener)
            began = time.monotonic()
            store.put("k", body)
            assert time.monotonic() - began > 1.5
            assert took() >= len(body)

    def test_no_region_and_no_endpoint_is_a_mistake_in_the_settings(self) -> None:
        """Amazon needs a region, and the error says where it may stand."""
        settings = S3Settings(bucket="bucket", credentials=KEYS)
        error = error_of(lambda: store_of(settings).probe())
        assert (type(error), error.code) == (ConfigError, "config_missing")
        assert "storage.s3.region" in error.message

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [({}, "eu-west-1"), ({"AWS_REGION": "eu-central-1"}, "eu-west-1")],
    )
    def test_the_region_in_the_settings_wins(
        self, environment: dict[str, str], expected: str
    ) -> None:
        """What is written counts more than what is inherited."""
        settings = S3Settings(bucket="bucket", region="eu-west-1", credentials=KEYS)
        client = Access(settings, environment).connect()
        assert client.meta.region_name == expected
        assert client.meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
        client.close()

    def test_aws_region_is_read(self) -> None:
        """EKS and ECS set AWS_REGION, which botocore does not look at."""
        settings = S3Settings(bucket="bucket", credentials=KEYS)
        client = Access(settings, {"AWS_REGION": "eu-central-1"}).connect()
        assert client.meta.region_name == "eu-central-1"
        client.close()


def _drain_slowly(listener: socket.socket) -> Callable[[], int]:
    """Read one upload a piece at a time, then answer it; return how to learn what came."""
    seen = [0]

    def drain() -> None:
        connection, _ = listener.accept()
        with connection:
            head = connection.recv(65_536)
            at_body = head.index(b"\r\n\r\n") + 4
            seen[0] = len(head) - at_body
            rest = threading.Event()
            while seen[0] < 8_000_000:
                rest.wait(0.009)
                seen[0] += len(connection.recv(32_768))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()

    def took() -> int:
        thread.join(5)
        return seen[0]

    return took


class TestTls:
    """Over a server of the test's own, whose certificate a private authority signed."""

    @staticmethod
    def context() -> ssl.SSLContext:
        """Return the server's side."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS_FILES / "server.pem")
        return context

    def test_a_private_authority_is_trusted_where_it_is_named(self) -> None:
        """With ca_file, an upload goes through, checked by its CRC32 in a header."""
        with serving(lambda _request: Answer(), self.context()) as server:
            store_of(at(server.url, ca_file=TLS_FILES / "authority.pem")).put("k", b"content")
        crc = base64.b64encode(zlib.crc32(b"content").to_bytes(4, "big")).decode()
        assert server.requests[0].headers["x-amz-checksum-crc32"] == crc
        assert server.requests[0].body == b"content"

    def test_a_private_authority_is_not_trusted_by_itself(self) -> None:
        """Certificates are verified by default, and the error names the mend."""
        with serving(lambda _request: Answer(), self.context()) as server:
            error = error_of(lambda: store_of(at(server.url)).put("k", b"x"))
        assert (type(error), error.code) == (PermanentError, "storage_tls")
        assert "ca_file" in error.hint
        assert server.requests == []

    @pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
    def test_verification_can_be_switched_off(self) -> None:
        """For tests, any certificate will do."""
        with serving(lambda _request: Answer(), self.context()) as server:
            store_of(at(server.url, insecure_skip_tls_verify=True)).put("k", b"content")
        assert server.requests[0].body == b"content"

    def test_https_to_a_server_without_tls_is_a_mistake(self) -> None:
        """It does not get better by trying again."""
        with serving(lambda _request: Answer()) as server:
            url = server.url.replace("http:", "https:")
            error = error_of(lambda: store_of(at(url)).probe())
        assert (type(error), error.code) == (PermanentError, "storage_tls")


class TestAnswers:
    """What S3 may say, one answer after another."""

    @pytest.mark.parametrize(
        ("status", "code", "kind", "expected", "hint"),
        [
            (403, "AccessDenied", PermanentError, "storage_denied", "s3:PutObject"),
            (403, "InvalidAccessKeyId", PermanentError, "credentials_wrong", "access_key_id"),
            (403, "SignatureDoesNotMatch", PermanentError, "credentials_wrong", "secret"),
            (400, "ExpiredToken", PermanentError, "credentials_expired", "fresh"),
            (403, "RequestTimeTooSkewed", PermanentError, "storage_clock_skew", "clock"),
            (404, "NoSuchBucket", PermanentError, "storage_bucket_missing", "bucket"),
            (301, "PermanentRedirect", PermanentError, "storage_wrong_region", "region"),
            (400, "KMS.NotFoundException", PermanentError, "storage_encryption", "kms_key_id"),
            (400, "InvalidArgument", PermanentError, "storage_refused", ""),
            (409, "ConditionalRequestConflict", TransientError, "storage_conflict", ""),
            (400, "BadDigest", TransientError, "storage_transfer_damaged", ""),
            (400, "RequestTimeout", TransientError, "storage_unavailable", ""),
            (429, "Whatever", TransientError, "storage_slow_down", ""),
            (500, "InternalError", TransientError, "storage_unavailable", ""),
            (503, "SlowDown", TransientError, "storage_slow_down", ""),
            (599, "Unheard", TransientError, "storage_unavailable", ""),
        ],
    )
    def test_an_error_of_s3_is_one_of_ours(
        self, status: int, code: str, kind: type[AgentError], expected: str, hint: str
    ) -> None:
        """Kind, code and hint of each, after exactly one request."""
        with serving(lambda _request: s3_error(status, code)) as server:
            error = error_of(lambda: store_of(at(server.url)).put("k", b"x"))
        assert (type(error), error.code) == (kind, expected)
        assert code in error.message
        assert hint in error.hint
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("answer", "status"),
        [
            (
                {
                    "body": b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>no</Message>"
                    b"<Region>eu-west-1</Region></Error>"
                },
                400,
            ),
            ({"headers": {"x-amz-bucket-region": "eu-west-1"}}, 301),
        ],
    )
    def test_the_region_that_s3_names_is_in_the_hint(
        self, answer: dict[str, Any], status: int
    ) -> None:
        """A bucket elsewhere says where."""
        with serving(lambda _request: Answer(status=status, **answer)) as server:
            error = error_of(lambda: store_of(at(server.url)).put("k", b"x"))
        assert (type(error), error.code) == (PermanentError, "storage_wrong_region")
        assert error.hint.endswith("eu-west-1")
        assert len(server.requests) == 1

    def test_a_page_of_html_may_pass(self) -> None:
        """A proxy that answers in its own words is not the storage's last word."""
        answer = Answer(status=502, body=b"<html><body>Bad gateway</body>")
        with serving(lambda _request: answer) as server:
            error = error_of(lambda: store_of(at(server.url)).probe())
        assert type(error) is TransientError

    def test_an_answer_that_is_no_xml_may_pass(self) -> None:
        """A damaged listing is asked for again, not believed."""
        with serving(lambda _request: Answer(body=b"<ListBucketResult><Con")) as server:
            error = error_of(lambda: list(store_of(at(server.url)).list("")))
        assert type(error) is TransientError

    def test_a_cut_download_is_never_a_short_object(self) -> None:
        """A body that ends before its announced length is an error, not an object."""
        with serving(lambda _request: Answer(body=b"half", announced_bytes=8)) as server:
            error = error_of(lambda: store_of(at(server.url)).get("k"))
        assert (type(error), error.code) == (TransientError, "storage_interrupted")

    def test_a_damaged_download_is_noticed(self) -> None:
        """A body that does not match the stored checksum is an error."""
        wrong = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-type": "FULL_OBJECT"}
        with serving(lambda _request: Answer(body=b"content", headers=wrong)) as server:
            error = error_of(lambda: store_of(at(server.url)).get("k"))
        assert (type(error), error.code) == (TransientError, "storage_transfer_damaged")

    @pytest.mark.parametrize("status", [501, 405])
    def test_a_server_without_conditions_is_noticed(self, status: int) -> None:
        """The object is looked for instead, for the first put and all after it."""

        def answer(request: Request) -> Answer:
            if "if-none-match" in request.headers:
                return s3_error(status, "NotImplemented")
            return Answer(status=404 if request.method == "HEAD" else 200)

        with serving(answer) as server:
            store = store_of(at(server.url))
            store.put("one", b"1")
            store.put("two", b"2")
        assert [(request.method, request.path) for request in server.requests] == [
            ("PUT", "/bucket/one"),
            ("HEAD", "/bucket/one"),
            ("PUT", "/bucket/one"),
            ("HEAD", "/bucket/two"),
            ("PUT", "/bucket/two"),
        ]

    def test_a_server_without_batch_deletes_is_noticed(self) -> None:
        """Objects are deleted one by one, and the batch is not tried again."""

        def answer(request: Request) -> Answer:
            if request.method == "POST":
                return s3_error(501, "NotImplemented")
            return Answer(status=404 if request.path.endswith("gone") else 204)

        with serving(answer) as server:
            store = store_of(at(server.url))
            store.delete(["a", "gone"])
            store.delete(["b"])
        assert [(request.method, request.path) for request in server.requests] == [
            ("POST", "/bucket?delete"),
            ("DELETE", "/bucket/a"),
            ("DELETE", "/bucket/gone"),
            ("DELETE", "/bucket/b"),
        ]

    def test_a_refusal_inside_a_batch_is_an_error(self) -> None:
        """S3 answers 200 and names what it did not delete."""
        body = (
            b"<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code>"
            b"<Message>no</Message></Error></DeleteResult>"
        )
        with serving(lambda _request: Answer(body=body)) as server:
            error = error_of(lambda: store_of(at(server.url)).delete(["a", "b"]))
        assert (type(error), error.code) == (PermanentError, "storage_denied")
        assert "s3:DeleteObject" in error.hint

    def test_keys_that_come_encoded_are_decoded(self) -> None:
        """Encoded as asked for and said so, and encoded without saying so."""
        for said in (b"<EncodingType>url</EncodingType>", b""):
            body = (
                b"<ListBucketResult>"
                + said
                + b"<IsTruncated>false</IsTruncated><Contents><Key>prod%2Frs%2Fa+b%2525</Key>"
                b"<Size>3</Size></Contents></ListBucketResult>"
            )
            with serving(functools.partial(_always, Answer(body=body))) as server:
                store = store_of(at(server.url, prefix="prod"))
                assert [stored.key for stored in store.list("rs/")] == ["rs/a b%25"]

    def test_an_upload_asks_for_what_the_settings_say(self) -> None:
        """Encryption, key, storage class and condition stand in the request."""
        encryption = EncryptionSettings(algorithm="aws:kms", kms_key_id="key-1")
        with serving(lambda _request: Answer()) as server:
            store_of(
                at(server.url, server_side_encryption=encryption, storage_class="STANDARD_IA")
            ).put("k", b"x")
        headers = server.requests[0].headers
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
        assert headers["x-amz-storage-class"] == "STANDARD_IA"
        assert headers["if-none-match"] == "*"
        assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        assert "expect" not in headers


def test_what_is_larger_than_any_object_is_not_read() -> None:
    """Whoever may write there could otherwise end an agent by its memory."""
    huge = Answer(body=b"{", announced_bytes=LARGEST_OBJECT_BYTES + 1)
    with serving(functools.partial(_always, huge)) as server:
        error = error_of(lambda: store_of(at(server.url)).get("rs/one"))
    assert "damaged_object" == error.code
    assert "rs/one" == error.facts["key"]
