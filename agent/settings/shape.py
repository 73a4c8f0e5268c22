"""What every block of settings has in common, and how a bad value is told."""

from typing import Final

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

# The error type of everything that our own validators refuse: its text is ready to show.
REFUSED: Final = "refused"


class Block(BaseModel):
    """A block of the file: frozen, without unknown keys, and without silent conversions.

    Strict, because YAML turns ``yes`` into a truth and ``0123`` into a number: a setting that
    quietly became another value is worse than an error that asks for quotes.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def refused(text: str) -> PydanticCustomError:
    """Return the error that a validator raises; ``text`` follows the name of the setting."""
    return PydanticCustomError(REFUSED, "{text}", {"text": text})
