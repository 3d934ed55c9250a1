"""A SignalR hub of our own on asyncio: for `--demo`, `demo-hub` and the tests. The real hub is the judge of it.

WebSockets and the JSON protocol only. Everything is on one port: negotiate, the WebSocket, and the control paths of
the real test hub (demo/control.py), so that one suite drives both.
"""

from code_evolver.demo import control
from code_evolver.demo.actions import ActiveHub
from code_evolver.demo.http import Request, Response


class DemoHub(ActiveHub):
    """`async with DemoHub(port=0) as hub:` serves at `hub.url` until the block ends.

    Settings, by name: `host`, `token` (what /secure/taskhub wants; "": it refuses everybody), `keep_alive` and
    `client_timeout` (seconds), `max_message` (bytes of a client's record), `tls` (an ssl.SSLContext: https and wss).
    """

    async def control(self, request: Request) -> Response | None:
        """Answer a request under /control/."""
        return await control.answer(self, request)
