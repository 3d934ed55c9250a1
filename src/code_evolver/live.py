"""The live view on a terminal: one panel that stays, made of the tally; what happened scrolls by above it."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from code_evolver.core.render import line
from code_evolver.core.tally import Tally

_REFRESH = 4


class LiveView:
    """Shows connection, queue, the task in work with its age and step, the counts, the last error."""

    def __init__(self, console: Console, expected: int | None = None) -> None:
        """`expected`: how many tasks will come, where that is known (the demo): it gives the bar."""
        self._console = console
        self._expected = expected
        self._since = time.monotonic()
        self._current = ""
        self._tally = Tally()
        # stdout stays as it is: the result must get out there also where this terminal stands still.
        self._live = Live(
            self._panel(), console=console, refresh_per_second=_REFRESH, transient=True, redirect_stdout=False
        )
        self._live.start()

    def event(self, event: Mapping[str, Any], tally: Tally) -> None:
        """Show one event."""
        self._tally = tally
        if tally.current != self._current:
            self._current, self._since = tally.current, time.monotonic()
        self._live.update(self._panel())
        text = line(event)
        if text:
            self._console.print(Text(text, overflow="ellipsis", no_wrap=True))

    def tick(self, tally: Tally) -> None:
        """Let the age of the task in work grow."""
        self._tally = tally
        self._live.update(self._panel())

    def close(self) -> None:
        """Take the panel away."""
        self._live.update(self._panel())
        self._live.stop()

    def _panel(self) -> Group:
        tally = self._tally
        rows = Table.grid(padding=(0, 2))
        rows.add_row("connection", Text(tally.connection))
        rows.add_row("queue", str(max(0, tally.pending)))
        rows.add_row("task", Text(self._task(), overflow="ellipsis", no_wrap=True))
        counts = f"generated {tally.generated}  reused {tally.reused}  failed {tally.failed}"
        rows.add_row("so far", Text(counts))
        if tally.last_error:
            rows.add_row("last error", Text(tally.last_error, overflow="ellipsis", no_wrap=True))
        total = self._expected or 0
        done = tally.generated + tally.reused + tally.failed
        bar = [ProgressBar(total=total, completed=min(done, total), width=40)] if total else []
        return Group(rows, *bar)

    def _task(self) -> str:
        if not self._tally.current:
            return "waiting"
        age = time.monotonic() - self._since
        return f"{self._tally.current} for {age:.0f} s: {self._tally.step or 'starting'}"
