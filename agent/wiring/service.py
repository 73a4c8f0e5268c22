"""The agent as a process."""

from collections.abc import Callable

import agent
from agent.core.flow import Stop
from agent.core.memory import collect_seldom, give_back, hold_little
from agent.core.retry import retry
from agent.daemon.service import serve
from agent.mongo.control import prepare
from agent.settings import Settings, process_environment
from agent.wiring.assembly import Assembly
from agent.wiring.links import START_POLICY, link
from agent.wiring.stores import Stores


def run_agent(settings: Settings, stop: Stop) -> None:
    """Be an agent until ``stop`` is set.

    Raises: ConfigError, PermanentError at the start, for what an operator must mend first.
    """
    hold_little()
    links = link(settings, stop)
    try:
        whole = Assembly(settings, links, Stores(settings, process_environment(), stop), stop)
        storage_watch = whole.storage_watch()
        storage_watch.begin()
        database = links.cluster[settings.control.database]
        retry(lambda: prepare(database), policy=START_POLICY, stop=stop)
        node_watch = whole.node_watch(storage_watch)
        whole.log.info("agent started", version=agent.__version__, replset=links.own.replset)
        whole.look_over(stop)
        duties: dict[str, Callable[[Stop], None]] = {
            "keeper": whole.keeper.run,
            "heartbeat": node_watch.run,
            "storage": storage_watch.run,
            "identities": whole.sources.run,
            "dispatcher": whole.dispatcher(node_watch.may_read).run,
            "coordinator": whole.coordinator().run,
            "respondent": whole.respondent().run,
            "memory": give_back,
        }
        if settings.oplog.enabled:
            duties["archive"] = whole.archive_run(node_watch)
        collect_seldom()
        serve(duties, stop, whole.log)
        whole.log.info("agent stopped")
    finally:
        links.close()
