"""`backstay run`, `backstay init` and the command as a whole."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import __version__
from agent.cli.app import backstay
from agent.cli.grants import script
from agent.core.errors import AgentError, ConfigError, PermanentError, Stopped
from agent.core.flow import Stop
from agent.settings import Settings, config_path
from tests.unit.cli.terminal import Terminal


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal; the signal handlers that `run` sets are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Terminal()
    for number, handler in before.items():
        signal.signal(number, handler)


def _raises(error: AgentError) -> Terminal:
    def run(_settings: Settings, _stop: Stop) -> None:
        raise error

    return Terminal(run_agent=run)


def test_configuration_is_looked_for_in_one_place() -> None:
    """`$BACKSTAY_CONFIG` names the file; without it, it is the one in /etc."""
    assert Path("/srv/c.yaml") == config_path({"BACKSTAY_CONFIG": "/srv/c.yaml"})
    assert Path("/etc/backstay/config.yaml") == config_path({"BACKSTAY_CONFIG": ""})


def test_version() -> None:
    """The version is that of the package."""
    assert f"backstay {__version__}\n" == Terminal()("--version").stdout


def test_every_verb_has_help() -> None:
    """Each verb says what it is for, and every one takes a configuration file."""
    for name in backstay.commands:
        shown = Terminal()(name, "--help").stdout
        assert "--config" in shown, name
        assert backstay.commands[name].help, name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_the_agent(terminal: Terminal, number: signal.Signals) -> None:
    """A signal asks the agent to end, which is no error."""
    seen = []

    def run(_settings: Settings, stop: Stop) -> None:
        signal.raise_signal(number)
        seen.append((stop.wait(5), stop.reason))

    terminal.run_agent = run
    assert (0, [(True, number.name)]) == (terminal("run").exit_code, seen)


def test_wrong_configuration_is_one_line_and_78(terminal: Terminal) -> None:
    """A service manager must not try again what cannot work."""
    terminal.load_error = ConfigError(
        "config_missing", "c.yaml: storage is\nmissing", hint="add it"
    )
    ended = terminal("run")
    assert (78, "backstay: c.yaml: storage is missing (add it) [config_missing]\n") == (
        ended.exit_code,
        ended.stderr,
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("mongodb_standalone", "not a replica set"), 78),
        (PermanentError("storage_denied", "no permission"), 1),
        (Stopped(), 0),
    ],
)
@pytest.mark.usefixtures("terminal")
def test_what_ends_an_agent_has_its_status(error: AgentError, status: int) -> None:
    """A node that cannot have an agent is a matter of configuration."""
    assert status == _raises(error)("run").exit_code


def test_init_prepares_and_prints_the_script(terminal: Terminal) -> None:
    """The script alone goes to standard output, so that it can be kept in a file."""
    ended = terminal("init")
    assert 1 == terminal.console.prepared_count
    assert script("backup", user="backstay", control="backstay") == ended.stdout


def test_init_can_print_without_a_server(terminal: Terminal) -> None:
    """The user must exist before the first agent can log in."""
    terminal.open_error = PermanentError("mongodb_unreachable", "nobody there")
    ended = terminal("init", "--print-only", "--for", "restore", "--user", 'o\'brien "x"')
    assert 0 == ended.exit_code
    assert [] == terminal.loaded
    assert r'const user = "o' "'" r'brien \"x\"";' in ended.stdout


def test_the_script_never_asks_for_any_action() -> None:
    """No role may do anything to everything, and no password stands in a script."""
    for purpose in ("backup", "restore"):
        text = script(purpose, user="u", control="c")
        assert "anyAction" not in text
        assert "root" not in text
        assert "pwd: passwordPrompt()" in text


def test_only_restores_may_write_everywhere() -> None:
    """The user for backups writes to the control database alone."""
    text = script("backup", user="u", control="c")
    assert "AnyDatabase" not in text
    assert '{"role": "readWrite", "db": "c"}' in text


def test_secrets_are_never_printed(terminal: Terminal) -> None:
    """The password of the URI stands in no output of any verb."""
    for arguments in (
        ["backup", "--no-wait"],
        ["list"],
        ["status"],
        ["status", "--json"],
        ["init"],
    ):
        ended = terminal(*arguments)
        assert "a-secret" not in ended.output
