"""Code Evolver: LLM tasks from a SignalR hub become proven, reusable Python workflows.

The road of a task, in the order of the modules it meets: edges.hub → core.message → core.task → edges.queue_sqlite →
worker → core.journey → core.prompt, core.reply, core.compose → core.gate → edges.trial → core.judge → edges.nodes →
edges.node_index → the report back to the hub.
"""

__version__ = "0.1.0"
