"""Which models answer for a tier, what stands above it, and a circuit that keeps off a backend that is down."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from code_evolver.core.llm_config import TIERS, ModelRef

_NEAREST = {
    "fast": ("fast", "general", "strong"),
    "general": ("general", "strong", "fast"),
    "strong": ("strong", "general", "fast"),
}
OPENS_AFTER = 3
COOL_DOWN = 5.0
LONGEST_COOL_DOWN = 30.0


def models_of(tiers: Mapping[str, tuple[ModelRef, ...]], tier: str) -> tuple[ModelRef, ...]:
    """Give the models to ask, in order; a tier without models is served by the nearest that has some."""
    order = _NEAREST.get(tier, _NEAREST["general"])
    return next((tiers[name] for name in order if tiers.get(name)), ())


def above(tiers: Mapping[str, tuple[ModelRef, ...]], tier: str) -> tuple[str, ...]:
    """Give the stronger tiers whose models are others than those that serve `tier`, nearest first."""
    place = TIERS.index(tier) if tier in TIERS else TIERS.index("general")
    seen = {models_of(tiers, tier)}
    found = []
    for name in TIERS[place + 1 :]:
        if tiers.get(name) and tiers[name] not in seen:
            seen.add(tiers[name])
            found.append(name)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Circuit:
    """How a backend has answered of late. A value: every step gives a new one."""

    state: Literal["closed", "open", "trying"] = "closed"
    failures: int = 0
    """In a row."""
    down_since: float | None = None
    """Time of the first failure in a row."""
    opens_at: float = 0.0
    """While open: when one request may try again."""
    cool_down: float = COOL_DOWN


def may_ask(circuit: Circuit, now: float) -> bool:
    """Say whether a request may go out: always while closed, one at a time after the cool-down."""
    return circuit.state == "closed" or now >= circuit.opens_at


def asked(circuit: Circuit, now: float) -> Circuit:
    """Note that a request goes out: an open circuit is then tried, and nobody else may for another cool-down."""
    if circuit.state == "closed":
        return circuit
    return Circuit("trying", circuit.failures, circuit.down_since, now + circuit.cool_down, circuit.cool_down)


def answered(_circuit: Circuit) -> Circuit:
    """Note that the backend answered (an error about the request counts: it is there)."""
    return Circuit()


def failed(circuit: Circuit, now: float) -> Circuit:
    """Note that the backend did not answer; the third time in a row, or a failed trial, opens the circuit."""
    failures = circuit.failures + 1
    since = now if circuit.down_since is None else circuit.down_since
    if circuit.state == "closed" and failures < OPENS_AFTER:
        return Circuit("closed", failures, since)
    longer = COOL_DOWN if circuit.state == "closed" else min(LONGEST_COOL_DOWN, circuit.cool_down * 2)
    return Circuit("open", failures, since, now + longer, longer)
