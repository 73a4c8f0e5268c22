"""The order of sources, and what is said when none answers."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from agent.aws.chain import Chain
from agent.aws.keys import Keys, NoKeysError
from agent.aws.sources import Source
from agent.core import log as logs
from agent.core.errors import AgentError, PermanentError, TransientError
from tests.fakes.clock import VirtualClock

KEYS = Keys(access_key_id="id", secret_access_key="secret")


def gives(keys: Keys = KEYS) -> Callable[[], Keys]:
    """Return a source's loader that has keys."""
    return lambda: keys


def fails(error: Exception) -> Callable[[], Keys]:
    """Return a source's loader that fails."""

    def load() -> Keys:
        raise error

    return load


def chain(**loaders: Callable[[], Keys]) -> Chain:
    """Return a chain of sources in this order."""
    sources = [Source(name=name, load=load) for name, load in loaders.items()]
    return Chain(sources, VirtualClock(), logs.get())


def error_of(tried: Chain) -> AgentError:
    """Return the error of a chain."""
    with pytest.raises(AgentError) as caught:
        tried.load()
    return caught.value


def test_the_first_that_answers_counts() -> None:
    """Those before it are passed over, those behind it are not asked."""
    tried = chain(one=fails(NoKeysError("not set")), two=gives(), three=fails(SystemError()))
    assert tried.load().source == "two"


def test_every_reason_is_told_in_order() -> None:
    """Also that of a file that cannot be read, and of an answer without a field."""
    error = error_of(
        chain(
            one=fails(NoKeysError("not set")),
            two=fails(FileNotFoundError(2, "No such file", "/token")),
            three=fails(KeyError("Token")),
        )
    )
    assert isinstance(error, PermanentError)
    assert error.message == (
        "no source gives AWS credentials: one: not set; two: /token: No such file;"
        " three: the answer has no 'Token'"
    )


def test_a_source_that_will_answer_is_waited_for() -> None:
    """The one behind it would make the agent somebody else, for as long as it runs."""
    failing = [NoKeysError("500", is_passing=True)]

    def load() -> Keys:
        if failing:
            raise failing.pop()
        return KEYS

    tried = chain(one=load, two=gives())
    error = error_of(tried)
    assert (type(error), error.code) == (TransientError, "no_credentials")
    assert tried.load().source == "one"


def test_a_source_that_nobody_set_is_not_waited_for() -> None:
    """Such as the metadata service, where there is none."""
    unset = NoKeysError("no answer", is_set=False, is_passing=True)
    assert chain(one=fails(unset), two=gives()).load().source == "two"


def test_keys_that_are_over_are_no_keys() -> None:
    """The error tells both times, because it may be the clock."""
    over = VirtualClock().now() - timedelta(hours=1)
    keys = Keys(access_key_id="id", secret_access_key="secret", expires_at=over)
    error = error_of(chain(one=gives(keys)))
    assert "this host's clock says" in error.message


def test_the_source_that_answered_is_kept() -> None:
    """Another one would be another identity in the middle of a job."""
    answers = [KEYS]

    def load() -> Keys:
        if not answers:
            raise NoKeysError("gone")
        return answers.pop()

    tried = chain(one=load, two=gives())
    assert tried.load().source == "one"
    error = error_of(tried)
    assert (type(error), error.code) == (TransientError, "credentials_unavailable")
    assert "one: gone" in error.message
