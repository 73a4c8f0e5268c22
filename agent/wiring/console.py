"""The replica set for people at a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.mongo.backups import MongoBackups
from agent.mongo.commands import MongoCommands
from agent.mongo.connect import open_cluster, open_node, own_node
from agent.mongo.console import MongoDocuments
from agent.mongo.control import prepare
from agent.mongo.status import MongoStatus
from agent.ports import (
    BackupCatalogue,
    CommandBoard,
    StatusBoard,
)
from agent.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The replica set as a person at a terminal needs it."""

    commands: CommandBoard
    status: StatusBoard
    catalogue: BackupCatalogue
    documents: MongoDocuments
    prepare: Callable[[], None]


@contextmanager
def open_console(settings: Settings) -> Iterator[Console]:
    """Connect to the replica set as an operator, for as long as the context lasts.

    Raises: ConfigError; TransientError if the node does not answer within seconds.
    """
    uri = settings.mongodb.uri.get_secret_value()
    with open_node(uri) as node:
        own = own_node(node)
    with open_cluster(uri, own.hosts, own.replset) as cluster:
        database = cluster[settings.control.database]
        yield Console(
            commands=MongoCommands(database),
            status=MongoStatus(database),
            catalogue=MongoBackups(database),
            documents=MongoDocuments(database),
            prepare=lambda: prepare(database),
        )
