"""An issuer of web identity tokens that are really signed, as that of an EKS cluster."""

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from tests.fakes.http_server import Answer, Request
from tests.testbed.endpoint import Endpoint

AUDIENCE = "sts.amazonaws.com"

_EXPONENT = 65537
_HALF_BITS = 1024
_ROUNDS = 20
# What stands before a SHA-256 in a signature. Source: RFC 8017, section 9.2.
_SHA_256 = bytes.fromhex("3031300d060960864801650304020105000420")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """An RSA key, good enough for tests and for nothing else."""

    modulus: int
    private: int

    @classmethod
    def make(cls) -> "_Key":
        p, q = _prime(), _prime()
        return cls(modulus=p * q, private=pow(_EXPONENT, -1, (p - 1) * (q - 1)))

    def sign(self, message: bytes) -> bytes:
        """Return the signature of JWT's RS256."""
        size = (self.modulus.bit_length() + 7) // 8
        digest = _SHA_256 + hashlib.sha256(message).digest()
        padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
        return pow(int.from_bytes(padded), self.private, self.modulus).to_bytes(size)


def _prime() -> int:
    while True:
        # The two highest bits are set, so that the product has all of its bits.
        found = secrets.randbits(_HALF_BITS) | 3 << (_HALF_BITS - 2) | 1
        if found % _EXPONENT != 1 and _is_prime(found):
            return found


def _is_prime(number: int) -> bool:
    """Whether a large odd number is a prime, as far as Miller and Rabin can tell."""
    if any(number % small == 0 for small in range(3, 2000, 2)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_passes(number, odd, twos) for _ in range(_ROUNDS))


def _passes(number: int, odd: int, twos: int) -> bool:
    power = pow(secrets.randbelow(number - 3) + 2, odd, number)
    if power in {1, number - 1}:
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


class Issuer(Endpoint):
    """Signs tokens, and serves the key by which others check them."""

    def __init__(self) -> None:
        """Choose a port and a key."""
        super().__init__()
        self._key = _Key.make()

    def environment(self) -> dict[str, str]:
        """Return nothing: an agent has a token, and never asks its issuer."""
        return {}

    def token(self, subject: str, *, life_s: float = 3600, audience: str = AUDIENCE) -> str:
        """Return a token such as Kubernetes projects into a pod; a negative life is over."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": [audience],
            "sub": subject,
            "iat": now - 7200,
            "nbf": now - 7200,
            "exp": int(now + life_s),
        }
        parts = [{"alg": "RS256", "typ": "JWT", "kid": "testbed"}, claims]
        text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_encoded(self._key.sign(text.encode()))}"

    def _answer(self, request: Request) -> Answer:
        match request.path:
            case "/.well-known/openid-configuration":
                return _json({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
            case "/keys":
                key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "testbed"}
                numbers = {"n": _number(self._key.modulus), "e": _number(_EXPONENT)}
                return _json({"keys": [{**key, **numbers}]})
            case _:
                return Answer(status=404)


def _number(number: int) -> str:
    return _encoded(number.to_bytes((number.bit_length() + 7) // 8))


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _json(document: Any) -> Answer:
    return Answer(body=json.dumps(document).encode(), headers={"Content-Type": "application/json"})
