"""The verbs of the role flow."""

import json
from datetime import timedelta

import pytest

from agent.cli.exits import Exit
from tests.fakes.console import NOW
from tests.unit.cli.terminal import Terminal

ARN = "arn:aws:iam::111122223333:role/backstay"
BEGUN = {
    "state": "done",
    "result": {
        "authorization": "a1b2c3d4",
        "storage": "main",
        "state": "in progress",
        "external_id": "0f0f",
        "principals": ["arn:aws:iam::111122223333:user/agent"],
        "trust_policy": '{\n  "Trust": 1\n}',
        "permission_policy": '{\n  "Permit": 1\n}',
        "cli": {
            "create": ["aws iam create-role '{\"Trust\":1}'", "aws iam put-role-policy x"],
            "adapt": ["aws iam update-assume-role-policy y", "aws iam put-role-policy x"],
        },
        "role_arn": None,
        "warnings": ["c:1 cannot tell"],
    },
}
COMPLETED = {
    "state": "done",
    "result": {
        "authorization": "a1b2c3d4",
        "storage": "main",
        "state": "authorized",
        "role_arn": ARN,
        "configuration": f'role: {{arn: "{ARN}", external_id: "0f0f"}}',
        "warnings": [],
    },
}


@pytest.fixture
def terminal() -> Terminal:
    """A terminal on an empty replica set."""
    return Terminal()


def test_authorize_role_inserts_what_was_given(terminal: Terminal) -> None:
    """Each option of the command has one of the verb."""
    terminal.ends(BEGUN)
    terminal("authorize-role", "--storage", "offsite", "--role-name", "mine")
    terminal.ends(COMPLETED)
    terminal("authorize-role", "--authorization", "a1b2c3d4", "--role-arn", ARN)
    assert terminal.console.inserted == [
        {"command": "authorize_role", "storage": "offsite", "role_name": "mine"},
        {"command": "authorize_role", "authorization": "a1b2c3d4", "role_arn": ARN},
    ]


def test_a_beginning_prints_lines_to_paste(terminal: Terminal) -> None:
    """Whole and without an indent, then both policies, warnings, and what comes next."""
    terminal.ends(BEGUN)
    result = terminal("authorize-role")
    assert result.exit_code == Exit.DONE
    lines = result.stdout.splitlines()
    cli = BEGUN["result"]["cli"]  # type: ignore[index]
    assert [each for each in (*cli["create"], *cli["adapt"]) if each not in lines] == []
    assert '  "Trust": 1' in lines
    assert "warning: c:1 cannot tell" in lines
    assert "backstay authorize-role --storage main --role-arn ARN" in lines
    assert "0f0f" in result.stdout


def test_a_completion_prints_the_setting(terminal: Terminal) -> None:
    """One line for the configuration, and no more lines for IAM."""
    terminal.ends(COMPLETED)
    lines = terminal("authorize-role", "--role-arn", ARN).stdout.splitlines()
    assert COMPLETED["result"]["configuration"] in lines  # type: ignore[index]
    assert not any(line.startswith("aws ") for line in lines)


def test_a_script_gets_the_document(terminal: Terminal) -> None:
    """Policies are texts in it."""
    terminal.ends(BEGUN)
    found = terminal.json("authorize-role")
    assert json.loads(found["result"]["trust_policy"]) == {"Trust": 1}


def test_a_wrong_arn_is_refused_before_anything_is_inserted(terminal: Terminal) -> None:
    """The option is named."""
    result = terminal("authorize-role", "--role-arn", "backstay")
    assert result.exit_code == Exit.USAGE
    assert "role_arn" in result.stderr
    assert terminal.console.inserted == []


@pytest.mark.parametrize(
    ("given", "inserted"),
    [("a1b2c3d4", {"authorization": "a1b2c3d4"}), (ARN, {"role_arn": ARN})],
)
def test_deauthorize_role_takes_an_id_or_an_arn(
    terminal: Terminal, given: str, inserted: dict[str, str]
) -> None:
    """By the looks of it."""
    terminal.ends({"state": "done", "result": {"removed": ["a1b2c3d4"], "roles": []}})
    assert terminal("deauthorize-role", given).exit_code == Exit.DONE
    assert terminal.console.inserted == [{"command": "deauthorize_role", **inserted}]


def test_roles_are_listed(terminal: Terminal) -> None:
    """Id, storage, state, role, since when, and the last error."""
    assert "No role" in terminal("roles").stdout
    terminal.console.documents.role_documents = [
        {
            "authorization": "a1b2c3d4",
            "storage": "main",
            "state": "authorized",
            "role_arn": ARN,
            "authorized_at": NOW - timedelta(hours=2),
            "last_error": None,
        },
        {
            "authorization": "e5f6a7b8",
            "storage": "offsite",
            "state": "in progress",
            "role_arn": None,
            "role_name": "backstay-acme",
            "created_at": NOW - timedelta(minutes=5),
            "last_error": {"code": "role_denied", "message": "cannot be assumed", "hint": ""},
        },
    ]
    text = terminal("roles").stdout
    for sign in ("a1b2c3d4", "authorized", ARN, "2 hours ago", "offsite", "backstay-acme"):
        assert sign in text
    assert "in progress" in text
    assert "cannot be assumed" in text
    assert [each["authorization"] for each in terminal.json("roles")] == ["a1b2c3d4", "e5f6a7b8"]
