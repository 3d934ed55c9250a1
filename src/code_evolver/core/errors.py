"""The errors of Code Evolver: one tree, whose fault it is, whether to try again, and what to do next.

CodeEvolverError            all of ours: a sentence, a hint, a code, an exit code
├── InputError              the caller's input or usage                     bad_input                 exit 2
├── ConfigurationError      a setting, a manifest, the workspace            configuration             exit 3
│   ├── ManifestError       a tool manifest (file and line in the message)  bad_manifest              exit 3
│   ├── WorkspaceHeld       another connector has the workspace             workspace_held            exit 3
│   └── StoreError          queue, node or index files unusable             store_damaged, disk_full  exit 3
├── HubError                the hub
│   ├── HubUnreachable      refused, timed out, closed, 5xx (try again)     hub_unreachable           exit 5
│   ├── HubRefused          404, not a hub, handshake, certificate          hub_refused               exit 5
│   ├── HubAuthentication   401, 403, a given token that is none            hub_authentication        exit 4
│   └── TokenUnavailable    file or command gives no token (try again)      hub_authentication        exit 4
├── ModelError              the model backend
│   ├── ModelUnavailable    down, overloaded, loading (try again)           llm_unavailable           exit 6
│   ├── ModelRefused        key, model name, request                        llm_refused               exit 6
│   ├── ModelTruncated      the answer was cut                              llm_truncated             exit 6
│   └── BudgetSpent         --max-tokens is used up                         llm_budget                exit 6
├── ToolError               a tool that a node called                       tool_failed, unknown_tool exit 1
├── NodeError               a node that may not run or failed               node_failed, node_changed exit 1
└── Unexpected              a bug of ours                                   unexpected                exit 1
"""

from collections.abc import Mapping
from typing import ClassVar

EXIT_DONE = 0
EXIT_DEAD_LETTERS = 7
EXIT_INTERRUPTED = 130


class CodeEvolverError(Exception):
    """All of ours. `str(error)` is one sentence with the value in it; `hint` says what to do next."""

    code: ClassVar[str] = "unexpected"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, hint: str = "", *, code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.actual_code = code or self.code
        self.retry_after = retry_after
        """Seconds that the other side asked us to wait, or None."""

    def describe(self) -> dict[str, object]:
        """Give the `error` object of the contract: code, message, hint, retryable."""
        return {"code": self.actual_code, "message": self.message, "hint": self.hint, "retryable": self.retryable}


class InputError(CodeEvolverError):
    """The caller's input or usage is wrong."""

    code = "bad_input"
    exit_code = 2


class ConfigurationError(CodeEvolverError):
    """A setting, a file of the workspace or the environment is wrong."""

    code = "configuration"
    exit_code = 3


class ManifestError(ConfigurationError):
    """A tool manifest is wrong; the message names file and line."""

    code = "bad_manifest"


class WorkspaceHeld(ConfigurationError):
    """Another connector works in this workspace; the message says which."""

    code = "workspace_held"


class StoreError(ConfigurationError):
    """A queue, node or index file cannot be read or written."""

    code = "store_damaged"


class DiskFull(StoreError):
    """There is no room to store what arrives."""

    code = "disk_full"
    retryable = True


class HubError(CodeEvolverError):
    """The hub."""

    code = "hub_unreachable"
    exit_code = 5


class HubUnreachable(HubError):
    """Refused, timed out, closed or a 5xx: worth another attempt."""

    retryable = True


class HubRefused(HubError):
    """There is no hub that we can speak to at this address."""

    code = "hub_refused"


class HubAuthentication(HubError):
    """The hub wants another token."""

    code = "hub_authentication"
    exit_code = 4


class TokenUnavailable(HubError):
    """The token's file or command gives none now: whoever issues tokens may be down, as a hub may."""

    code = "hub_authentication"
    exit_code = 4
    retryable = True


class ModelError(CodeEvolverError):
    """The model backend."""

    code = "llm_unavailable"
    exit_code = 6


class ModelUnavailable(ModelError):
    """Down, overloaded or loading: waiting helps and costs no attempt."""

    retryable = True


class ModelRefused(ModelError):
    """The key, the model's name or the request itself: the same call fails again."""

    code = "llm_refused"


class ModelTruncated(ModelError):
    """The answer, or the prompt, was cut at a limit."""

    code = "llm_truncated"


class BudgetSpent(ModelError):
    """The run's token budget is used up."""

    code = "llm_budget"


class ToolError(CodeEvolverError):
    """A tool that a workflow called failed."""

    code = "tool_failed"


class UnknownTool(ToolError):
    """No tool has that name; the message names the nearest."""

    code = "unknown_tool"


class NodeError(CodeEvolverError):
    """A node failed."""

    code = "node_failed"


class NodeChanged(NodeError):
    """A node's file is not what was proven."""

    code = "node_changed"


class Unexpected(CodeEvolverError):
    """A bug of ours, or of a library below us."""


def failure(error: CodeEvolverError, extra: Mapping[str, object] | None = None) -> dict[str, object]:
    """Give the failure document that every door prints, with `extra` (counts) beside the error."""
    return {"success": False, "error": error.describe(), **(extra or {})}


def all_errors() -> tuple[type[CodeEvolverError], ...]:
    """Give every class of the tree, the root first."""

    def below(kind: type[CodeEvolverError]) -> list[type[CodeEvolverError]]:
        return [kind, *(deeper for child in kind.__subclasses__() for deeper in below(child))]

    return tuple(below(CodeEvolverError))
