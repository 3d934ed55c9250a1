"""Wire formats of model servers: a table of module names as text, so that nothing is imported before it is used.

Each module is pure and offers build(), read(), list_request(), read_models(), detail_request() and read_detail() of
code_evolver.core.dialects.wire.Dialect.
"""

from collections.abc import Mapping

MODULES: Mapping[str, str] = {
    "ollama": "code_evolver.core.dialects.ollama",
    "openai": "code_evolver.core.dialects.openai",
    "azure": "code_evolver.core.dialects.azure",
    "anthropic": "code_evolver.core.dialects.anthropic",
}
