"""The tree of errors.

    AgentError
    ├── TransientError    the same call may succeed later; retried where a retry policy says so
    ├── PermanentError    repeating it does not help; a person or another plan must act
    ├── ConfigError       the configuration is wrong; names the field
    ├── LeaseLost         another agent may be acting now; stop writing at once
    └── Stopped           the program or the job was asked to stop

Every error carries a stable ``code`` (lower case, underscores), a message for a person, a
``hint`` that says what to do about it, and its facts as keyword fields.
"""

from collections.abc import Mapping


class AgentError(Exception):
    """Something went wrong that an operator should be able to read about."""

    def __init__(self, code: str, message: str, *, hint: str = "", **facts: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.facts: Mapping[str, object] = facts

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message!r})"


class TransientError(AgentError):
    """The same call may succeed later; a write that raised it is in an unknown state."""


class PermanentError(AgentError):
    """Repeating the call does not help."""


class ConfigError(AgentError):
    """The configuration is wrong; the message names the field and the mend."""


class LeaseLost(AgentError):
    """The right to act has ended, or can no longer be proved."""

    def __init__(self, lease: str) -> None:
        super().__init__(
            "lease_lost",
            f"the lease {lease} ended before the work did",
            hint="another agent goes on with the work",
            lease=lease,
        )


class Stopped(AgentError):
    """The work was asked to stop before it was finished."""

    def __init__(self, reason: str = "stopped") -> None:
        super().__init__("stopped", reason)
