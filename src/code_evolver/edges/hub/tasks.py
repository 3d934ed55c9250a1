"""Ending tasks for sure."""

import asyncio
from collections.abc import Sequence
from typing import Any

_AGAIN = 0.1


async def end(tasks: Sequence["asyncio.Task[Any]"]) -> list[Exception]:
    """Cancel tasks until all have ended; give what they raised.

    Until: `asyncio.wait_for` of Python 3.11 may swallow a cancellation that comes when what it waits for is done.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_AGAIN)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    return [end for end in ends if isinstance(end, Exception)]
