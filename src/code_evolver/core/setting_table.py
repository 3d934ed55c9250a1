"""Every setting once: name, form, default, unit, help, and what is secret. Flags, JSON keys, docs come from here."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from code_evolver.core import setting_kinds as kinds
from code_evolver.core.setting_kinds import HubCall, Kind


@dataclass(frozen=True, slots=True)
class Row:
    """What is to be known of one setting."""

    name: str
    kind: Kind
    default: Any
    help: str
    unit: str = ""
    secret: bool = False
    nullable: bool = False
    flag: str = ""
    """Without the dashes; "" where it has none."""
    doors: tuple[str, ...] = ("launcher", "connector")

    @property
    def environment(self) -> str:
        """The environment variable."""
        return "CODE_EVOLVER_" + self.name.upper()

    def schema(self) -> dict[str, Any]:
        """Give its JSON Schema, with description, default and mark of a secret."""
        form = dict(self.kind.schema)
        if self.nullable:
            form = {"anyOf": [form, {"type": "null"}]}
        extra = {"secret": True} if self.secret else {}
        default = {} if self.default == "" else {"default": kinds.as_json(self.default)}
        return {**form, "description": self.help, **default, **extra}


def _row(kind: Kind, default: Any, about: str, **more: Any) -> Any:
    """Make the dataclass field that carries a setting's row in its metadata."""
    meta = {"kind": kind, "help": about, **more}
    if isinstance(default, Mapping):
        return field(default_factory=dict, metadata=meta)
    return field(default=default, metadata=meta)


def _switch(about: str, *, default: bool) -> Any:
    return _row(kinds.SWITCH, default, about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked. `hub_url` is "" where none was given."""

    hub_url: str = _row(kinds.URL, "", "Address of the hub: http, https, ws or wss.")
    hub_name: str = _row(
        kinds.text(256), "TaskHub", "Client method that the hub calls with tasks; upper or lower case is the same."
    )
    duration_seconds: float | None = _row(
        kinds.seconds(), None, "Stop after this long; without it, go on until stopped.", unit="s", flag="duration"
    )
    auto_generate_workflows: bool = _switch(
        "Make a workflow of each task; without it, tasks are received and stay pending.", default=True
    )
    output_file: str | None = _row(
        kinds.path(), None, "Also write the tasks as received to this file: a JSON array, or .jsonl.", flag="output"
    )
    subscribe: tuple[HubCall, ...] = _row(
        kinds.CALLS, (), "Hub calls made after every connect; {hub_name} may stand in their arguments."
    )
    listen: tuple[str, ...] = _row(kinds.NAMES, (), "Further client methods that carry tasks.")
    stream: tuple[HubCall, ...] = _row(kinds.CALLS, (), "Server streams of tasks to consume.")
    access_token: str | None = _row(
        kinds.text(65536), None, "Token for the hub. Better: a file or a command.", secret=True, flag=None
    )
    access_token_file: str | None = _row(
        kinds.path(), None, "File that holds the token for the hub; read again at every attempt."
    )
    access_token_command: tuple[str, ...] = _row(
        kinds.COMMAND, (), "Command that prints the token for the hub; run again at every attempt, without a shell."
    )
    headers: Mapping[str, str] = _row(
        kinds.HEADERS,
        {},
        "HTTP headers for the hub. Secret ones: in JSON, the environment or config.yaml.",
        secret=True,
    )
    ca_file: str | None = _row(kinds.path(), None, "Certificates (PEM) to trust beside the system's.")
    client: str = _row(kinds.choice("auto", "signalrcore", "pysignalr"), "auto", "SignalR client library.")
    max_reconnect_attempts: int = _row(
        kinds.integer(0, 1_000_000), 10, "Give up after so many failed attempts in a row; 0: never."
    )
    server_timeout_seconds: float = _row(
        kinds.seconds(), 30.0, "Without a byte for so long, the connection counts as dead.", unit="s"
    )
    keep_alive_seconds: float = _row(kinds.seconds(), 15.0, "Ping the hub after so long without sending.", unit="s")
    max_message_bytes: int = _row(
        kinds.integer(1024, 1 << 30), 16 * 1024 * 1024, "Largest message taken from the hub.", unit="bytes"
    )
    report_method: str | None = _row(kinds.text(256), None, "Hub method that is told each task's outcome.")
    llm: str = _row(kinds.choice("auto", "off", "required"), "auto", "Whether to use a model.")
    drain_timeout_seconds: float = _row(
        kinds.seconds(zero=True), 8.0, "At a stop, finish the task in work for up to this long.", unit="s"
    )
    isolation: str = _row(
        kinds.choice("isolated", "guarded"),
        "isolated",
        "Weakest isolation in which a program written by a model may run.",
    )
    model_per: str = _row(
        kinds.choice("program", "node"), "program", "Ask the model once a program, or for every new subject."
    )
    use_priority: bool = _switch("Work on tasks of high priority first.", default=True)
    use_due_date: bool = _switch("Among equal priorities, work on what is due first.", default=True)
    skip_closed: bool = _switch("Record tasks that are completed or cancelled without working on them.", default=True)
    max_tokens: int | None = _row(
        kinds.integer(1), None, "Tokens that a run may use; then it stops asking models.", unit="tokens"
    )
    keep_prompts: bool = _switch(
        "Keep prompts and answers of every draft, not only those of failed tasks.", default=False
    )
    count_failures: bool = _switch(
        "End with exit code 7 when tasks of this run failed; without it, with 0.", default=True
    )
    workspace: str = _row(
        kinds.path(), ".", "Folder with nodes/, registry.json, .code_evolver/ and config.yaml.",
        doors=("launcher", "connector", "tools"),
    )  # fmt: skip


def _read_row(entry: Field[Any]) -> Row:
    meta = dict(entry.metadata)
    default = entry.default if entry.default is not MISSING else {}
    flag = meta.pop("flag", entry.name.replace("_", "-"))
    return Row(
        name=entry.name,
        default=default,
        flag=flag or "",
        nullable=default is None,
        **meta,
    )


ROWS: Mapping[str, Row] = {entry.name: _read_row(entry) for entry in fields(Settings)}
TOKEN_ROWS = ("access_token", "access_token_file", "access_token_command")
"""Ways to give one token: a layer that names one sets the others of weaker layers aside."""


def input_schema() -> dict[str, Any]:
    """Give the JSON Schema of the connector's settings."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["hub_url"],
        "properties": {name: row.schema() for name, row in ROWS.items()},
    }
