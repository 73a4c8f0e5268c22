"""What the demo tells, and the tables that its chapters end with."""

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bson import json_util
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.testbed.clients import Client
from tests.testbed.hashes import Contents, differences

_SHOWN_CHARACTERS = 12


class Story:
    """Tells the steps of the demo with the time that has passed."""

    def __init__(self) -> None:
        """Begin now."""
        self.console = Console(highlight=False)
        self._begun_at = time.monotonic()

    @property
    def passed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun_at

    def step(self, text: str) -> None:
        """Begin a step."""
        self.console.print()
        line = Text.assemble((f"{self.passed_s:5.1f} s  ", "dim"), (text, "bold"))
        self.console.print(line, soft_wrap=True)

    def tell(self, text: str) -> None:
        """Tell a detail of the step."""
        self.console.print(Text(f"         {text}"), soft_wrap=True)

    def command(self, *arguments: str) -> None:
        """Show a command that an operator would type."""
        line = Text.assemble("         ", ("$ ", "dim"), (" ".join(arguments), "cyan"))
        self.console.print(line, soft_wrap=True)

    def prompt(self, *lines: str) -> None:
        """Show what an operator would type into mongosh, in one line or several."""
        for number, line in enumerate(lines):
            mark = "  " if number else "> "
            self.console.print(
                Text.assemble("         ", (mark, "dim"), (line, "cyan")), soft_wrap=True
            )

    def conclude(self, table: Table, found: list[str], proved: str) -> bool:
        """Show what was compared, and say what is proved if nothing was found to differ."""
        self.console.print()
        self.console.print(table)
        self.console.print()
        for line in found:
            self.console.print(line, style="red")
        if found:
            self.console.print("NOT proved: the restored data differ.", style="bold red")
            return False
        self.console.print(f"Proved: {proved}", style="bold green", soft_wrap=True)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that must come back."""

    contents: Contents
    users: str
    """A hash over all users, with their credentials, and all roles."""


def users_hash(client: Client) -> str:
    """Hash all users and roles of the replica set."""
    users = client.admin.command("usersInfo", {"forAllDBs": True}, showCredentials=True)["users"]
    roles = client["shop"].command("rolesInfo", 1, showPrivileges=True)["roles"]
    # A user's id within the server is not part of what the user is.
    kept = [{name: value for name, value in user.items() if name != "userId"} for user in users]
    text = json_util.dumps([kept, roles], sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def compare(client: Client, before: State, after: State) -> tuple[Table, list[str]]:
    """Return a table of everything and a line for each thing that differs."""
    names = before.contents.hashes.keys() | after.contents.hashes.keys()
    table = table_of(client, sorted(names), before.contents, after.contents)
    table.add_row(*_row("users and roles", "", (before.users, after.users)))
    found = differences(before.contents, after.contents)
    if before.users != after.users:
        found.append("users and roles differ")
    return table, found


def table_of(client: Client, names: Iterable[str], before: Contents, after: Contents) -> Table:
    """Return a table of collections with their hashes before and after."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("collection")
    table.add_column("documents", justify="right")
    table.add_column("hash before")
    table.add_column("hash after")
    table.add_column("")
    for name in names:
        hashes = before.hashes.get(name, "-"), after.hashes.get(name, "-")
        table.add_row(*_row(_visible(name), f"{_count(client, name):,}", hashes))
    return table


def _row(name: str, documents: str, hashes: tuple[str, str]) -> tuple[Text, ...]:
    is_equal = hashes[0] == hashes[1]
    return (
        Text(name),
        Text(documents),
        *(Text(each[:_SHOWN_CHARACTERS], style="dim" if is_equal else "red") for each in hashes),
        Text("equal", style="green") if is_equal else Text("DIFFERENT", style="bold red"),
    )


def _visible(name: str) -> str:
    return (
        name.replace(".system.buckets.", ".")
        + (" (time series)" if ".system.buckets." in name else "")
        + (" (views)" if name.endswith(".system.views") else "")
    )


def _count(client: Client, name: str) -> int:
    database, _, collection = name.partition(".")
    return client[database][collection.removeprefix("system.buckets.")].count_documents({})


def sizes(client: Client) -> Mapping[str, int]:
    """Return how much data there is, over all databases of users."""
    names = [each for each in client.list_database_names() if each in {"shop", "blog", "plant"}]
    stats = [client[name].command("dbStats") for name in names]
    return {
        "collections": sum(int(each["collections"]) for each in stats),
        "documents": sum(int(each["objects"]) for each in stats),
        "bytes": sum(int(each["dataSize"]) for each in stats),
    }
