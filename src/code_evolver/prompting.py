"""Questions for a model, made of the manifests, the proven examples and what earlier drafts got wrong."""

from collections.abc import Callable, Mapping, Sequence

from code_evolver.core import prompt
from code_evolver.core.errors import ManifestError
from code_evolver.core.journey import AskCode
from code_evolver.core.manifest import Llm, Manifest
from code_evolver.core.prompt import Example, ToolCard
from code_evolver.core.task import Task
from code_evolver.ports import Ask

ROUTER = "task_to_workflow_router"
ENGLISH = "signalr_connection_parser"
DOCUMENTER = "workflow_documenter"
OWN_TOOLS = frozenset({
    ROUTER, ENGLISH, DOCUMENTER, "signalr_hub_connector", "connect_signalr", "verify_workflow", "document_workflow",
})  # fmt: skip
"""Tools that workflows may not call."""
Examples = Callable[[Task], Sequence[Example]]
Lessons = Callable[[Task], Sequence[tuple[str, str]]]
"""(rule, message) of what earlier drafts of this kind got wrong."""


def tool_cards(manifests: Mapping[str, Manifest]) -> list[ToolCard]:
    """Give the cards of the tools that a workflow may call."""
    return [prompt.card(one.name, one.description, one.input_schema) for one in callable_tools(manifests)]


def callable_tools(manifests: Mapping[str, Manifest]) -> list[Manifest]:
    """Give the manifests of tools that workflows may call: all but Code Evolver's own."""
    return [manifest for name, manifest in sorted(manifests.items()) if name not in OWN_TOOLS]


class RouterPrompts:
    """Implements worker.Prompts with the router's manifest."""

    def __init__(self, manifests: Mapping[str, Manifest], examples: Examples, lessons: Lessons) -> None:
        """Raises ManifestError where the router's manifest is missing."""
        self._voice = voice(manifests, ROUTER)
        self._tools = tool_cards(manifests)
        self._examples = examples
        self._lessons = lessons

    def plan(self, task: Task, tier: str) -> Ask:
        """Ask for a plan."""
        return prompt.plan_ask(self._voice, task, self._tools, self._examples(task), tier=tier)

    def code(self, task: Task, step: AskCode) -> Ask:
        """Ask for a program, or a better one."""
        return prompt.code_ask(
            self._voice, task, step.plan, self._tools, self._examples(task), step.findings, step.draft, tier=step.tier,
            lessons=self._lessons(task),
        )  # fmt: skip


def voice(manifests: Mapping[str, Manifest], name: str) -> Llm:
    """Give the llm part of a manifest. Raises ManifestError where there is none."""
    manifest = manifests.get(name)
    if manifest is None or manifest.llm is None:
        raise ManifestError(f"There is no llm tool {name}.", f"Restore tools/llm/{name}.yaml.")
    return manifest.llm


def english_ask(manifests: Mapping[str, Manifest], request: str) -> Ask:
    """Ask a model to read a request; its answer is checked against the words by core.english."""
    said = voice(manifests, ENGLISH)
    user = prompt.fill(
        said.prompt_template, {"request": prompt.fence(request, 20_000), "prompt": prompt.fence(request, 20_000)}
    )
    schema = manifests[ENGLISH].output_schema
    return Ask("english", said.tier, said.system_prompt, user, schema, said.max_tokens, said.temperature)
