"""The rules for names of general purpose buckets in Amazon S3.

Source: Amazon S3 User Guide, "General purpose bucket naming rules", as of November 2026. Names in
an account's own namespace (``name-111122223333-eu-west-1-an``) keep the same rules. Names that
predate them (capitals, underscores) are refused too: they cannot be reached by virtual-host
addressing, and S3 itself has not let anyone create them since 2018.
"""

import re
from typing import Final

_SHORTEST: Final = 3
_LONGEST: Final = 63
_ADDRESS: Final = re.compile(r"^\d{1,3}(\.\d{1,3}){3}$")
_RESERVED_PREFIXES: Final = {
    "xn--": "internationalised domain names",
    "sthree-": "Amazon's own use",
    "amzn-s3-demo-": "Amazon's examples",
}
_RESERVED_SUFFIXES: Final = {
    "-s3alias": "access point aliases",
    "--ol-s3": "Object Lambda access points",
    ".mrap": "multi-region access points",
    "--x-s3": "directory buckets, which lack what backups need",
    "--table-s3": "S3 Tables",
}


def broken_rule(name: str) -> str | None:
    """Return the first naming rule that a bucket name breaks, as a phrase; None if it is sound."""
    return _characters(name) or _shape(name) or _reserved(name)


def _characters(name: str) -> str | None:
    if not _SHORTEST <= len(name) <= _LONGEST:
        return f"must have {_SHORTEST} to {_LONGEST} characters, this has {len(name)}"
    if any("A" <= letter <= "Z" for letter in name):
        return f"must not have capital letters; did you mean {name.lower()!r}?"
    if "_" in name:
        return "must not have underscores; S3 allows hyphens"
    if re.fullmatch(r"[a-z0-9.-]+", name) is None:
        return "must have only lower-case letters, digits, dots and hyphens"
    return None


def _shape(name: str) -> str | None:
    if not (name[0].isalnum() and name[-1].isalnum()):
        return "must begin and end with a letter or digit"
    if ".." in name:
        return "must not have two dots in a row"
    if _ADDRESS.match(name):
        return "must not look like an IP address"
    return None


def _reserved(name: str) -> str | None:
    for prefix, owner in _RESERVED_PREFIXES.items():
        if name.startswith(prefix):
            return f"must not begin with {prefix!r}, which is reserved for {owner}"
    for suffix, owner in _RESERVED_SUFFIXES.items():
        if name.endswith(suffix):
            return f"must not end with {suffix!r}, which is reserved for {owner}"
    return None
