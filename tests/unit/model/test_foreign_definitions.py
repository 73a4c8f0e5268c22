"""Definitions of views that a manifest puts where no user has any are refused before anything."""

import pytest

from agent.core.errors import PermanentError
from agent.model.arrangement import Surroundings, Wish, arrange
from tests.fakes.archive import IDENTITY
from tests.fakes.catalogue import collection

AROUND = Surroundings(identity=IDENTITY, existing=(), control_database="backstay")


@pytest.mark.parametrize("database", ["backstay", "local", "config"])
def test_definitions_of_views_go_to_no_database_of_the_server_or_of_ours(database: str) -> None:
    """They would be loaded into a temporary collection of that database."""
    found = [collection(f"{database}.system.views")]

    with pytest.raises(PermanentError) as caught:
        arrange(found, Wish(), AROUND, is_whole=True)

    assert "bad_target" == caught.value.code
    assert f"{database}.system.views" in caught.value.message


def test_definitions_of_views_in_a_database_of_users_are_taken() -> None:
    """As they always were."""
    arrange([collection("shop.system.views")], Wish(), AROUND, is_whole=True)
