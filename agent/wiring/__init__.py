"""The composition root: the only room that names concrete classes; no logic of its own.

Knows every room below it; must not be known by any but cli.
"""

from agent.wiring.console import open_console
from agent.wiring.doctor import check_here
from agent.wiring.service import run_agent

__all__ = ["check_here", "open_console", "run_agent"]
