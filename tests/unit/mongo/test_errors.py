"""Every error of pymongo and bson becomes one of ours."""

import inspect
from collections.abc import Iterator

import bson.errors
import pymongo.errors
import pytest
from bson.errors import BSONError
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from agent.core.errors import AgentError, ConfigError, PermanentError, TransientError
from agent.mongo.errors import server_code, translate, translated
from agent.mongo.refusals import refusals


def error_classes() -> Iterator[type[Exception]]:
    """Yield every class of error that the two libraries raise."""
    seen: set[type[Exception]] = set()
    for module in (pymongo.errors, bson.errors):
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, (PyMongoError, BSONError)) and found not in seen:
                seen.add(found)
                yield found


def make(kind: type[Exception]) -> Exception:
    """Make an error of any class as the library would."""
    if issubclass(kind, BulkWriteError):
        return kind({"writeErrors": [{"code": 2, "errmsg": "bad value"}]})
    if kind.__name__ == "ClientBulkWriteException":
        return pymongo.errors.ClientBulkWriteException({"error": None}, verbose=False)
    if kind.__name__ == "EncryptedCollectionError":
        return pymongo.errors.EncryptedCollectionError(Exception("cause"), {})
    if kind.__name__ == "EncryptionError":
        return pymongo.errors.EncryptionError(Exception("cause"))
    return kind("the message")


@pytest.mark.parametrize("kind", list(error_classes()), ids=lambda kind: kind.__name__)
def test_every_class_is_translated(kind: type[Exception]) -> None:
    """With a code of its own, and the library's error as the cause."""
    with pytest.raises(AgentError) as caught, translated():
        raise make(kind)
    assert caught.value.code not in {"", "mongodb_failed"} or kind in UNEXPECTED
    assert type(caught.value.__cause__) is kind
    assert type(caught.value) is not AgentError


# Never raised by what the agent calls, or only the base of others.
UNEXPECTED = {
    PyMongoError,
    pymongo.errors.CollectionInvalid,
    pymongo.errors.EncryptedCollectionError,
    pymongo.errors.EncryptionError,
    pymongo.errors.InvalidName,
    pymongo.errors.ProtocolError,
}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AutoReconnect("connection closed"), "mongodb_unreachable"),
        (NetworkTimeout("timed out"), "mongodb_unreachable"),
        (ServerSelectionTimeoutError("no servers"), "mongodb_unreachable"),
        (NotPrimaryError("not primary"), "no_primary"),
        (OperationFailure("stepping down", 11602), "mongodb_interrupted"),
        (OperationFailure("not primary", 10107), "mongodb_interrupted"),
        (OperationFailure("write conflict", 112), "mongodb_interrupted"),
        (OperationFailure("out of time", 50), "mongodb_timeout"),
        (WTimeoutError("waiting for replication timed out", 64), "mongodb_interrupted"),
        (WriteConcernError("shutdown in progress", 91), "mongodb_interrupted"),
        (
            OperationFailure("anything", 8, {"errorLabels": ["RetryableWriteError"]}),
            "mongodb_interrupted",
        ),
        (
            BulkWriteError({
                "writeErrors": [],
                "writeConcernErrors": [{"code": 64, "errmsg": "slow"}],
            }),
            "mongodb_interrupted",
        ),
    ],
)
def test_what_passes_by_itself_is_transient(error: Exception, code: str) -> None:
    """Elections, networks and unmet write concerns may be tried again."""
    found = translate(error)
    assert isinstance(found, TransientError)
    assert code == found.code


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (26, "collection_gone"),
        (43, "cursor_gone"),
        (72, "mongodb_invalid_options"),
        (121, "bad_command"),
        (175, "collection_gone"),
        (237, "cursor_gone"),
        (239, "snapshot_too_old"),
        (246, "snapshot_too_old"),
        (11000, "duplicate_key"),
        (14031, "mongodb_disk_full"),
        (2, "mongodb_refused"),
    ],
)
def test_what_stays_wrong_is_permanent(number: int, code: str) -> None:
    """Each of the server's codes that somebody acts on has a name."""
    found = translate(OperationFailure("the message", number))
    assert isinstance(found, PermanentError)
    assert code == found.code


def test_a_missing_privilege_is_named_without_the_data() -> None:
    """The server repeats the whole command, with its data; we do not."""
    text = 'not authorized on shop to execute command { insert: "x", documents: [ { pin: 4711 } ] }'
    found = translate(OperationFailure(text, 13))
    assert found.code == "mongodb_privilege_missing"
    assert found.message == "the user lacks the privilege for insert on the database shop"
    assert "backstay init" in found.hint


def test_a_command_that_needs_a_login_points_to_the_uri() -> None:
    """Without a user in the URI, privileges are not what is missing."""
    found = translate(OperationFailure("command find requires authentication", 13))
    assert isinstance(found, ConfigError)
    assert "mongodb.uri" in found.hint


def test_a_refused_login_is_a_matter_of_configuration() -> None:
    """The hint names what to look at."""
    found = translate(OperationFailure("Authentication failed.", 18))
    assert isinstance(found, ConfigError)
    assert found.code == "mongodb_login_failed"


def test_a_certificate_that_nobody_vouches_for_has_a_hint() -> None:
    """Verification stays on; the mend is to name the authority."""
    error = ServerSelectionTimeoutError("a:1: [SSL: CERTIFICATE_VERIFY_FAILED] unable to get")
    assert "tlsCAFile" in translate(error).hint


def test_callers_may_translate_some_codes_otherwise() -> None:
    """What a code means can depend on the call."""
    special = {50: lambda error: TransientError("node_behind", str(error))}
    with pytest.raises(TransientError) as caught, translated(special):
        raise OperationFailure("out of time", 50)
    assert caught.value.code == "node_behind"


def test_our_own_errors_pass() -> None:
    """Translating twice changes nothing."""
    with pytest.raises(PermanentError) as caught, translated():
        raise PermanentError("x", "y")
    assert caught.value.code == "x"


def test_a_bad_option_is_a_matter_of_configuration() -> None:
    """Pymongo refuses it before anything is sent."""
    assert isinstance(translate(ConfigurationError("no such option")), ConfigError)


def test_the_code_of_a_bulk_is_that_of_its_first_write() -> None:
    """The bulk's own code says nothing."""
    error = BulkWriteError({"writeErrors": [{"code": 11000, "errmsg": "E11000"}]})
    assert server_code(error) == 11000


def test_refusals_name_places_within_fields() -> None:
    """As the server reports them for an array of documents."""
    broken = {"operatorName": "required", "missingProperties": ["from"]}
    info = {
        "details": {
            "schemaRulesNotSatisfied": [
                {
                    "propertiesNotSatisfied": [
                        {
                            "propertyName": "rename",
                            "details": [
                                {"operatorName": "items", "itemIndex": 1, "details": [broken]}
                            ],
                        }
                    ]
                }
            ]
        }
    }
    assert refusals(info) == ("rename.1: 'from' is missing",)


def test_refusals_name_what_is_missing_beside_a_field() -> None:
    """As the server reports a dependency that is a list of names."""
    rule = {
        "operatorName": "dependencies",
        "failingDependencies": [{"conditionalProperty": "cron", "missingProperties": ["command"]}],
    }
    info = {"details": {"schemaRulesNotSatisfied": [rule]}}
    assert refusals(info) == ("cron needs 'command' beside it",)


def test_a_node_that_has_no_sessions_yet_is_waited_for() -> None:
    """While it starts or rolls back, pymongo calls it a deployment without sessions."""
    error = ConfigurationError("Sessions are not supported by this MongoDB deployment")
    assert isinstance(translate(error), TransientError)
    assert isinstance(translate(ConfigurationError("bad option")), ConfigError)
