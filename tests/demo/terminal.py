"""What an operator types: verbs of the command line, at this very terminal, and mongosh."""

import json
import os
import subprocess
import sys
from typing import Any

from bson import json_util

from tests.demo.story import Story
from tests.testbed.agents import COMMAND, Agent
from tests.testbed.clients import Document
from tests.testbed.shell import run_mongosh


class CommandFailedError(Exception):
    """A command did not end well; a verb of the command line has said why by itself."""


def verb(story: Story, agent: Agent, name: str, *options: str) -> None:
    """Run a verb as an operator would. Raises: CommandFailedError."""
    story.command("backstay", name, *options)
    command = [str(COMMAND), name, "--config", str(agent.config), *options]
    sys.stdout.flush()
    done = subprocess.run(command, env=dict(os.environ), check=False)
    if done.returncode != 0:
        raise CommandFailedError(f"backstay {name} ended with exit status {done.returncode}")


def newest_backup(agent: Agent) -> dict[str, Any]:
    """Return the newest backup as `backstay list` shows it. Raises: CommandFailedError."""
    listed = agent.verb("list", "--json")
    if listed.exit_status != 0:
        raise CommandFailedError(f"backstay list: {listed.stderr or listed.stdout}")
    newest: dict[str, Any] = json.loads(listed.stdout)[0]
    return newest


def ask_mongosh(story: Story, uri: str, *lines: str) -> Document:
    """Ask for one document in mongosh, and show question and answer. Raises: CommandFailedError."""
    story.prompt(*lines)
    question = " ".join(line.strip() for line in lines)
    script = f"const found = ({question}).toArray()[0]; print(found); print(EJSON.stringify(found))"
    done = run_mongosh(uri, script)
    *shown, answer = done.stdout.strip().splitlines() or [""]
    if done.exit_status != 0 or not shown:
        raise CommandFailedError(f"mongosh: {done.stderr or done.stdout}")
    for line in shown:
        story.tell(line)
    found: Document = json_util.loads(answer)
    return found
