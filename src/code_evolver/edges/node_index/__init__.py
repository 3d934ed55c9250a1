"""index.db (SQLite) and registry.json: how nodes are found. Both can be made anew from nodes/ at any time.

schema          tables, opening, setting aside · registry_file   registry.json on the disk
search          nodes that are like a task, and what earlier drafts got wrong · store   the index itself
"""

from code_evolver.edges.node_index.schema import set_aside
from code_evolver.edges.node_index.store import SMALL, Entry, NodeIndex

__all__ = ["SMALL", "Entry", "NodeIndex", "set_aside"]
