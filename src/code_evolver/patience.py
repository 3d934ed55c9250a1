"""Waiting for room on a full disk: what the queue could not keep is given to it again until it does."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import TypeVar

from code_evolver.core.errors import DiskFull
from code_evolver.ports import Emit

T = TypeVar("T")


async def patiently(do: Callable[[], Awaitable[T]], emit: Emit | None = None) -> T:
    """Do it; while the disk is full, say so once, wait, and do it again. Cancel it to give up."""
    for number, seconds in enumerate(chain((1.0, 2.0), repeat(5.0))):
        try:
            return await do()
        except DiskFull as error:
            if number == 0 and emit:
                emit("notice", message=f"Work waits: {error.message} {error.hint}")
            await asyncio.sleep(seconds)
    raise AssertionError("repeat() never ends")
