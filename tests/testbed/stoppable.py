"""What runs until it is stopped, or until the end of a `with`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class Stoppable(ABC):
    """Something that is running once it is made."""

    @abstractmethod
    def stop(self) -> None:
        """End it, and remove what it left. Idempotent."""

    def last_words(self) -> Sequence[str]:
        """Return what helps to understand a failure of the test that used it."""
        return ()

    def __enter__(self) -> Self:
        """Return it, running."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it; to an error that ends the `with`, add what it has to say."""
        if error is not None:
            for words in self.last_words():
                error.add_note(words)
        self.stop()
