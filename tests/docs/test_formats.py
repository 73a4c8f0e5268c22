"""The examples of stored objects are what the code reads and writes."""

import json
import re

from agent.codec import manifest_json
from agent.model import keys
from tests.docs import documents
from tests.docs.documents import DESIGN

SECTION = "The bucket"


def example() -> str:
    """Return the manifest in docs/design.md."""
    (found,) = documents.fenced(documents.section(DESIGN, SECTION), "json")
    return found


def test_the_manifest_is_one() -> None:
    """It decodes, and encoding it again gives the same fields and values."""
    manifest = manifest_json.decode(example().encode())
    assert json.loads(example()) == json.loads(manifest_json.encode(manifest))


def test_the_chunk_is_named_as_the_code_does() -> None:
    """The key that is explained is the one in the manifest, and is built like this."""
    (copy,) = manifest_json.decode(example().encode()).copies
    name = keys.ChunkName(task=4, token=195292110000001, sequence=0)
    built = keys.chunk("rs0", "20261121T201512Z", copy.collection.namespace, name)
    assert built == copy.chunks[0].key
    assert documents.section(DESIGN, SECTION).count(built) == 2


def test_the_segment_is_named_as_the_code_does() -> None:
    """Its key says whose it is and what it holds."""
    (key,) = re.findall(r"^ +(rs0/oplog/\S+)$", documents.section(DESIGN, SECTION), re.MULTILINE)
    assert keys.parse_segment(key) is not None


def test_the_layout_is_that_of_the_keys() -> None:
    """The scheme in the document is the one at the head of the module that builds keys."""
    scheme = [line.strip() for line in (keys.__doc__ or "").splitlines() if "<replset>/" in line]
    assert len(scheme) == 5
    assert all(line in documents.section(DESIGN, SECTION) for line in scheme)
