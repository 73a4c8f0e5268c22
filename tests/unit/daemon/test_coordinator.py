"""The coordinator over fakes: leases, commands, jobs and their ends."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from agent.core.errors import LeaseLost, PermanentError, TransientError
from agent.core.flow import Stop
from agent.core.keeper import Keeper
from agent.core.log import get
from agent.daemon.active import MOST_TRIES, JobPorts
from agent.daemon.coordinator import Coordinator, CoordinatorPorts
from agent.daemon.following import Following
from agent.daemon.gaps import GapBackups
from agent.daemon.overview import Overview, OverviewPorts
from agent.daemon.problems import ArchiveRules
from agent.daemon.schedules import ScheduleDuty, SchedulePorts
from agent.daemon.slots import MOST_BESIDE
from agent.metrics.counts import Counts
from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.commands import CommandRecord, Request
from agent.model.coverage import Span
from agent.model.leases import LEASE_S
from agent.model.outcome import Failure, Outcome
from agent.model.progress import Progress
from agent.model.states import State
from agent.ports import Boards, Job, JobContext, JobError
from tests.fakes.clock import VirtualClock
from tests.fakes.commands import Command
from tests.fakes.control import MemoryControl
from tests.fakes.status import a_report, an_agent
from tests.fakes.values import key
from tests.testbed.waiting import eventually


@dataclass
class FakeJob:
    """A job that does what a test says, and counts what was asked of it."""

    context: JobContext
    behave: "Behaviour"

    def plan(self) -> None:
        """Refuse, if the test says so."""
        self.behave.planned += 1
        self.behave.while_planning()
        if self.behave.refusal is not None:
            raise self.behave.refusal

    def run(self) -> Mapping[str, object]:
        """Wait, fail or end."""
        self.behave.tokens.append(self.context.token)
        if self.behave.error is not None:
            raise self.behave.error
        while self.behave.waits:
            self.context.stop.wait(0.001)
            self.context.stop.check()
            self.context.held()
        return {"answer": 42}

    def progress(self) -> Progress:
        """Return some."""
        return Progress(phase="reading", done_bytes=1, total_bytes=2)

    def may_cancel(self) -> bool:
        """Return what the test says."""
        return self.behave.may_cancel

    def give_up(self) -> None:
        """Count."""
        self.behave.given_up += 1


@dataclass
class Behaviour:
    """What the jobs of a test do."""

    refusal: PermanentError | None = None
    error: Exception | None = None
    waits: bool = False
    may_cancel: bool = True
    while_planning: Callable[[], None] = lambda: None
    planned: int = 0
    given_up: int = 0
    tokens: list[int] = field(default_factory=list)


class Site:
    """A control database and agents that may coordinate it."""

    def __init__(self, *, backed_up: bool = True, backs_up_after_gaps: bool = True) -> None:
        self.clock = VirtualClock()
        self.counts = Counts((), self.clock)
        self.backs_up_after_gaps = backs_up_after_gaps
        self.control = MemoryControl(self.clock)
        self.behave = Behaviour()
        self.stop = Stop()
        if backed_up:
            self.control.backups.put(_entry())

    def is_told(self) -> bool:
        """Whether metrics tell what the cluster is like."""
        return self.counts.view is not None

    def coordinator(self, name: str = "a:1") -> Coordinator:
        """Return the coordinator of one agent."""
        control = self.control
        boards = Boards(
            commands=control.commands,
            tasks=control.tasks,
            notes=control.notes,
            questions=control.questions,
            status=control.status,
            catalogue=control.backups,
            events=control.events,
            leases=control.leases,
            schedules=control.schedules,
        )
        jobs = JobPorts(
            boards=boards,
            make=self._make,
            clock=self.clock,
            agent=name,
            following=Following(control.schedules, control.commands, "main", get()),
            log=get(),
            instruments=self.counts,
        )
        rules = ArchiveRules(enabled=True, interval_s=5, backup_after_gap=self.backs_up_after_gaps)
        gaps = GapBackups(control.commands, control.events, control.status, get())
        return Coordinator(
            CoordinatorPorts(
                boards=boards,
                prepare=lambda: None,
                jobs=jobs,
                keeper=Keeper(self.clock, every_s=4.0, lasts_s=12.0),
                overview=Overview(
                    OverviewPorts(
                        replset="rs",
                        storage="main",
                        archive=rules,
                        status=control.status,
                        catalogue=control.backups,
                        leases=control.leases,
                        instruments=self.counts,
                    )
                ),
                gaps=gaps if self.backs_up_after_gaps else None,
                schedules=ScheduleDuty(
                    SchedulePorts(
                        schedules=control.schedules,
                        commands=control.commands,
                        status=control.status,
                        storages=["main"],
                        log=get(),
                    )
                ),
                clock=self.clock,
                agent=name,
                poll_s=1.0,
                ttl_s=3600,
                log=get(),
            )
        )

    def _make(self, _request: Request, context: JobContext) -> Job:
        return FakeJob(context, self.behave)

    def insert(self, **options: object) -> object:
        """Insert a command."""
        return self.control.commands.insert(options)

    def tell_of_a_gap(self) -> None:
        """Let an agent report an archive with a gap, behind which there is no backup.

        Time passes, too, so that the next look writes the status.
        """
        self.clock.move(2)
        spans = tuple(
            Span(begin=ClusterTime(begin, 1), last=ClusterTime(last, 1))
            for begin, last in ((1, 10), (20, 30))
        )
        self.control.status.write_agent(an_agent("a:1", self.clock.now(), a_report(*spans)))

    def backups(self) -> list[Command]:
        """Return the backup commands."""
        found = self.control.commands.commands.values()
        return [each for each in found if each.options["command"] == "backup"]

    def state(self, command_id: object) -> State | None:
        """Return a command's state."""
        record = self.control.commands.get(command_id)
        assert record is not None
        return record.state

    def reach(self, coordinator: Coordinator, command_id: object, state: State) -> None:
        """Let a coordinator look until a command has a state."""

        def reached() -> bool:
            coordinator.tick(self.stop)
            return self.state(command_id) is state

        eventually(reached, timeout_s=20, interval_s=0.002)

    def error(self, command_id: object) -> str:
        """Return the code of a command's error."""
        found = self.control.commands.commands[key(command_id)].shown["error"]
        assert isinstance(found, Failure)
        return found.code


def _entry() -> BackupEntry:
    clock = VirtualClock()
    return BackupEntry(
        backup_id="20261121T201512Z",
        storage="main",
        replset_id="65f0000000000000000000aa",
        consistent_at=ClusterTime(1, 1),
        oplog_from=ClusterTime(1, 1),
        started_at=clock.now(),
        finished_at=clock.now(),
        docs=0,
        bytes=0,
        stored_bytes=0,
        chunks=0,
        collections=0,
        nodes=(),
        server_version="6.0.5",
    )


def test_a_command_is_run_to_done() -> None:
    """Accepted, planned, run, done, in the one coordinator's hands."""
    site = Site()
    command = site.insert(command="backup")
    site.reach(site.coordinator(), command, State.DONE)
    assert 1 == site.behave.planned


@pytest.mark.parametrize(
    ("change", "state", "code"),
    [
        (lambda behave: setattr(behave, "refusal", PermanentError("no", "no")), "rejected", "no"),
        (lambda behave: setattr(behave, "error", PermanentError("bad", "b")), "failed", "bad"),
        (lambda behave: setattr(behave, "error", KeyError("x")), "failed", "internal_error"),
    ],
)
def test_what_a_job_raises_decides_the_end(
    change: Callable[[Behaviour], None], state: str, code: str
) -> None:
    """A plan that refuses rejects; work that fails fails; a fault of ours is told as such."""
    site = Site()
    change(site.behave)
    command = site.insert(command="backup")
    site.reach(site.coordinator(), command, State(state))
    assert code == site.error(command)


def test_metrics_are_told_while_an_agent_leads() -> None:
    """What the cluster is like, from the first look to the end; and each job that it ended."""
    site = Site()
    coordinator = site.coordinator()
    assert not site.is_told()
    done = site.insert(command="backup")
    site.clock.move(2)
    site.reach(coordinator, done, State.DONE)
    assert site.is_told()
    labels = {"command": "backup", "state": "done"}
    name = "backstay_command_duration_seconds_count"
    # Counted just after the end is written down.
    eventually(lambda: site.counts.registry.get_sample_value(name, labels) == 1, 20)
    coordinator.resign("the test ends")
    assert not site.is_told()


def test_only_the_holder_of_the_lease_acts() -> None:
    """A second agent looks on, and takes over when the first one's time is over."""
    site = Site()
    first, second = site.coordinator("a:1"), site.coordinator("b:1")
    site.behave.waits = True
    command = site.insert(command="backup")
    site.reach(first, command, State.RUNNING)
    second.tick(site.stop)
    eventually(lambda: len(site.behave.tokens) == 1, timeout_s=20)
    site.clock.move(LEASE_S + 1)
    site.behave.waits = False
    site.reach(second, command, State.DONE)
    assert 1 == site.behave.planned
    assert site.behave.tokens[1] > site.behave.tokens[0]


def test_one_job_runs_at_a_time_in_order() -> None:
    """A later command waits as accepted until the earlier one has ended."""
    site = Site()
    coordinator = site.coordinator()
    site.behave.waits = True
    first, second = site.insert(command="backup"), site.insert(command="backup")
    site.reach(coordinator, first, State.RUNNING)
    site.reach(coordinator, second, State.ACCEPTED)
    site.behave.waits = False
    site.reach(coordinator, second, State.DONE)
    assert State.DONE is site.state(first)


def test_a_check_runs_beside_a_backup_and_is_cancelled_alone() -> None:
    """The status tells of the job that writes data."""
    site = Site()
    coordinator = site.coordinator()
    site.behave.waits = True
    backup = site.insert(command="backup")
    site.reach(coordinator, backup, State.RUNNING)
    checks = [site.insert(command="check") for _ in range(MOST_BESIDE + 1)]
    for check in checks[:-1]:
        site.reach(coordinator, check, State.RUNNING)
    assert State.ACCEPTED is site.state(checks[-1])
    cancel = site.insert(command="cancel", target=checks[0])
    site.reach(coordinator, cancel, State.DONE)
    site.reach(coordinator, checks[-1], State.RUNNING)
    assert (State.CANCELED, State.RUNNING) == (site.state(checks[0]), site.state(backup))
    site.clock.move(2)
    coordinator.tick(site.stop)
    assert site.control.status.cluster is not None
    assert site.control.status.cluster.running is not None
    assert "backup" == site.control.status.cluster.running.command
    site.behave.waits = False
    for command in (backup, *checks[1:]):
        site.reach(coordinator, command, State.DONE)


def test_a_check_goes_on_under_the_next_coordinator() -> None:
    """As every job does; whoever gives the lease up ends all of its own."""
    site = Site()
    first, second = site.coordinator("a:1"), site.coordinator("b:1")
    site.behave.waits = True
    commands = [site.insert(command="backup"), site.insert(command="check")]
    for command in commands:
        site.reach(first, command, State.RUNNING)
    first.resign("the agent stops")
    second.tick(site.stop)
    eventually(lambda: len(site.behave.tokens) == 4, timeout_s=20)
    site.behave.waits = False
    for command in commands:
        site.reach(second, command, State.DONE)


def test_a_job_that_ends_in_a_failure_of_what_it_found_keeps_its_result() -> None:
    """And its questions are gone."""
    site = Site()
    site.behave.error = JobError("check_failed", "bad", hint="", result={"failed": 1})
    command = site.insert(command="check")
    site.control.questions.ask(command, ["a:1"], 0)
    site.reach(site.coordinator(), command, State.FAILED)
    shown = site.control.commands.commands[key(command)].shown
    assert ("check_failed", {"failed": 1}) == (site.error(command), shown["result"])
    eventually(lambda: not site.control.questions.jobs(), timeout_s=20)


def test_a_new_coordinator_sweeps_questions_of_ended_jobs() -> None:
    """A coordinator that died may have asked after the end of the command."""
    site = Site()
    site.control.questions.ask("gone", ["a:1"], 1)
    site.coordinator().tick(site.stop)
    assert [] == list(site.control.questions.jobs())


def test_a_coordinator_that_slept_through_its_lease_begins_no_job() -> None:
    """It may have been stopped while it planned: another one leads now, and will begin it."""
    site = Site()
    first, second = site.coordinator(), site.coordinator("b:1")
    site.behave.while_planning = lambda: site.clock.move(60)
    command = site.insert(command="backup")
    first.tick(site.stop)
    eventually(lambda: site.behave.planned == 1, timeout_s=20)
    site.behave.while_planning = lambda: None
    site.reach(second, command, State.DONE)
    assert (2, 1) == (site.behave.planned, len(site.behave.tokens))
    first.resign("the test ends")
    second.resign("the test ends")


def test_a_running_command_can_be_cancelled() -> None:
    """The cancel is done when its target is canceled."""
    site = Site()
    coordinator = site.coordinator()
    site.behave.waits = True
    target = site.insert(command="backup")
    site.reach(coordinator, target, State.RUNNING)
    cancel = site.insert(command="cancel", target=target)
    site.reach(coordinator, cancel, State.DONE)
    assert State.CANCELED is site.state(target)


def test_a_waiting_command_can_be_cancelled() -> None:
    """It never starts."""
    site = Site()
    coordinator = site.coordinator()
    site.behave.waits = True
    running = site.insert(command="backup")
    site.reach(coordinator, running, State.RUNNING)
    waiting = site.insert(command="backup")
    cancel = site.insert(command="cancel", target=waiting)
    site.reach(coordinator, cancel, State.DONE)
    assert (State.CANCELED, State.RUNNING) == (site.state(waiting), site.state(running))
    coordinator.resign("the test ends")


def test_a_switch_that_has_begun_is_not_cancelled() -> None:
    """The cancel is refused with a reason, and the work goes on."""
    site = Site()
    coordinator = site.coordinator()
    site.behave.waits, site.behave.may_cancel = True, False
    target = site.insert(command="restore")
    site.reach(coordinator, target, State.RUNNING)
    cancel = site.insert(command="cancel", target=target)
    site.reach(coordinator, cancel, State.REJECTED)
    assert "too_late_to_cancel" == site.error(cancel)
    site.behave.waits = False
    site.reach(coordinator, target, State.DONE)


def test_a_cancel_of_nothing_is_rejected() -> None:
    """It names nothing that waits or runs."""
    site = Site()
    cancel = site.insert(command="cancel", target="nothing")
    site.reach(site.coordinator(), cancel, State.REJECTED)
    assert "nothing_to_cancel" == site.error(cancel)


def test_transient_faults_are_tried_again_and_then_told() -> None:
    """Each try was minutes of retries already."""
    site = Site()
    site.behave.error = TransientError("storage_unreachable", "no answer")
    command = site.insert(command="backup")
    site.reach(site.coordinator(), command, State.FAILED)
    assert (MOST_TRIES, 1) == (len(site.behave.tokens), site.behave.planned)
    assert "storage_unreachable" == site.error(command)
    assert 1 == site.behave.given_up


def test_a_coordinator_that_took_over_fences_off_the_one_before_at_once() -> None:
    """The first one may not know yet, and must not end what the second one goes on with."""
    site = Site()
    first, second = site.coordinator("a:1"), site.coordinator("b:1")
    site.behave.waits = True
    command = site.insert(command="backup")
    site.reach(first, command, State.RUNNING)
    stale = site.control.commands.get(command)
    assert stale is not None
    site.clock.move(LEASE_S + 1)
    second.tick(site.stop)
    eventually(lambda: len(site.behave.tokens) == 2, timeout_s=20)
    with pytest.raises(LeaseLost):
        site.control.commands.move(
            stale, State.FAILED, site.behave.tokens[0], Outcome(coordinator="a:1")
        )
    site.behave.waits = False
    site.reach(second, command, State.DONE)


def test_a_command_that_ended_meanwhile_is_not_taken_over() -> None:
    """The one before brought it to its end between the look at it and the start of its job."""
    site = Site()
    command = site.insert(command="backup")
    site.behave.waits = True
    first, second = site.coordinator("a:1"), site.coordinator("b:1")
    site.reach(first, command, State.RUNNING)
    stale = site.control.commands.get(command)
    assert stale is not None
    eventually(lambda: len(site.behave.tokens) == 1, timeout_s=20)
    site.clock.move(LEASE_S + 1)
    late = site.control.commands.open_commands
    ended = Outcome(coordinator="a:1")

    def end_then_show_as_before() -> Sequence[CommandRecord]:
        found = late()
        site.control.commands.move(stale, State.FAILED, site.behave.tokens[0], ended)
        return found

    site.control.commands.open_commands = end_then_show_as_before  # type: ignore[method-assign]
    second.tick(site.stop)
    site.control.commands.open_commands = late  # type: ignore[method-assign]
    site.reach(second, site.insert(command="backup", note="next"), State.RUNNING)
    assert State.FAILED is site.state(command)
    eventually(lambda: len(site.behave.tokens) == 2, timeout_s=20)
    second.resign("the test ends")


def test_a_job_whose_end_could_not_be_written_is_run_again() -> None:
    """A primary that is away at that moment is no fault of the job."""
    site = Site()
    coordinator = site.coordinator()
    move = site.control.commands.move
    site.behave.error = PermanentError("bad", "b")
    away = [TransientError("no_primary", "none")]

    def fail_once(record: CommandRecord, new: State, token: int, outcome: Outcome) -> bool:
        if new is State.FAILED and away:
            raise away.pop()
        return move(record, new, token, outcome)

    site.control.commands.move = fail_once  # type: ignore[method-assign]
    command = site.insert(command="backup")
    site.reach(coordinator, command, State.FAILED)
    assert "bad" == site.error(command)


def test_leading_begins_again_if_it_could_not_begin() -> None:
    """A primary that went away in the middle must not leave the catalogue empty."""
    site = Site(backed_up=False)
    coordinator = site.coordinator()
    insert, away = site.control.commands.insert, [TransientError("no_primary", "none")]

    def fail_once(options: Mapping[str, object]) -> object:
        if away:
            raise away.pop()
        return insert(options)

    site.control.commands.insert = fail_once  # type: ignore[method-assign]
    with pytest.raises(TransientError):
        coordinator.tick(site.stop)
    coordinator.tick(site.stop)
    assert 1 == len(site.control.commands.commands)


def test_an_old_command_expires_unexecuted() -> None:
    """Nobody wants last week's restore now."""
    site = Site()
    command = site.insert(command="backup")
    site.clock.move(3601)
    site.reach(site.coordinator(), command, State.EXPIRED)
    assert 0 == site.behave.planned


def test_an_empty_catalogue_is_filled_from_the_storage_by_itself() -> None:
    """A new replica set beside an old storage shows its backups without being asked."""
    site = Site(backed_up=False)
    site.coordinator().tick(site.stop)
    assert [{"command": "resync"}] == [
        command.options for command in site.control.commands.commands.values()
    ]


def test_the_catalogue_is_filled_once_although_an_answer_was_lost() -> None:
    """The resync was inserted, and nobody heard of it: the next look does not insert another."""
    site = Site(backed_up=False)
    insert = site.control.commands.insert

    def insert_unheard(options: Mapping[str, object]) -> object:
        insert(options)
        raise TransientError("mongodb_unreachable", "the answer was lost")

    site.control.commands.insert = insert_unheard  # type: ignore[method-assign]
    coordinator = site.coordinator()
    for _ in range(2):
        with suppress(TransientError):
            coordinator.tick(site.stop)
        site.control.commands.insert = insert  # type: ignore[method-assign]
    assert [{"command": "resync"}] == [
        command.options for command in site.control.commands.commands.values()
    ]
    assert coordinator.leads


def test_a_new_coordinator_sweeps_what_ended_jobs_left() -> None:
    """Notes whose command has ended, or is gone, are removed."""
    site = Site()
    site.control.notes.save("gone", 1, {"a": 1})
    site.coordinator().tick(site.stop)
    assert [] == list(site.control.notes.jobs())


def test_a_lease_that_was_handed_back_is_taken_at_once() -> None:
    """An agent that stops in order does not leave the others waiting."""
    site = Site()
    first, second = site.coordinator("a:1"), site.coordinator("b:1")
    first.tick(site.stop)
    first.resign("the agent stops")
    second.tick(site.stop)
    assert "b:1" == site.control.leases.holder("coordinator")


def test_a_gap_in_the_archive_starts_one_full_backup() -> None:
    """However often it is looked, and whoever leads: the id is made of the gap and the hour."""
    site = Site()
    site.tell_of_a_gap()
    first, second = site.coordinator("a:1"), site.coordinator("b:1")
    first.tick(site.stop)
    (backup,) = site.backups()
    site.reach(first, backup.command_id, State.DONE)
    first.resign("the agent stops")
    for _ in range(3):
        site.clock.move(2)
        second.tick(site.stop)
    assert [backup] == site.backups()
    assert "namespaces" not in backup.options
    assert ["backup_after_gap"] == [
        event.code for event in site.control.events.written if event.code == "backup_after_gap"
    ]


def test_a_backup_after_a_gap_that_failed_is_tried_again_in_the_next_hour() -> None:
    """Not before: whatever made it fail would be met every second."""
    site = Site()
    site.tell_of_a_gap()
    site.behave.error = PermanentError("bad", "b")
    coordinator = site.coordinator()
    for count in (1, 2):
        site.clock.move(2)
        coordinator.tick(site.stop)
        site.reach(coordinator, site.backups()[-1].command_id, State.FAILED)
        for _ in range(3):
            site.clock.move(2)
            coordinator.tick(site.stop)
        assert count == len(site.backups())
        coordinator.resign("its time was over")
        site.clock.move(3600)


def test_no_second_backup_starts_while_one_is_open() -> None:
    """It may be the very one that mends the gap; one of some collections is not."""
    site = Site()
    site.behave.waits = True
    coordinator = site.coordinator()
    full = site.insert(command="backup")
    site.reach(coordinator, full, State.RUNNING)
    site.tell_of_a_gap()
    site.clock.move(2)
    coordinator.tick(site.stop)
    assert 1 == len(site.backups())
    site.insert(command="backup", namespaces=["shop.*"])
    site.behave.waits = False
    site.reach(coordinator, full, State.DONE)
    site.clock.move(2)
    coordinator.tick(site.stop)
    assert 3 == len(site.backups())
    coordinator.resign("the test ends")


def test_no_backup_starts_by_itself_if_that_is_switched_off() -> None:
    """The problem is told all the same."""
    site = Site(backs_up_after_gaps=False)
    site.tell_of_a_gap()
    site.coordinator().tick(site.stop)
    assert [] == site.backups()
    assert site.control.status.cluster is not None
    assert "oplog_gap" in {each.code for each in site.control.status.cluster.problems}


def test_a_run_that_is_due_is_inserted_and_run_at_once() -> None:
    """In the look that finds it due; the status tells of the next one."""
    site = Site()
    coordinator = site.coordinator()
    site.control.schedules.insert({
        "_id": "quarterly",
        "cron": "*/15 * * * *",
        "command": {"command": "backup"},
    })
    coordinator.tick(site.stop)
    assert [] == site.backups()
    site.clock.move(15 * 60)
    site.reach(coordinator, "quarterly@20261121T203000Z", State.DONE)
    assert 1 == len(site.backups())
    site.clock.move(2)
    coordinator.tick(site.stop)
    assert site.control.status.cluster is not None
    (found,) = site.control.status.cluster.next_runs
    assert ("quarterly", "backup", 45) == (found.schedule, found.command, found.at.minute)


def test_a_prune_follows_a_backup_of_a_schedule_with_a_retention() -> None:
    """Once, though the end of the backup could not be written at first; by hand there is none."""
    site = Site()
    coordinator = site.coordinator()
    site.control.schedules.insert({
        "_id": "nightly",
        "cron": "0 3 * * *",
        "command": {"command": "backup"},
        "retention": {"keep_last": 7},
    })
    site.control.schedules.insert({"_id": "odd", "retention": {"keep_lots": 1}})
    move = site.control.commands.move
    away = [TransientError("no_primary", "none")]

    def fail_once(record: CommandRecord, new: State, token: int, outcome: Outcome) -> bool:
        if new is State.DONE and away:
            raise away.pop()
        return move(record, new, token, outcome)

    site.control.commands.move = fail_once  # type: ignore[method-assign]
    run = "nightly@20261121T030000Z"
    for command_id in (run, "by-hand"):
        site.insert(_id=command_id, command="backup")
        site.reach(coordinator, command_id, State.DONE)
    site.reach(coordinator, f"{run}#prune", State.DONE)
    assert site.control.commands.get("by-hand#prune") is None
    assert not away


def test_of_the_runs_that_waited_the_last_is_run() -> None:
    """The others give way, and say for which."""
    site = Site()
    coordinator = site.coordinator()
    site.behave.waits = True
    runs = [f"s@20261121T2{hour}0000Z" for hour in range(4)]
    for run in runs:
        site.insert(_id=run, command="backup")
        site.reach(coordinator, run, State.ACCEPTED if run != runs[0] else State.RUNNING)
        site.clock.move(3601)
    site.behave.waits = False
    site.reach(coordinator, runs[3], State.DONE)
    expected = [State.DONE, State.CANCELED, State.CANCELED, State.DONE]
    assert expected == [site.state(run) for run in runs]
    assert "run_superseded" == site.error(runs[1])
    assert 2 == site.behave.planned
