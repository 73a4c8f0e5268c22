"""The webhook and the hooks of the configuration."""

from collections.abc import Mapping
from typing import Final

import agent
from agent.core.clock import Clock
from agent.core.log import Log
from agent.daemon.hooks import HookPorts, Hooks
from agent.daemon.notices import NoticePorts, Notices
from agent.mongo.connect import OwnNode
from agent.outside.program import Programs
from agent.outside.webhook import Address, Webhook
from agent.settings import Settings

# What a program needs to run at all; the keys and passwords of the agent are none of its business.
_PASSED_ON: Final = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")


def notices(settings: Settings, own: OwnNode, clock: Clock, log: Log) -> Notices:
    """Return what tells the webhook, if there is one."""
    notify = settings.notify
    if notify is None:
        return Notices()
    address = Address(
        url=notify.url.get_secret_value(),
        headers=notify.pairs,
        ca_file=notify.ca_file,
        timeout_s=notify.timeout_s,
        agent_version=agent.__version__,
    )
    return Notices(
        NoticePorts(
            postbox=Webhook(address),
            events=frozenset(notify.events),
            replset=own.replset,
            agent=own.name,
            clock=clock,
            log=log,
        )
    )


def hooks(
    settings: Settings, own: OwnNode, environment: Mapping[str, str], clock: Clock, log: Log
) -> Hooks:
    """Return what runs the hooks, if there are any."""
    programs = settings.hooks.programs
    if not programs:
        return Hooks()
    base = {name: environment[name] for name in _PASSED_ON if name in environment}
    return Hooks(
        HookPorts(
            runner=Programs(base, clock),
            programs=programs,
            limit_s=settings.hooks.timeout_s,
            replset=own.replset,
            agent=own.name,
            clock=clock,
            log=log,
        )
    )
