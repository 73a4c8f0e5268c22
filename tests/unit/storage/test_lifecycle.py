"""Lifecycle rules: which of them would lose backups."""

from typing import Any

import pytest

from agent.storage.lifecycle import removes_old_versions, threats

ROOT = "prod/rs0/"


def _rule(**parts: Any) -> dict[str, Any]:
    return {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, **parts}


EXPIRES = {"Expiration": {"Days": 30}}


@pytest.mark.parametrize(
    "rule",
    [
        _rule(**EXPIRES),
        _rule(Filter={}, **EXPIRES),
        _rule(Filter={"Prefix": "prod/"}, **EXPIRES),
        _rule(Filter={"Prefix": "prod/rs0/backups/"}, **EXPIRES),
        _rule(Filter={"And": {"Prefix": "prod/", "ObjectSizeGreaterThan": 5}}, **EXPIRES),
        {"Status": "Enabled", "Prefix": "prod/", **EXPIRES},
        _rule(Transitions=[{"Days": 1, "StorageClass": "GLACIER"}]),
        _rule(Transitions=[{"StorageClass": "DEEP_ARCHIVE"}]),
    ],
)
def test_a_rule_that_takes_our_objects_away_is_a_threat(rule: dict[str, Any]) -> None:
    """Wherever its prefix begins, and whether it deletes or archives."""
    assert 1 == len(threats([rule], ROOT))


@pytest.mark.parametrize(
    "rule",
    [
        _rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}),
        _rule(NoncurrentVersionExpiration={"NoncurrentDays": 1}),
        _rule(Expiration={"ExpiredObjectDeleteMarker": True}),
        _rule(Transitions=[{"Days": 1, "StorageClass": "STANDARD_IA"}]),
        _rule(Filter={"Prefix": "prod/rs1/"}, **EXPIRES),
        _rule(Filter={"Tag": {"Key": "a", "Value": "b"}}, **EXPIRES),
        _rule(Filter={"And": {"Prefix": "prod/", "Tags": [{"Key": "a"}]}}, **EXPIRES),
        _rule(Status="Disabled", **EXPIRES),
    ],
)
def test_other_rules_are_none(rule: dict[str, Any]) -> None:
    """Parts of uploads, old versions, cheaper classes that can be read, other objects."""
    assert [] == threats([rule], ROOT)


def test_old_versions_go_only_by_a_rule_for_all_of_ours() -> None:
    """One for the archive alone leaves those of the backups."""
    expire = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
    assert removes_old_versions([_rule(**expire)], ROOT)
    assert removes_old_versions([_rule(Filter={"Prefix": "prod/"}, **expire)], ROOT)
    assert not removes_old_versions([_rule(Filter={"Prefix": "prod/rs0/oplog/"}, **expire)], ROOT)
    assert not removes_old_versions([_rule(**EXPIRES)], ROOT)
