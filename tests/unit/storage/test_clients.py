"""Clients that are kept."""

from typing import Any, cast

from agent.settings import S3Settings
from agent.storage.clients import Clients

BUCKET = {"region": "eu-west-1", "bucket": "acme-mongo-backups"}


def test_one_client_for_the_same_settings() -> None:
    """However often it is asked for, and another one for other settings."""
    made: list[S3Settings] = []

    def connect(settings: S3Settings) -> Any:
        made.append(settings)
        return cast("Any", object())

    clients = Clients(connect)
    first, hurried = (
        S3Settings.model_validate({**BUCKET, "read_timeout_s": each}) for each in (60, 6)
    )
    again = S3Settings.model_validate({**BUCKET, "read_timeout_s": 60})
    assert clients.client(first) is clients.client(again)
    assert clients.client(first) is not clients.client(hurried)
    assert [first, hurried] == made
