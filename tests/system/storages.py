"""Storages that a test can look into and damage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.testbed.agents import Settings, filesystem_storage, s3_storage
from tests.testbed.s3 import Bucket

Keys = Sequence[str]


class Storage(Protocol):
    """Where the agents of a test keep backups."""

    @property
    def settings(self) -> Settings:
        """The `storage` block for the agents' configuration."""
        ...

    def list(self) -> Keys:
        """Return the keys of all objects, relative to the prefix, in order."""
        ...

    def read(self, key: str) -> bytes:
        """Return an object."""
        ...

    def write(self, key: str, body: bytes) -> None:
        """Put an object in the place of another, as nothing of the product would."""
        ...

    def remove(self, key: str) -> None:
        """Remove an object."""
        ...


class DirectoryStorage:
    """A directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = filesystem_storage(path)

    def list(self) -> Keys:
        """Return the keys of all objects, sorted."""
        files = (each for each in self.path.rglob("*") if each.is_file())
        return sorted(str(each.relative_to(self.path)) for each in files)

    def read(self, key: str) -> bytes:
        """Return an object."""
        return (self.path / key).read_bytes()

    def write(self, key: str, body: bytes) -> None:
        """Replace an object."""
        (self.path / key).write_bytes(body)

    def remove(self, key: str) -> None:
        """Remove an object."""
        (self.path / key).unlink()


class BucketStorage:
    """A prefix in a bucket of a real S3 server."""

    def __init__(self, bucket: Bucket, **settings: object) -> None:
        self.bucket = bucket
        self.settings = s3_storage(bucket.server, bucket.name, bucket.prefix, **settings)
        self._client = bucket.server.client()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def list(self) -> Keys:
        """Return the keys of all objects, relative to the prefix, in order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket.name, Prefix=f"{self.bucket.prefix}/"
        )
        skip = len(self.bucket.prefix) + 1
        return sorted(each["Key"][skip:] for page in pages for each in page.get("Contents", []))

    def read(self, key: str) -> bytes:
        """Return an object."""
        found = self._client.get_object(Bucket=self.bucket.name, Key=self._full(key))
        with found["Body"] as body:
            return body.read()

    def write(self, key: str, body: bytes) -> None:
        """Replace an object."""
        self._client.put_object(Bucket=self.bucket.name, Key=self._full(key), Body=body)

    def remove(self, key: str) -> None:
        """Remove an object."""
        self._client.delete_object(Bucket=self.bucket.name, Key=self._full(key))

    def _full(self, key: str) -> str:
        return f"{self.bucket.prefix}/{key}"


def chunk_keys(storage: Storage) -> Keys:
    """Return the keys of all chunks."""
    return [key for key in storage.list() if "/data/" in key]


def manifest_keys(storage: Storage) -> Keys:
    """Return the keys of all manifests."""
    return [key for key in storage.list() if key.endswith("manifest.json")]
