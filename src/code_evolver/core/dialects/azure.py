"""Azure OpenAI: chat completions of a deployment, an api-version in the address, the key in a header of its own."""

from dataclasses import replace
from urllib.parse import quote, urlsplit

from code_evolver.core.dialects import openai
from code_evolver.core.dialects.wire import Capability, Request
from code_evolver.core.llm_config import Backend
from code_evolver.core.question import Ask

read = openai.read
read_models = openai.read_models
detail_request = openai.detail_request
read_detail = openai.read_detail


def build(ask: Ask, model: str, backend: Backend, capability: Capability) -> Request:
    """Make the request; `model` is the deployment's name. An address that ends in /v1 is the newer one without versions."""
    if urlsplit(backend.base_url).path.endswith("/v1"):
        request = openai.build(ask, model, backend, capability)
        return replace(request, key_header="api-key", key_prefix="")
    root = backend.base_url.removesuffix("/openai")
    url = f"{root}/openai/deployments/{quote(model, safe='')}/chat/completions?api-version={quote(backend.api_version)}"
    return Request("POST", url, {}, openai.body_of(ask, capability), "api-key")


def list_request(_backend: Backend) -> Request | None:
    """Deployments cannot be listed with the key of one."""
    return None
