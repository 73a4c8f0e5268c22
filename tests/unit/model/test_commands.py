"""What operators may ask for, past what the validator holds back."""

from datetime import UTC, datetime

import pytest

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.commands import (
    REQUESTS,
    Backup,
    Cancel,
    Check,
    Delete,
    Prune,
    Rename,
    Request,
    Restore,
    Resync,
    parse,
)

DATE = datetime(2026, 11, 21, tzinfo=UTC)


def refused(**options: object) -> str:
    """Return why a command is refused."""
    with pytest.raises(PermanentError) as caught:
        parse(options)
    assert caught.value.code == "bad_command"
    return caught.value.message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"command": "backup"}, Backup()),
        (
            {"command": "backup", "namespaces": ["shop.*"], "tags": {"a": "b"}, "keep": True},
            Backup(namespaces=("shop.*",), tags={"a": "b"}, keep=True),
        ),
        ({"command": "restore"}, Restore()),
        ({"command": "restore", "to": "latest"}, Restore(to="latest")),
        ({"command": "restore", "to": DATE}, Restore(to=DATE)),
        ({"command": "restore", "to": ClusterTime(1, 2)}, Restore(to=ClusterTime(1, 2))),
        (
            {"command": "restore", "rename": [{"from": "a.*", "to": "b.*"}]},
            Restore(rename=(Rename.model_validate({"from": "a.*", "to": "b.*"}),)),
        ),
        ({"command": "cancel", "target": "nightly"}, Cancel(target="nightly")),
        ({"command": "delete", "backup": "x", "force": True}, Delete(backup="x", force=True)),
        ({"command": "prune", "dry_run": True}, Prune(dry_run=True)),
        ({"command": "resync", "storage": "main"}, Resync(storage="main")),
        ({"command": "check"}, Check()),
    ],
)
def test_correct_commands_are_read(options: dict[str, object], expected: Request) -> None:
    """As they come out of the database: lists and plain documents."""
    assert expected == parse(options)


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_unknown_fields_are_refused_by_name(name: str) -> None:
    """By every command."""
    assert f"{name} has no option 'namespase'" in refused(command=name, namespase=["a.*"])


@pytest.mark.parametrize(
    "to",
    ["2026-11-21", "LATEST", 1795302427, 1.5, True, DATE.replace(tzinfo=None), ["latest"]],
    ids=repr,
)
def test_a_point_in_time_is_never_guessed(to: object) -> None:
    """A text or a number that could mean a time is not taken for one; nor is a local time."""
    assert refused(command="restore", to=to) == 'to must be a date, a Timestamp or "latest"'


@pytest.mark.parametrize("value", ["true", "yes", 1, 0, 1.0])
def test_only_booleans_are_booleans(value: object) -> None:
    """An operator who writes overwrite: 1 is asked to say it."""
    assert refused(command="restore", overwrite=value) == "overwrite must be true or false"


def test_a_restore_aims_once() -> None:
    """Either a backup or a time."""
    message = refused(command="restore", backup="x", to="latest")
    assert message == "restore takes either 'backup' or 'to', not both"


def test_every_fault_is_named() -> None:
    """An operator mends them all at once."""
    message = refused(command="backup", namespaces=[], tags={"a": 1}, keep="no", note=3)
    assert message == (
        "namespaces must not be empty; tags.a must be a text; keep must be true or false; "
        "note must be a text"
    )


def test_faults_within_a_list_have_their_place() -> None:
    """Counted from 0, as in mongosh."""
    message = refused(command="restore", rename=[{"from": "a.*", "to": "b.*"}, {"form": "a.*"}])
    assert message == (
        "restore: rename.1 needs 'from'; restore: rename.1 needs 'to'; "
        "restore: rename.1 has no option 'form'"
    )


def test_needed_options_are_named() -> None:
    """The hint lists what the command takes."""
    with pytest.raises(PermanentError) as caught:
        parse({"command": "delete"})
    assert caught.value.message == "delete needs 'backup'"
    assert caught.value.hint == "delete takes: backup, dry_run, force, storage"


def test_a_command_without_options_says_so() -> None:
    """The hint does not end in the middle."""
    with pytest.raises(PermanentError) as caught:
        parse({"command": "check", "storage": "main"})
    assert caught.value.hint == "check takes no options"


@pytest.mark.parametrize("name", ["bakup", 3, None, ["backup"]])
def test_a_command_that_there_is_not_is_refused(name: object) -> None:
    """The hint lists those that there are."""
    with pytest.raises(PermanentError) as caught:
        parse({"command": name})
    assert "there is no command" in caught.value.message
    assert ", ".join(sorted(REQUESTS)) in caught.value.hint


def test_only_jobs_that_write_data_wait_for_each_other() -> None:
    """A cancel must never wait behind what it cancels."""
    waiting = {name for name, request in REQUESTS.items() if request.writes_data}
    assert waiting == {"backup", "delete", "prune", "restore", "resync"}
