"""Clients for questions about a bucket, kept from one time they are asked to the next."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.core.flow import Shared
from agent.settings import S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    _Made = tuple[tuple[S3Settings, S3Client], ...]


class Clients:
    """Makes a client when there is none for these settings yet; from any thread."""

    def __init__(self, connect: "Callable[[S3Settings], S3Client]") -> None:
        self._connect = connect
        self._made: Shared[_Made] = Shared(())

    def client(self, settings: S3Settings) -> "S3Client":
        """Return a client that others may use too. Raises: what making one raises."""

        def with_it(made: "_Made") -> "_Made":
            if any(each == settings for each, _ in made):
                return made
            return (*made, (settings, self._connect(settings)))

        return next(client for each, client in self._made.update(with_it) if each == settings)
