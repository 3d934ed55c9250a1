"""What asking a model is made of: the steps that a driver does, and what is remembered between questions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from code_evolver.core import budget, tiers
from code_evolver.core.dialects.wire import Answer, Capability, Dialect, Failure, Request
from code_evolver.core.llm_config import Backend, LlmConfig, ModelRef

DOWN = frozenset({"connect", "read", "timeout", "server"})
"""Failures that say the backend is not there."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and read its answer with the backend's dialect."""

    backend: Backend
    request: Request
    raw: bool = False
    """Give the body of a 200 as bytes, and wait for seconds only: nothing is generated."""
    within: float = float("inf")
    """Seconds that are left for the question."""
    fresh: bool = False
    """On a connection of its own: the pooled one has just broken."""


@dataclass(frozen=True, slots=True)
class Got:
    """What came back."""

    answer: Answer | Failure | bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tell:
    """Report an event."""

    event: str
    fields: Mapping[str, Any]


Step = Send | Pause | Tell


@dataclass(slots=True)
class Desk:
    """What is remembered from one question to the next."""

    config: LlmConfig
    dialect: Callable[[str], Dialect]
    now: Callable[[], float]
    random: Callable[[], float]
    capabilities: dict[ModelRef, Capability] = field(default_factory=dict)
    circuits: dict[str, tiers.Circuit] = field(default_factory=dict)
    spent: budget.Account = field(default_factory=budget.Account)
    looked_up: set[ModelRef] = field(default_factory=set)
    """Models whose server has told what it serves."""
    odd_schema: dict[ModelRef, int] = field(default_factory=dict)
    """Questions in a row whose first answer did not fit their schema."""
    told_unavailable: bool = False
    told_spent: bool = False

    def capability(self, ref: ModelRef) -> Capability:
        """Give what is known of a model; the configured context is the upper bound."""
        return self.capabilities.get(ref) or Capability(context=self.config.backends[ref.backend].context)

    def circuit(self, backend: str) -> tiers.Circuit:
        """Give a backend's circuit."""
        return self.circuits.get(backend, tiers.Circuit())

    def used(self) -> set[str]:
        """Name the backends that a tier asks."""
        return {ref.backend for refs in self.config.tiers.values() for ref in refs}

    def note(self, backend: str, got: Answer | Failure | bytes) -> None:
        """Note what a request says about its backend."""
        circuit = self.circuit(backend)
        is_down = isinstance(got, Failure) and got.kind in DOWN
        self.circuits[backend] = tiers.failed(circuit, self.now()) if is_down else tiers.answered(circuit)

    def down_since(self) -> float | None:
        """Say since when every backend in use has been down; None while one is not known to be."""
        since = []
        for name in self.used():
            circuit = self.circuit(name)
            if circuit.state == "closed":
                return None
            since.append(circuit.down_since or 0.0)
        return max(since, default=None)
