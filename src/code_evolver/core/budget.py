"""What asking models has cost, and when a run has spent what it may."""

from dataclasses import dataclass

from code_evolver.core.errors import BudgetSpent
from code_evolver.core.question import Usage

BYTES_PER_TOKEN = 3.0
"""A cautious guess where a server counts no tokens: English has about 4, code and other scripts fewer."""


@dataclass(frozen=True, slots=True)
class Account:
    """Sums of a task or of a run."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    load_seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompts and answers together."""
        return self.tokens_in + self.tokens_out

    def __sub__(self, before: "Account") -> dict[str, float]:
        """Give what was added since `before`, under the names of ports.End.usage."""
        then = before.as_dict()
        return {name: round(value - then[name], 3) for name, value in self.as_dict().items() if value != then[name]}

    def as_dict(self) -> dict[str, float]:
        """Give it under the names of ports.End.usage."""
        return {
            "llm_calls": self.calls,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "llm_seconds": round(self.seconds, 3),
            "llm_load_seconds": round(self.load_seconds, 3),
        }


def estimate(text: str, bytes_per_token: float = BYTES_PER_TOKEN) -> int:
    """Guess how many tokens `text` takes, at least 1."""
    return max(1, round(len(text.encode("utf-8", "replace")) / bytes_per_token))


def charge(account: Account, usage: Usage, sent: str = "", got: str = "") -> Account:
    """Add one answer; what the server did not count is guessed from the texts."""
    tokens_in = estimate(sent) if usage.tokens_in is None else usage.tokens_in
    tokens_out = estimate(got) if usage.tokens_out is None else usage.tokens_out
    return Account(
        account.calls + 1,
        account.tokens_in + tokens_in,
        account.tokens_out + tokens_out,
        account.seconds + usage.seconds,
        account.load_seconds + (usage.load_seconds or 0.0),
    )


def total(left: Usage, right: Usage) -> Usage:
    """Add two usages; a number that neither has stays None."""
    return Usage(
        _sum(left.tokens_in, right.tokens_in),
        _sum(left.tokens_out, right.tokens_out),
        left.seconds + right.seconds,
        None
        if left.load_seconds is None and right.load_seconds is None
        else (left.load_seconds or 0.0) + (right.load_seconds or 0.0),
    )


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None and right is None else (left or 0) + (right or 0)


def check(account: Account, limit: int | None) -> None:
    """Raise BudgetSpent where the run may ask no more."""
    if limit is not None and account.tokens >= limit:
        raise BudgetSpent(
            f"This run has used {account.tokens} of the {limit} tokens it may use.",
            "Known types are composed without a model; other tasks are dead letters that `code-evolver dead retry` puts back. "
            "Raise --max-tokens.",
        )
