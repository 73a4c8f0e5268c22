"""The verbs that insert a command and follow it."""

from datetime import UTC, datetime

import pytest

from agent.core.errors import ConfigError, PermanentError, TransientError
from agent.model.cluster_time import ClusterTime
from tests.fakes.console import NOW
from tests.unit.cli.terminal import Terminal, an_agent

_RUNNING = {
    "state": "running",
    "started_at": NOW,
    "progress": {
        "phase": "reading",
        "done_bytes": 40_000_000,
        "total_bytes": 80_000_000,
        "done_docs": 1,
        "total_docs": 2,
        "percent": 50.0,
        "eta_s": 65.0,
    },
}
_DONE = {
    "state": "done",
    "finished_at": NOW.replace(minute=16),
    "result": {"backup": "20261121T201512Z", "docs": 1_234_567, "bytes": 80_000_000},
}


@pytest.fixture
def terminal() -> Terminal:
    """A terminal on an empty replica set."""
    return Terminal()


def test_backup_inserts_only_what_was_given(terminal: Terminal) -> None:
    """Options that were not given stand nowhere in the document, as an operator would write it."""
    terminal.ends(_DONE)
    terminal("backup")
    assert [{"command": "backup"}] == terminal.console.inserted


def test_backup_inserts_every_option(terminal: Terminal) -> None:
    """Each option of the command has one of the verb."""
    terminal.ends(_DONE)
    arguments = ["-n", "shop.*", "--namespaces", "blog.posts", "--storage", "other", "--keep"]
    terminal(
        "backup", *arguments, "--tag", "why=upgrade", "--tag", "by=ada=b", "--note", "before 2.0"
    )
    assert [
        {
            "command": "backup",
            "namespaces": ["shop.*", "blog.posts"],
            "storage": "other",
            "tags": {"why": "upgrade", "by": "ada=b"},
            "keep": True,
            "note": "before 2.0",
        }
    ] == terminal.console.inserted


def test_restore_inserts_every_option(terminal: Terminal) -> None:
    """Each option of the command has one of the verb."""
    terminal.ends(_DONE)
    arguments = ["--overwrite", "--no-users-and-roles", "--hold-ttl", "--dry-run", "-n", "shop.*"]
    terminal("restore", "20261121T201512Z", *arguments, "--rename", "shop.*=shop2.*")
    assert [
        {
            "command": "restore",
            "backup": "20261121T201512Z",
            "namespaces": ["shop.*"],
            "rename": [{"from": "shop.*", "to": "shop2.*"}],
            "overwrite": True,
            "users_and_roles": False,
            "hold_ttl": True,
            "dry_run": True,
        }
    ] == terminal.console.inserted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("latest", "latest"),
        ("2026-11-21T20:15:12Z", datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)),
        ("2026-11-21T22:15:12+02:00", datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)),
        ("2026-11-21 20:15:12 UTC", datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)),
        ("1795292112.3", ClusterTime(1795292112, 3)),
        ("1795292112.0000000003", ClusterTime(1795292112, 3)),
    ],
)
def test_restore_reads_times_as_they_are_shown(
    terminal: Terminal, text: str, value: object
) -> None:
    """Every way in which Backstay writes a time is one in which it reads it."""
    terminal.ends(_DONE)
    terminal("restore", "--to", text)
    assert [{"command": "restore", "to": value}] == terminal.console.inserted


@pytest.mark.parametrize("text", ["2026-11-21T20:15:12", "2026-11-21", "yesterday", "12.3"])
def test_restore_refuses_a_time_that_means_two_things(terminal: Terminal, text: str) -> None:
    """A time without its zone may be hours wrong, so it is wrong usage and nothing is inserted."""
    ended = terminal("restore", "--to", text)
    assert (2, []) == (ended.exit_code, terminal.console.inserted)


def test_backup_id_and_time_exclude_each_other(terminal: Terminal) -> None:
    """What the command's model refuses is wrong usage before anything is inserted."""
    ended = terminal("restore", "20261121T201512Z", "--to", "latest")
    assert (2, []) == (ended.exit_code, terminal.console.inserted)
    assert "either 'backup' or 'to', not both" in ended.stderr


@pytest.mark.parametrize(
    ("state", "status"),
    [("done", 0), ("failed", 3), ("rejected", 4), ("expired", 5), ("canceled", 6)],
)
def test_exit_status_tells_the_outcome(terminal: Terminal, state: str, status: int) -> None:
    """Only a command that ended done gives 0."""
    terminal.ends({"state": "accepted"}, _RUNNING, {"state": state})
    assert status == terminal("backup").exit_code


def test_lines_that_give_expiry_back_can_be_copied(terminal: Terminal) -> None:
    """Each on a line of its own, whole, however long it is."""
    line = 'db.getSiblingDB("shop").runCommand({collMod: "carts", index: ' + "x" * 200 + "})"
    held = [{"namespace": "shop.carts", "index": "a_1", "expire_after_s": 60, "enable": line}]
    terminal.ends({"state": "done", "result": {"docs": 1, "held_ttl": held}})
    assert f"  {line}\n" in terminal("restore", "--hold-ttl").stdout


def test_result_is_a_short_table(terminal: Terminal) -> None:
    """The result says how the command ended, how long it took, and its figures."""
    terminal.ends(_RUNNING, _DONE)
    shown = terminal("backup").stdout
    assert "backup done in 1 min 00 s" in shown
    assert ["documents", "1,234,567"] in [line.split() for line in shown.splitlines()]
    assert ["data", "80.0", "MB"] in [line.split() for line in shown.splitlines()]


def test_progress_is_plain_lines_without_a_terminal(terminal: Terminal) -> None:
    """Where nobody looks, each phase has a line with its figures, on standard error."""
    terminal.ends({"state": "accepted"}, _RUNNING, _RUNNING, _DONE)
    lines = terminal("backup").stderr.splitlines()
    assert [
        "backup: accepted",
        "backup: reading 50 % (40.0 MB of 80.0 MB · 1 min 05 s left)",
    ] == lines


def test_error_is_a_message_and_a_hint(terminal: Terminal) -> None:
    """What went wrong, and on a line of its own what to do about it."""
    error = {"code": "no_backup", "message": "there is no backup", "hint": "make one first"}
    terminal.ends({"state": "rejected", "error": error})
    ended = terminal("restore")
    assert ["error: there is no backup", "hint: make one first"] == ended.stderr.splitlines()
    assert ended.stdout.startswith("restore rejected")


def test_json_is_one_document(terminal: Terminal) -> None:
    """Scripts get the command's whole document: ids and cluster times as texts, dates as ISO."""
    terminal.ends(
        {"state": "accepted"}, _RUNNING, {**_DONE, "result": {"consistent_at": ClusterTime(7, 3)}}
    )
    shown = terminal.json("backup")
    assert "000000000000000000000001" == shown["_id"]
    assert ("done", "7.3") == (shown["state"], shown["result"]["consistent_at"])
    assert "2026-11-21T20:16:12.000Z" == shown["finished_at"]


def test_json_keeps_standard_error_silent(terminal: Terminal) -> None:
    """Nothing but the document is printed."""
    terminal.ends({"state": "accepted"}, _RUNNING, _DONE)
    assert "" == terminal("backup", "--json").stderr


def test_json_tells_errors_too(terminal: Terminal) -> None:
    """An error before there is a command is a document as well."""
    terminal.open_error = TransientError(
        "mongodb_unreachable", "it does not answer", hint="start it"
    )
    shown = terminal.json("backup")
    assert {
        "error": {
            "code": "mongodb_unreachable",
            "message": "it does not answer",
            "hint": "start it",
        }
    } == shown


def test_no_wait_only_inserts(terminal: Terminal) -> None:
    """The id is printed, and how to follow it."""
    ended = terminal("backup", "--no-wait")
    assert (0, "backup inserted: 000000000000000000000001\n") == (ended.exit_code, ended.stdout)
    assert "backstay show 000000000000000000000001 --follow" in ended.stderr


def test_interrupt_leaves_the_command_alone(terminal: Terminal) -> None:
    """Ctrl-C ends the following only, and says how to come back and how to cancel."""
    terminal.console.documents.script = [_RUNNING, KeyboardInterrupt()]
    ended = terminal("backup")
    assert 130 == ended.exit_code
    assert "goes on without this terminal" in ended.stderr
    assert "backstay cancel 000000000000000000000001" in ended.stderr
    assert "running" == terminal.console.documents.stored["000000000000000000000001"]["state"]


def test_following_bears_an_election(terminal: Terminal) -> None:
    """While the primary cannot be asked, the verb waits; the command is not lost."""
    outage = TransientError("no_primary", "there is no primary")
    terminal.console.documents.script = [_RUNNING, outage, outage, _DONE]
    assert 0 == terminal("backup").exit_code


def test_following_ends_when_the_server_stays_away(terminal: Terminal) -> None:
    """After a minute without an answer the verb says so."""
    outage = TransientError("no_primary", "there is no primary", hint="start the nodes")
    terminal.console.documents.script = [_RUNNING, *[outage] * 1000]
    ended = terminal("backup")
    assert 1 == ended.exit_code
    assert "hint: start the nodes" in ended.stderr


def test_waiting_without_agents_is_explained(terminal: Terminal) -> None:
    """A command that nobody can take makes the verb say why, while it still waits."""
    terminal.console.agent_list = [an_agent(age_s=60)]
    terminal.ends(*[{}] * 100, {"state": "expired"})
    ended = terminal("backup")
    assert 1 == ended.stderr.count("no agent is there to do it")


def test_waiting_for_a_turn_is_explained(terminal: Terminal) -> None:
    """An accepted command is being planned, or waits for another job."""
    terminal.console.agent_list = [an_agent()]
    terminal.ends(*[{"state": "accepted"}] * 100, _DONE)
    assert "waits for its turn" in terminal("backup").stderr


def test_a_deleted_command_ends_the_following(terminal: Terminal) -> None:
    """A document that somebody deleted is an error, not an endless wait."""
    terminal.ends(_RUNNING)
    terminal.console.documents.stored = _Forgetful()
    ended = terminal("backup")
    assert 1 == ended.exit_code
    assert "is not there any more" in ended.stderr


class _Forgetful(dict[str, dict[str, object]]):
    """Keeps nothing."""

    def __setitem__(self, key: str, value: dict[str, object]) -> None:
        """Forget at once."""


def test_cancel_names_its_target_by_id(terminal: Terminal) -> None:
    """The text of the command line becomes the very id of the command."""
    terminal.console.documents.stored["target"] = {"_id": "target", "command": "backup"}
    terminal.ends(_DONE)
    assert 0 == terminal("cancel", "target").exit_code
    assert [{"command": "cancel", "target": "target"}] == terminal.console.inserted


def test_cancel_of_nothing_inserts_nothing(terminal: Terminal) -> None:
    """An id that no command has is told at once."""
    ended = terminal("cancel", "nonsense")
    assert (1, []) == (ended.exit_code, terminal.console.inserted)


def test_verify_inserts_its_options(terminal: Terminal) -> None:
    """Each option of the command has one of the verb; the depth is left to the agents."""
    terminal.ends(_DONE)
    terminal("verify", "20261121T201512Z")
    terminal.ends(_DONE)
    terminal("verify", "20261121T201512Z", "--depth", "content", "--storage", "old")
    first = {"command": "verify", "backup": "20261121T201512Z"}
    assert [first, {**first, "depth": "content", "storage": "old"}] == terminal.console.inserted
    assert 2 == terminal("verify", "20261121T201512Z", "--depth", "all").exit_code


def test_verify_shows_what_is_wrong(terminal: Terminal) -> None:
    """Each object in a line of its own; the exit status tells scripts."""
    terminal.ends({
        "state": "failed",
        "result": {
            "backup": "20261121T201512Z",
            "depth": "objects",
            "docs": None,
            "bad_objects": 3,
            "bad": [{"key": "rs/a", "what": "it is not there"}],
        },
        "error": {"code": "verify_failed", "message": "3 of 9 objects", "hint": "use another"},
    })
    ended = terminal("verify", "20261121T201512Z")
    assert 3 == ended.exit_code
    for line in ("3 missing or damaged", "  rs/a: it is not there", "  ... and 2 more"):
        assert line in ended.stdout.splitlines()
    assert "documents" not in ended.stdout
    assert "use another" in ended.stderr


def test_delete_and_resync_insert_their_options(terminal: Terminal) -> None:
    """Each option of the command has one of the verb."""
    terminal.ends(_DONE)
    terminal("delete", "20261121T201512Z", "--dry-run", "--force", "--storage", "old")
    terminal.ends(_DONE)
    terminal("resync", "--storage", "old")
    assert [
        {
            "command": "delete",
            "backup": "20261121T201512Z",
            "dry_run": True,
            "force": True,
            "storage": "old",
        },
        {"command": "resync", "storage": "old"},
    ] == terminal.console.inserted


def test_dry_run_shows_the_plan(terminal: Terminal) -> None:
    """A plan is shown for what it is: nothing has been done."""
    plan = {"backup": "b", "bytes": 80_000_000, "replace": ["shop.orders"], "drop": [], "docs": 3}
    terminal.ends({"state": "done", "dry_run": True, "result": {"plan": plan}})
    shown = terminal("restore", "--dry-run").stdout.splitlines()
    assert [
        "plan",
        "  backup: b",
        "  data: 80.0 MB",
        "  replace",
        "    shop.orders",
        "  documents: 3",
    ] == (shown[1:])


def test_markup_in_values_is_text(terminal: Terminal) -> None:
    """A name with square brackets is printed as it is, not read as a style."""
    terminal.ends({"state": "failed", "error": {"message": "bad [red]name[/red]", "hint": "[/x]"}})
    ended = terminal("backup")
    assert "error: bad [red]name[/red]" in ended.stderr
    assert "hint: [/x]" in ended.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("config_missing", "storage is missing"), 78),
        (PermanentError("mongodb_denied", "not allowed"), 1),
    ],
)
def test_errors_before_the_command_have_their_status(
    terminal: Terminal, error: ConfigError | PermanentError, status: int
) -> None:
    """A wrong configuration can be told from a server that cannot be used."""
    terminal.open_error = error
    ended = terminal("backup")
    assert (status, f"error: {error.message}\n") == (ended.exit_code, ended.stderr)


def test_config_is_the_file_that_was_named(terminal: Terminal) -> None:
    """`--config` wins over where the program looks by itself."""
    terminal("list", "--config", "/etc/other.yaml")
    terminal("list")
    assert ["/etc/other.yaml", "/nowhere/config.yaml"] == [str(path) for path in terminal.loaded]
