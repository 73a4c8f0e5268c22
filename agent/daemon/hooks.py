"""The operator's programs before and after backups and restores, in the thread of their job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.flow import Shared, Stop
from agent.core.log import Log
from agent.model.commands import CommandRecord, Request, Restore
from agent.model.hooks import AFTER, BEFORE, HookName, variables
from agent.model.outcome import Failure
from agent.model.states import State
from agent.model.status import Problem
from agent.ports.outside import ProgramRunner

# Of what a hook printed, so much goes into the status; the log has more.
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class HookPorts:
    """Which programs run at which hook, and as whom."""

    runner: ProgramRunner
    programs: Mapping[HookName, Sequence[str]]
    limit_s: float
    replset: str
    agent: str
    clock: Clock
    log: Log


class Hooks:
    """Runs hooks; what goes wrong with one is a problem, and never that of the job."""

    def __init__(self, ports: HookPorts | None = None) -> None:
        self._ports = ports
        self._failing: Shared[Mapping[HookName, Problem]] = Shared({})

    def take_over(self, standing: Sequence[Problem]) -> None:
        """Begin to coordinate: a hook that failed elsewhere fails until it has succeeded here."""
        by_message = {each.message: each for each in standing if each.code == "hook_failing"}
        known = {
            name: by_message[_message(name)] for name in _NAMES if _message(name) in by_message
        }
        self._failing.set(known)

    def before(self, record: CommandRecord, request: Request, stop: Stop) -> None:
        """Run the hook before a job begins, if there is one. Raises: Stopped."""
        name = BEFORE.get(type(request))
        if name is not None:
            told = variables(name, record.command_id, request, State.RUNNING)
            self._run(name, request, told, stop)
            passing(Point.HOOK_BEFORE_ENDED)

    def after(
        self,
        record: CommandRecord,
        request: Request,
        state: State,
        stop: Stop,
        *,
        result: Mapping[str, object] | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Run the hook after a job, told how it ends, if there is one. Raises: Stopped."""
        name = AFTER.get(type(request))
        if name is not None:
            told = variables(
                name, record.command_id, request, state, result=result, failure=failure
            )
            self._run(name, request, told, stop)
            passing(Point.HOOK_AFTER_ENDED)

    def troubles(self) -> list[Problem]:
        """Return a problem for each hook that failed when it ran last."""
        if self._ports is None:
            return []
        programs = self._ports.programs
        return [problem for name, problem in self._failing.get().items() if name in programs]

    def _run(self, name: HookName, request: Request, told: Mapping[str, str], stop: Stop) -> None:
        ports = self._ports
        if ports is None or name not in ports.programs or _is_rehearsal(request):
            return
        begun = ports.clock.monotonic()
        environment = {
            **told,
            "BACKSTAY_REPLSET": ports.replset,
            "BACKSTAY_AGENT": ports.agent,
        }
        ran = ports.runner.run(ports.programs[name], environment, limit_s=ports.limit_s, stop=stop)
        took_s = round(ports.clock.monotonic() - begun, 3)
        if ran.fault is None:
            ports.log.info("hook ended", hook=name, took_s=took_s, output=ran.output)
            self._failing.update(
                lambda old: {each: old[each] for each in old if each != name},
            )
            return
        ports.log.warning(
            "hook failed", hook=name, reason=ran.fault, took_s=took_s, output=ran.output
        )
        said = f"; it printed: {' '.join(ran.output[-_SHOWN:].split())}" if ran.output else ""
        problem = Problem(
            code="hook_failing",
            level="warning",
            message=_message(name),
            hint=f"{ports.programs[name][0]} on the host of {ports.agent} {ran.fault}{said}",
            since=ports.clock.now(),
        )
        self._failing.update(lambda old: {**old, name: problem})


_NAMES: Final[tuple[HookName, ...]] = get_args(HookName)


def _message(name: HookName) -> str:
    return f"the hook {name} fails"


def _is_rehearsal(request: Request) -> bool:
    return isinstance(request, Restore) and request.dry_run
