"""Clients for S3, before they ask anybody."""

from contextlib import closing
from typing import Any

from agent.aws.session import Access
from agent.daemon.slots import MOST_BESIDE
from agent.settings import S3Settings

_MOST_WORKERS = 16


def test_a_client_keeps_a_connection_for_whoever_may_use_it_at_once() -> None:
    """Tasks, the job that writes data and those beside it, each with the most workers."""
    settings = S3Settings(bucket="acme", region="eu-west-1")
    with closing(Access(settings, {}).connect()) as client:
        config: Any = client.meta.config
    assert config.max_pool_connections >= _MOST_WORKERS * (2 + MOST_BESIDE)
