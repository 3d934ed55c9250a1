"""A log that keeps what it is told (ports.Log)."""

from collections.abc import Callable
from typing import Any


class Told:
    """Every event in order; `on` is called with each as it comes."""

    def __init__(self, on: Callable[..., None] = lambda _name, /, **_fields: None) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._on = on

    def emit(self, name, /, **fields):
        self.events.append((name, fields))
        self._on(name, **fields)

    def emit_all(self, name, keys, rows):
        for row in rows:
            self.emit(name, **dict(zip(keys, row, strict=True)))

    def names(self):
        return [name for name, _ in self.events]

    def of(self, name):
        return [fields for found, fields in self.events if found == name]
