"""Which collections a command means, and what they are to be called: patterns with stars.

A pattern is ``database.collection``, split at the first dot. A star stands for any run of
characters, none included; it does not reach over the dot between database and collection,
but over dots within a collection's name. A time series and its buckets have one name: the
one that users know.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.core.errors import PermanentError
from agent.model.names import STORED_JAVASCRIPT, VIEWS, Namespace

_STAR = "*"


def _expression(part: str) -> str:
    return "(.*)".join(re.escape(text) for text in part.split(_STAR))


@dataclass(frozen=True)
class Pattern:
    """One pattern; ``parse`` makes it."""

    database: str
    collection: str

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Read ``database.collection``. Raises: PermanentError ``bad_pattern``."""
        database, dot, collection = text.partition(".")
        if not (database and dot and collection):
            raise PermanentError(
                "bad_pattern",
                f"{text!r} is not a namespace pattern",
                hint='write database.collection, such as "shop.orders" or "shop.*"',
            )
        return cls(database, collection)

    def __str__(self) -> str:
        return f"{self.database}.{self.collection}"

    @property
    def star_count(self) -> int:
        """Stars in both parts."""
        return str(self).count(_STAR)

    @cached_property
    def _database(self) -> re.Pattern[str]:
        return re.compile(_expression(self.database), re.DOTALL)

    @cached_property
    def _collection(self) -> re.Pattern[str]:
        return re.compile(_expression(self.collection), re.DOTALL)

    def has_database(self, name: str) -> bool:
        """Whether the database part matches."""
        return self._database.fullmatch(name) is not None

    def match(self, namespace: Namespace) -> tuple[str, ...] | None:
        """Return what each star stands for in a namespace's visible name; None: no match."""
        name = namespace.visible
        database = self._database.fullmatch(name.database)
        collection = self._collection.fullmatch(name.collection)
        if database is None or collection is None:
            return None
        return (*database.groups(), *collection.groups())

    def fill(self, texts: Sequence[str]) -> Namespace:
        """Put texts in the places of the stars, in order; there must be as many."""
        parts = iter(texts)
        database = re.sub(r"\*", lambda _: next(parts), self.database)
        return Namespace(database, re.sub(r"\*", lambda _: next(parts), self.collection))


@dataclass(frozen=True, slots=True)
class Selection:
    """Which namespaces are wanted; without patterns, all."""

    patterns: tuple[Pattern, ...] = ()

    @classmethod
    def parse(cls, patterns: Iterable[str] | None) -> "Selection":
        """Read patterns; None: everything. Raises: PermanentError ``bad_pattern``."""
        return cls(tuple(Pattern.parse(text) for text in patterns or ()))

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.patterns

    def takes(self, namespace: Namespace) -> bool:
        """Whether a namespace is wanted.

        The definitions of views are wanted as soon as anything of their database may be:
        which of them count is told by the views' own names. Users and roles are never meant
        by a pattern.
        """
        if not self.patterns:
            return True
        if namespace.is_users_or_roles:
            return False
        if namespace.is_views:
            return any(pattern.has_database(namespace.database) for pattern in self.patterns)
        return any(pattern.match(namespace) is not None for pattern in self.patterns)

    def check(self, namespaces: Iterable[Namespace]) -> None:
        """Raise PermanentError ``nothing_matches`` for patterns that match no namespace."""
        _check(self.patterns, namespaces, "namespaces")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rename: what matches ``source`` is called as ``target`` says."""

    source: Pattern
    target: Pattern


@dataclass(frozen=True, slots=True)
class Renaming:
    """What selected namespaces are to be called; the first rule that matches counts."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, pairs: Iterable[tuple[str, str]] | None) -> "Renaming":
        """Read pairs of patterns (from, to).

        Raises: PermanentError ``bad_pattern``, also if the stars of a pair differ in number.
        """
        rules = []
        for source, target in pairs or ():
            rule = Rule(Pattern.parse(source), Pattern.parse(target))
            if rule.source.star_count != rule.target.star_count:
                raise PermanentError(
                    "bad_pattern",
                    f"{source!r} and {target!r} do not have the same number of stars",
                    hint='write as many stars in "to" as in "from": "shop.*" to "shop2.*"',
                )
            rules.append(rule)
        return cls(tuple(rules))

    def target(self, namespace: Namespace) -> Namespace:
        """Return what a namespace is to be called; itself if no rule matches.

        Buckets stay buckets. Stored JavaScript and the definitions of views keep their
        collection's name, since a server knows them by it, and follow a rule to another
        database only if that rule is for the whole of it.
        """
        if namespace.is_users_or_roles:
            return namespace
        for rule in self.rules:
            texts = rule.source.match(namespace)
            if texts is None:
                continue
            found = rule.target.fill(texts)
            if namespace.collection in {STORED_JAVASCRIPT, VIEWS}:
                whole = found.collection == namespace.collection
                return found if whole else namespace
            return found.buckets if namespace.is_buckets else found
        return namespace

    def check(self, namespaces: Iterable[Namespace]) -> None:
        """Raise PermanentError ``nothing_matches`` for rules that match no namespace."""
        _check([rule.source for rule in self.rules], namespaces, "rename")


def _check(patterns: Sequence[Pattern], namespaces: Iterable[Namespace], option: str) -> None:
    names = [each for each in namespaces if not each.is_views and not each.is_users_or_roles]
    idle = [
        f"{pattern}"
        for pattern in patterns
        if not any(pattern.match(name) is not None for name in names)
    ]
    if idle:
        raise PermanentError(
            "nothing_matches",
            f"{option}: no collection matches {', '.join(idle)}",
            hint="names are matched as they are written, also in capitals; * is any text",
            patterns=tuple(idle),
        )
