"""The agent as a process."""

import faulthandler
from collections.abc import Callable
from typing import Final

import agent
from agent.core import log
from agent.core.clock import SystemClock
from agent.core.crash import CRASH_VARIABLE, arm
from agent.core.errors import TransientError
from agent.core.flow import Stop
from agent.core.memory import collect_seldom, give_back, hold_little, leave_no_core
from agent.core.notify import ServiceManager
from agent.core.retry import retry
from agent.daemon.node_watch import NodeWatch
from agent.daemon.service import serve
from agent.daemon.status_line import status_line
from agent.daemon.storage_watch import StorageWatch
from agent.model.status import AgentStatus
from agent.mongo.control import prepare
from agent.settings import Settings, process_environment
from agent.wiring.assembly import Assembly
from agent.wiring.links import START_POLICY, link
from agent.wiring.metrics import Metrics
from agent.wiring.posture import tell_posture
from agent.wiring.stores import Stores

# Where systemd hears of a service of Type=notify.
MANAGER_VARIABLE: Final = "NOTIFY_SOCKET"


def run_agent(settings: Settings, stop: Stop) -> None:
    """Be an agent until ``stop`` is set.

    Raises: ConfigError, PermanentError at the start, for what an operator must mend first.
    """
    hold_little()
    leave_no_core()
    # A watchdog ends what hangs by SIGABRT: where each thread stood is then in the journal.
    faulthandler.enable()
    variables = process_environment()
    arm(variables.get(CRASH_VARIABLE, ""))
    tell_posture(settings, variables, log.get())
    manager = ServiceManager(variables.get(MANAGER_VARIABLE, ""))
    waiting = _waiting(manager)
    manager.starting("asks its node")
    links = link(settings, stop, waiting)
    try:
        metrics = Metrics(settings, SystemClock())
        stores = Stores(settings, variables, stop, metrics.instruments)
        whole = Assembly(settings, links, stores, stop, metrics.instruments)
        storage_watch = whole.storage_watch()
        manager.starting("asks its storage")
        storage_watch.begin()
        database = links.cluster[settings.control.database]
        manager.starting("prepares the control database")
        retry(lambda: prepare(database), policy=START_POLICY, stop=stop, on_retry=waiting)
        node_watch = whole.node_watch(storage_watch)
        whole.log.info("agent started", version=agent.__version__, replset=links.own.replset)
        whole.look_over(stop)
        duties = _duties(whole, node_watch, storage_watch, manager)
        tell = metrics.duty(links.own, whole.sights(node_watch, storage_watch), whole.log)
        if tell is not None:
            duties["metrics"] = tell
        collect_seldom()
        manager.ready("started")
        serve(duties, stop, whole.log, manager.stopping)
        whole.log.info("agent stopped")
    finally:
        links.close()


def _duties(
    whole: Assembly, node_watch: NodeWatch, storage_watch: StorageWatch, manager: ServiceManager
) -> dict[str, Callable[[Stop], None]]:
    """Return what the agent does all the time, each in a thread of its own, by name."""
    coordinator = whole.coordinator()

    def beaten(told: AgentStatus | None) -> None:
        manager.alive(status_line(told, leads=coordinator.leads))

    duties: dict[str, Callable[[Stop], None]] = {
        "keeper": whole.keeper.run,
        "heartbeat": lambda stop: node_watch.run(stop, beaten),
        "storage": storage_watch.run,
        "identities": whole.sources.run,
        "dispatcher": whole.dispatcher(node_watch.may_read).run,
        "coordinator": coordinator.run,
        "respondent": whole.respondent().run,
        "memory": give_back,
    }
    if whole.settings.notify is not None:
        duties["notices"] = whole.notices.run
    if whole.settings.oplog.enabled:
        duties["archive"] = whole.archive_run(node_watch)
    return duties


def _waiting(manager: ServiceManager) -> Callable[[TransientError, int], None]:
    def tell(error: TransientError, tries: int) -> None:
        manager.starting(f"waits for MongoDB: {error.message}")
        log.get().warning("waiting for MongoDB", code=error.code, reason=error.message, tries=tries)

    return tell
