"""What the lifecycle rules of a bucket would do to backups: pure.

Source: Amazon S3 User Guide, "Lifecycle configuration elements".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Rule = Mapping[str, Any]

# How servers say that a bucket has no rules.
NO_RULES: Final = frozenset({"NoSuchLifecycleConfiguration"})
# Objects in these have to be restored before they can be read, for hours.
_ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})


def threats(rules: Sequence[Rule], root: str) -> list[str]:
    """Say of each rule that would lose or lock away objects under ``root`` what it does."""
    found = []
    for rule in _about(rules, root):
        expiration = rule.get("Expiration", {})
        if "Days" in expiration or "Date" in expiration:
            found.append(f"{_name(rule)} deletes objects {_when(expiration)}")
        found += [
            f"{_name(rule)} moves objects to {each['StorageClass']} {_when(each)}"
            for each in rule.get("Transitions", ())
            if each.get("StorageClass") in _ARCHIVES
        ]
    return found


def removes_old_versions(rules: Sequence[Rule], root: str) -> bool:
    """Whether versions of deleted objects under ``root`` go some day."""
    return any(
        "NoncurrentVersionExpiration" in rule and root.startswith(_prefix(rule))
        for rule in _about(rules, root)
    )


def _about(rules: Sequence[Rule], root: str) -> list[Rule]:
    """Return the rules that are on and touch keys under ``root``; our objects have no tags."""
    return [
        rule
        for rule in rules
        if rule.get("Status") == "Enabled"
        and not _has_tags(rule)
        and (_prefix(rule).startswith(root) or root.startswith(_prefix(rule)))
    ]


def _filter(rule: Rule) -> Mapping[str, Any]:
    found: Mapping[str, Any] = rule.get("Filter") or {}
    inner: Mapping[str, Any] = found.get("And") or found
    return inner


def _has_tags(rule: Rule) -> bool:
    return bool(_filter(rule).get("Tag") or _filter(rule).get("Tags"))


def _prefix(rule: Rule) -> str:
    # The prefix beside the filter is the older way to write it.
    return str(_filter(rule).get("Prefix") or rule.get("Prefix") or "")


def _name(rule: Rule) -> str:
    return f"the rule {rule['ID']}" if rule.get("ID") else "a rule without an ID"


def _when(action: Mapping[str, Any]) -> str:
    if "Days" in action:
        return f"after {action['Days']} days"
    return f"on {action['Date']:%Y-%m-%d}" if "Date" in action else "at once"
