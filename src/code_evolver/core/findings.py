"""What is wrong with a draft: found by the gate, the reader of replies and the judge; told to the model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    rule: str
    """Stable, kebab-case: "import-not-allowed"."""
    line: int
    """1-based; 0 where it has no line."""
    message: str
    """One sentence."""
    mend: str = ""
    """One sentence that tells a model how to mend it."""

    def as_dict(self) -> dict[str, object]:
        """Give it as the doors print it."""
        return {
            "rule": self.rule,
            "line": self.line,
            "message": self.message,
            **({"mend": self.mend} if self.mend else {}),
        }
