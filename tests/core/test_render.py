"""Lines for a person: nothing foreign reaches the terminal raw, and no event breaks a line."""

from hypothesis import given
from hypothesis import strategies as st

from code_evolver.core.events import EVENTS
from code_evolver.core.render import Lines, line, summary
from code_evolver.core.tally import Tally


def shown(*events):
    out: list[str] = []
    tally, lines = Tally(), Lines(out.append)
    for event in events:
        tally.add(event)
        lines.event(event, tally)
    return out


def test_the_queue_size_is_told_whenever_it_changes():
    queued = {"event": "task_queued", "task_id": "a", "task_type": "summarize", "queue_size": 1}
    done = {"event": "task_completed", "task_id": "a", "outcome": "generated", "node_id": "n"}
    notice = {"event": "notice", "message": "x"}
    said = [
        text
        for text in shown(
            {"event": "starting", "version": "1", "isolation": "isolated"}, queued, notice, queued, done, done
        )
        if "Queue" in text
    ]
    assert said == ["Queue Size: 0\n", "Queue Size: 1\n", "Queue Size: 2\n", "Queue Size: 1\n", "Queue Size: 0\n"]


@given(
    st.sampled_from(sorted(EVENTS)),
    st.dictionaries(
        st.sampled_from(sorted({key for keys in EVENTS.values() for key in keys})),
        st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text(), max_size=2)),
        max_size=6,
    ),
)
def test_no_event_breaks_a_line_or_raises(name, fields):
    text = line({**fields, "event": name})
    assert "\n" not in text
    assert "\x1b" not in text


def test_control_characters_of_a_hub_are_made_visible():
    text = line({"event": "processing_task", "task_id": "\x1b[2Jx", "task_type": "summarize", "name": "a\u202eb\nc"})
    assert text == "Working on \\u001b[2Jx (summarize) a\\u202eb c"


def test_the_summary_holds_the_numbers_of_the_result():
    result = {
        "success": True,
        "tasks_received": 3,
        "workflows_generated": 2,
        "tasks_failed": 1,
        "tasks": [{"id": "a", "outcome": "generated", "node": "summarize_a"}],
    }
    text = summary(result, 7, "/tmp/w")
    assert "tasks received  3" in text
    assert "nodes/summarize_a/main.py" in text
    assert "code-evolver dead list" in text


def test_a_failure_is_told_with_its_hint():
    error = {"code": "hub_refused", "message": "There is no hub.", "hint": "Look at the path.", "retryable": False}
    text = summary({"success": False, "error": error}, 5, ".")
    assert "There is no hub. [hub_refused]" in text
    assert "Look at the path." in text
