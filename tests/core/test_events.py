"""Events are a closed vocabulary with promised fields."""

import ast
import json
from pathlib import Path

import pytest

from code_evolver.core.events import EVENTS, lines, record, timestamp

SOURCE = Path(__file__).resolve().parents[2] / "src" / "code_evolver"


def test_an_event_has_its_fields():
    made = record("workflow_saved", {"node_id": "a", "path": "nodes/a/main.py"}, at=1.5, seq=3, run_id="r")
    assert made == {
        "event": "workflow_saved",
        "ts": "1970-01-01T00:00:01.500Z",
        "seq": 3,
        "run_id": "r",
        "node_id": "a",
        "path": "nodes/a/main.py",
    }


def test_an_unknown_name_or_a_missing_field_is_a_bug():
    with pytest.raises(ValueError, match="no_such_event"):
        record("no_such_event", {}, at=0.0, seq=1, run_id="r")
    with pytest.raises(KeyError):
        record("workflow_saved", {"node_id": "a"}, at=0.0, seq=1, run_id="r")


@pytest.mark.parametrize(
    ("at", "text"), [(0.0, "1970-01-01T00:00:00.000Z"), (1795442400.1239, "2026-11-23T14:00:00.123Z")]
)
def test_times_are_utc_with_milliseconds(at, text):
    assert timestamp(at) == text


@pytest.mark.parametrize("keys", [("target", "count"), ("target", "ts"), ("target", "count", "more")])
def test_events_as_text_are_the_events_as_objects(keys):
    rows = [("x", 3, None), ('é\n"%s\ud800', True, {"a": [1.5]}), (5, "", -1)]
    texts = lines("message_received", keys, [row[: len(keys)] for row in rows], at=1.5, seq=7, run_id="r%s")
    for number, (text, row) in enumerate(zip(texts, rows, strict=True)):
        wanted = record("message_received", dict(zip(keys, row, strict=False)), at=1.5, seq=7 + number, run_id="r%s")
        assert json.loads(text) == wanted


def test_an_event_without_fields_is_written_too_and_others_are_refused():
    (text,) = lines("intake_resumed", (), [()], at=1.5, seq=7, run_id="r")
    assert json.loads(text)["event"] == "intake_resumed"
    assert lines("intake_resumed", (), [], at=1.5, seq=7, run_id="r") == []
    with pytest.raises(ValueError, match="not an event"):
        lines("no_such_event", ("a",), [(1,)], at=1.5, seq=7, run_id="r")
    with pytest.raises(KeyError):
        lines("message_received", ("count",), [(1,)], at=1.5, seq=7, run_id="r")


def emitted():
    """Every literal name that the source emits, with its place."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = ast.unparse(node.func).rsplit(".", 1)[-1]
                if called in {"emit", "_emit", "emit_event"} and isinstance(node.args[0].value, str):
                    yield node.args[0].value, {word.arg for word in node.keywords}, f"{path.name}:{node.lineno}"


def test_every_event_that_the_source_emits_is_in_the_vocabulary():
    for name, fields, place in emitted():
        assert name in EVENTS, f"{place} emits {name}"
        if None not in fields:
            assert set(EVENTS[name]) <= fields, f"{place}: {name} lacks {set(EVENTS[name]) - fields}"


def test_the_promised_names_are_there():
    promised = "connected task_queued processing_task workflow_generated workflow_saved task_completed"
    assert set(promised.split()) <= set(EVENTS)
