"""When hooks run, what they are told, and what becomes of their failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from agent.core.flow import Stop
from agent.core.log import get
from agent.daemon.hooks import HookPorts, Hooks
from agent.model.commands import Backup, CommandRecord, Request, Restore, Verify
from agent.model.hooks import HookName
from agent.model.outcome import Failure
from agent.model.states import State
from agent.ports.outside import ProgramRunner, Ran
from tests.fakes.clock import VirtualClock

ALL: Mapping[HookName, Sequence[str]] = {
    "before_backup": ("/hook", "a"),
    "after_backup": ("/hook", "b"),
    "before_restore": ("/hook", "c"),
    "after_restore": ("/hook", "d"),
}


@dataclass
class Runner:
    """Runs nothing, and says so or otherwise."""

    fault: str | None = None
    output: str = ""
    ran: list[tuple[tuple[str, ...], dict[str, str]]] = field(default_factory=list)

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        limit_s: float,
        stop: Stop,
    ) -> Ran:
        """Remember what was asked for."""
        assert limit_s > 0
        stop.check()
        self.ran.append((tuple(arguments), dict(environment)))
        return Ran(fault=self.fault, output=self.output)


def _proves() -> ProgramRunner:
    return Runner()


def some_hooks(runner: Runner, programs: Mapping[HookName, Sequence[str]] = ALL) -> Hooks:
    """Return hooks that a runner runs."""
    return Hooks(
        HookPorts(
            runner=runner,
            programs=programs,
            limit_s=60,
            replset="rs0",
            agent="a:1",
            clock=VirtualClock(),
            log=get(),
        )
    )


def a_record(request: Request) -> CommandRecord:
    """Return the command of a request."""
    options = {"command": request.command}
    return CommandRecord(
        command_id="x", options=options, state=State.RUNNING, created_at=None, token=1
    )


def around(hooks: Hooks, request: Request, end: State = State.DONE, **told: object) -> None:
    """Run the hooks before and after a job."""
    record = a_record(request)
    hooks.before(record, request, Stop())
    hooks.after(record, request, end, Stop(), **told)  # type: ignore[arg-type]


def test_hooks_run_before_and_after_a_backup() -> None:
    """Told which command it is, and at the end how it ended and what it made."""
    runner = Runner()
    around(some_hooks(runner), Backup(), result={"backup": "20261122T030000Z"})
    common = {
        "BACKSTAY_COMMAND": "backup",
        "BACKSTAY_COMMAND_ID": "x",
        "BACKSTAY_REPLSET": "rs0",
        "BACKSTAY_AGENT": "a:1",
    }
    assert [
        (
            ("/hook", "a"),
            {**common, "BACKSTAY_EVENT": "before_backup", "BACKSTAY_STATE": "running"},
        ),
        (
            ("/hook", "b"),
            {
                **common,
                "BACKSTAY_EVENT": "after_backup",
                "BACKSTAY_STATE": "done",
                "BACKSTAY_BACKUP_ID": "20261122T030000Z",
            },
        ),
    ] == runner.ran


def test_hooks_run_before_and_after_a_restore() -> None:
    """With the backup that is restored, from the order or from the plan; and with its error."""
    runner = Runner()
    failure = Failure(code="target_exists", message="there", hint="h")
    around(some_hooks(runner), Restore(backup="20261122T030000Z"), State.FAILED, failure=failure)
    (before, after) = (told for _, told in runner.ran)
    assert "20261122T030000Z" == before["BACKSTAY_BACKUP_ID"] == after["BACKSTAY_BACKUP_ID"]
    assert ("failed", "target_exists", "there") == (
        after["BACKSTAY_STATE"],
        after["BACKSTAY_ERROR_CODE"],
        after["BACKSTAY_ERROR_MESSAGE"],
    )
    around(some_hooks(runner), Restore(), result={"plan": {"backup": "20261101T000000Z"}})
    assert "BACKSTAY_BACKUP_ID" not in runner.ran[2][1]
    assert "20261101T000000Z" == runner.ran[3][1]["BACKSTAY_BACKUP_ID"]


@pytest.mark.parametrize(
    "request_", [Verify(backup="20261122T030000Z"), Restore(dry_run=True)], ids=["verify", "dry"]
)
def test_other_jobs_have_no_hooks(request_: Request) -> None:
    """Nor has a restore that only shows its plan."""
    runner = Runner()
    around(some_hooks(runner), request_)
    assert [] == runner.ran


def test_a_hook_that_fails_is_a_problem_until_it_succeeds() -> None:
    """Of that hook alone; nothing is raised."""
    runner = Runner(fault="ended with status 3", output="no\nroom")
    hooks = some_hooks(runner, {"after_backup": ("/hook",)})
    around(hooks, Backup())
    (found,) = hooks.troubles()
    assert ("hook_failing", "warning", "the hook after_backup fails") == (
        found.code,
        found.level,
        found.message,
    )
    assert "/hook on the host of a:1 ended with status 3; it printed: no room" == found.hint
    runner.fault = None
    around(hooks, Backup())
    assert [] == hooks.troubles()


def test_the_next_coordinator_keeps_the_problem() -> None:
    """Until its own run succeeds; not if it has no such hook any more."""
    first = some_hooks(Runner(fault="ended with status 3"))
    around(first, Backup())
    standing = first.troubles()
    assert 2 == len(standing)
    runner = Runner()
    second = some_hooks(runner, {"after_backup": ("/hook",)})
    second.take_over(standing)
    assert ["the hook after_backup fails"] == [each.message for each in second.troubles()]
    around(second, Backup())
    assert [] == second.troubles()
    none = Hooks()
    none.take_over(standing)
    assert [] == none.troubles()
