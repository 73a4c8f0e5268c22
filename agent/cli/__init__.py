"""The command line: arguments, settings, wiring, exit status; the only room that prints.

Knows click, rich, wiring and what lies below ports; must not know pymongo, boto3 or jobs.
"""

from agent.cli.app import main

__all__ = ["main"]
