"""Counting requests: botocore tells of each one that leaves, and of what became of it."""

from typing import TYPE_CHECKING, Any, Final

from botocore.awsrequest import AWSRequest
from botocore.model import OperationModel

from agent.core.clock import monotonic
from agent.ports import Instruments

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_SENT_AT: Final = "backstay_sent_at"
_NO_ANSWER: Final = "none"


def observe(client: "S3Client", instruments: Instruments) -> None:
    """Count every request of a client: by operation, by class of the answer, and how long it took.

    The time of an answer whose body is a stream, as of GetObject, ends where its body begins.
    A request that is signed again and repeated counts twice. A client is observed for the first
    who asks. Source: botocore/endpoint.py, which
    emits ``request-created`` before each attempt and ``needs-retry`` after it, whatever its end.
    """
    told: Any = _Told(instruments)
    sent: Any = _note_sent
    client.meta.events.register("request-created.s3", sent, unique_id="backstay-sent")
    client.meta.events.register("needs-retry.s3", told, unique_id="backstay-told")


def _note_sent(request: AWSRequest, **_: object) -> None:
    request.context[_SENT_AT] = monotonic()


class _Told:
    """Takes what botocore tells of an attempt; never asks for another one."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments

    def __call__(
        self, *, response: Any, operation: OperationModel, request_dict: Any, **_: object
    ) -> None:
        sent_at = request_dict["context"].get(_SENT_AT)
        elapsed_s = 0.0 if sent_at is None else monotonic() - sent_at
        status = _NO_ANSWER if response is None else f"{response[0].status_code // 100}xx"
        self._instruments.count_request(operation.name, status, elapsed_s)
