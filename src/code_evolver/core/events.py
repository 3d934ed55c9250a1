"""What can happen, as data: a closed vocabulary of events and the fields that each one promises.

An event is one JSON object on stderr: {"event", "ts", "seq", "run_id", …fields}. `ts` is RFC 3339 UTC with milliseconds,
`seq` counts from 1 within a run. Fields beyond the promised ones may be there; names are never reused for another meaning.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from code_evolver.core.strict_json import dumps

EVENTS: Mapping[str, tuple[str, ...]] = {
    # the connection
    "connecting": ("hub_url",),
    "connected": ("hub_url", "hub_name", "transport", "client", "attempt"),
    "reconnecting": ("seconds", "attempt", "error"),
    "disconnected": ("reason",),
    "connection_failed": ("error",),
    "connection_failed_permanently": ("error",),
    # reception
    "message_received": ("target",),
    "message_unhandled": ("target", "hint"),
    "task_queued": ("task_id", "task_type", "queue_size"),
    "task_revised": ("task_id", "task_type", "queue_size"),
    "task_duplicate": ("task_id",),
    "task_recorded": ("task_id",),
    "task_rejected": ("reason",),
    "intake_paused": ("reason",),
    "intake_resumed": (),
    # work
    "queue_resumed": ("count",),
    "processing_task": ("task_id", "task_type"),
    "llm_requested": ("purpose", "tier"),
    "llm_responded": ("backend", "model", "tier"),
    "llm_failed": ("error",),
    "llm_unavailable": ("hint",),
    "workflow_generated": ("workflow_name", "generator"),
    "workflow_rejected": ("findings",),
    "workflow_verified": ("workflow_name",),
    "workflow_reused": ("node_id",),
    "workflow_copied": ("node_id", "of"),
    "workflow_saved": ("node_id", "path"),
    "task_retrying": ("task_id", "seconds", "reason"),
    "task_completed": ("task_id", "outcome", "node_id"),
    "task_dead_lettered": ("task_id", "reason"),
    "report_failed": ("task_id", "reason"),
    # the run
    "starting": ("version", "isolation"),
    "notice": ("message",),
    "events_dropped": ("count",),
    "shutdown_requested": ("reason",),
    "queue_drained": ("pending",),
    "stopped": ("counts",),
    "failed": ("error",),
}


_OWN = frozenset({"event", "ts", "seq", "run_id"})


def record(name: str, fields: Mapping[str, Any], *, at: float, seq: int, run_id: str) -> dict[str, Any]:
    """Give the event's JSON object. Raises ValueError for a name outside the vocabulary, KeyError for a missing field."""
    promised = EVENTS.get(name)
    if promised is None:
        raise ValueError(f"{name} is not an event")
    for key in promised:
        fields[key]
    return {"event": name, "ts": timestamp(at), "seq": seq, "run_id": run_id, **fields}


def lines(
    name: str, keys: tuple[str, ...], rows: Sequence[Sequence[Any]], *, at: float, seq: int, run_id: str
) -> list[str]:
    """Give the same event many times as text, of one moment, numbered from `seq`; a row has the values of `keys`.

    Written for speed: thousands a second are told. Raises ValueError or KeyError as `record` does.
    """
    if not rows or not keys or not _OWN.isdisjoint(keys):
        return [dumps(record(name, dict(zip(keys, row, strict=True)), at=at, seq=number, run_id=run_id))
                for number, row in enumerate(rows, seq)]  # fmt: skip
    record(name, dict.fromkeys(keys), at=at, seq=seq, run_id=run_id)  # raises where the name or the keys are wrong
    head = f'{{"event":"{name}","ts":"{timestamp(at)}","seq":'
    run = f',"run_id":{dumps(run_id)}'
    shape = "".join([f',"{key}":%s' for key in keys]) + "}"
    return [
        f"{head}{number}{run}{shape % tuple([encode_basestring(value) if type(value) is str else dumps(value) for value in row])}"
        for number, row in enumerate(rows, seq)
    ]


@lru_cache(maxsize=4)
def timestamp(at: float) -> str:
    """Write seconds since 1970 as RFC 3339 in UTC with milliseconds."""
    return _to_the_second(int(at)) + f"{int(at * 1000) % 1000:03d}Z"


@lru_cache(maxsize=16)
def _to_the_second(at: int) -> str:
    """Thousands of events share their second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
