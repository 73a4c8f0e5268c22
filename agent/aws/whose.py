"""Whose some keys are, as STS tells."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from agent.aws.keys import FAILURES, Keys
from agent.aws.sts import Sts
from agent.core.flow import Shared

_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What STS said of some keys; both None if nobody asked."""

    arn: str | None = None
    why_not: Exception | None = None


UNASKED: Final = Answer()


class Whose:
    """Asks STS, which needs no permission, and remembers the answer for the last keys.

    ``s3_endpoint_url``: a server that is not Amazon's has no STS, unless the environment names
    one. May be used from several threads.
    """

    def __init__(self, sts: Sts, s3_endpoint_url: str | None) -> None:
        self._sts = sts
        self._s3_endpoint_url = s3_endpoint_url
        self._told: Shared[tuple[Keys | None, Answer]] = Shared((None, UNASKED))

    @property
    def can_tell(self) -> bool:
        """Whether there is an STS that knows the keys."""
        url = self._s3_endpoint_url
        if url is None or self._sts.endpoint_url is not None:
            return True
        return (urlsplit(url).hostname or "").endswith(_AMAZON)

    def known(self, keys: Keys) -> Answer:
        """Return what was said of these keys; asks nobody."""
        of, answer = self._told.get()
        return answer if of is keys else UNASKED

    def ask(self, keys: Keys) -> Answer:
        """Ask anew. A failure is no error: nothing needs the answer."""
        answer = self._answer(keys) if self.can_tell else UNASKED
        self._told.set((keys, answer))
        return answer

    def _answer(self, keys: Keys) -> Answer:
        try:
            client = self._sts.client(
                "sts",
                aws_access_key_id=keys.access_key_id,
                aws_secret_access_key=keys.secret_access_key,
                aws_session_token=keys.session_token,
            )
            return Answer(arn=client.get_caller_identity()["Arn"])
        except FAILURES as error:
            return Answer(why_not=error)
