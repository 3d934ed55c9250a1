"""What can be wrong with a request in plain English: refusals, and words that are not certain."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from code_evolver.core.errors import InputError

EXAMPLE_REQUEST = "Write for example: listen to http://localhost:5000/taskhub for 5 minutes, create workflows, save tasks to tasks.json."


class NotUnderstood(InputError):
    """The words do not say what to do, or say two things."""

    code = "not_understood"


class Problem(NotUnderstood):
    """One thing in the words that is plainly wrong."""


class Secret(Enum):
    """Where a secret stands in a request."""

    WORD = "The request speaks of a token, key or password, which must not stand in words."
    USER = "The URL holds a user name or password, which must not stand in words."
    QUERY = "The URL holds a token in its query, which must not stand in words."
    LOOK = "The request holds something that looks like a token or key, which must not stand in words."


class SecretInWords(NotUnderstood):
    """A token, key or password in the words. The message never repeats it."""

    HINT: ClassVar[str] = (
        "Put the token in a file and write 'token file /path/to/it' (setting access_token_file), "
        "or name a command that prints it (setting access_token_command)."
    )

    def __init__(self, where: Secret) -> None:
        super().__init__(where.value, self.HINT)


@dataclass(frozen=True, slots=True)
class Unsure:
    """Words that were not understood for sure: no setting may be taken from them without asking."""

    words: str
    """As written, at most 200 characters."""
    why: str
    """One sentence."""
    hint: str
