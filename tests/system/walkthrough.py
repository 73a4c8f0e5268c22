"""A page of the documents as steps: what is typed, and what is then read.

Fenced blocks are what is typed: `sh` into bash on the first host, `sh each-host` on every one,
`sh asks` where a password is asked for, `js` at the prompt of mongosh. A block `text` after one of
them is what it says, in which `...` stands for anything, and on a line of its own for any lines. A
block of nothing but assignments is the operator's own: whoever follows the page puts in others.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

_FENCED: Final = re.compile(
    r"^```(?P<language>sh|js|text)(?: (?P<word>each-host|asks))?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_ASSIGNMENT: Final = re.compile(r"(\w+)=.*")
_ANYTHING: Final = "..."

How = Literal["once", "each-host", "asks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is typed, and what is then read; `says` is None where the page does not tell."""

    language: Literal["sh", "js"]
    how: How
    text: str
    says: str | None

    @property
    def assigns(self) -> Sequence[str]:
        """The names that get values, if the step is nothing but that."""
        found = [_ASSIGNMENT.fullmatch(line) for line in self.text.splitlines()]
        names = [each[1] for each in found if each is not None]
        return names if self.language == "sh" and len(names) == len(found) else ()

    def is_said_by(self, output: str) -> bool:
        """Whether the page's promise is kept; blanks at the ends and their number do not count."""
        if self.says is None:
            return True
        plain = "".join(" ".join(line.split()) + "\n" for line in output.splitlines())
        return re.fullmatch(_pattern(self.says), plain.lstrip("\n")) is not None


def steps_of(page: str) -> Iterator[Step]:
    """Yield the steps of a page, in order. Raises: AssertionError for an answer to nothing."""
    step: Step | None = None
    for found in _FENCED.finditer(page):
        language, word, text = found["language"], found["word"], found["text"]
        if language == "text":
            assert step is not None, f"nothing is typed before this: {text}"
            yield Step(language=step.language, how=step.how, text=step.text, says=text)
            step = None
            continue
        if step is not None:
            yield step
        how: How = "each-host" if word == "each-host" else "asks" if word == "asks" else "once"
        step = Step(language="js" if language == "js" else "sh", how=how, text=text, says=None)
    if step is not None:
        yield step


def _pattern(says: str) -> str:
    parts = []
    for line in says.strip().splitlines():
        if line.strip() == _ANYTHING:
            parts.append(r"(?:.*\n)*?")
        else:
            words = [re.escape(" ".join(part.split())) for part in line.split(_ANYTHING)]
            parts.append(r" ?.*? ?".join(words) + r"\n")
    return "".join(parts) + r"\n*"
