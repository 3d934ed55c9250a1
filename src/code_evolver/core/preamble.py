"""The fixed beginning of every node, and the names that a node may import from the runtime."""

PREAMBLE = """\
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
"""
"""Follows the module docstring (if any), then `from node_runtime import …` with names of RUNTIME_NAMES."""

RUNTIME_NAMES = ("ToolChain", "ToolError", "call_llm", "call_tool", "call_tool_resilient", "call_tools_parallel")
