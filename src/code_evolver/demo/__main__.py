"""The demo hub as a process beside the launcher: says READY with its address and the number of tasks, ends with stdin."""

import asyncio
import sys

from code_evolver.demo.hub import DemoHub
from code_evolver.demo.samples import COUNT, MESSAGES


async def _serve() -> None:
    async with DemoHub() as hub:
        sys.stdout.write(f"READY {hub.url} {COUNT}\n")
        sys.stdout.flush()
        pushing = asyncio.ensure_future(_hand_out(hub))
        await asyncio.to_thread(sys.stdin.read)
        pushing.cancel()


async def _hand_out(hub: DemoHub) -> None:
    """Call each message on the client as soon as one is there, and wait until it says that all is stored."""
    await hub.wait_for_clients(1)
    for message in MESSAGES:
        await hub.ask(*message)


if __name__ == "__main__":
    asyncio.run(_serve())
