"""The numbers of a run come from its events and add up."""

from hypothesis import given
from hypothesis import strategies as st

from code_evolver.core.tally import MOST_TASKS, Tally


def counted(*events):
    tally = Tally()
    for event in events:
        tally.add(event)
    return tally


def queued(key):
    return {"event": "task_queued", "task_id": key, "task_type": "summarize", "queue_size": 1}


def ended(key, outcome="generated"):
    return {"event": "task_completed", "task_id": key, "outcome": outcome, "node_id": "summarize_a"}


DEAD = {"event": "task_dead_lettered", "task_id": "c", "reason": "no program"}


def test_a_run_is_counted():
    tally = counted(
        queued("a"),
        queued("b"),
        queued("c"),
        ended("a"),
        ended("b", "reused"),
        DEAD,
        {"event": "queue_resumed", "count": 2},
    )
    assert tally.counts() == {
        "total_messages": 0, "tasks_received": 3, "tasks_resumed": 2, "workflows_generated": 1, "workflows_reused": 1,
        "tasks_failed": 1, "tasks_pending": 2, "duplicates": 0, "rejected": 0,
    }  # fmt: skip
    assert tally.result()["tasks"] == [
        {"id": "a", "outcome": "generated", "node": "summarize_a"},
        {"id": "b", "outcome": "reused", "node": "summarize_a"},
        {"id": "c", "outcome": "failed", "node": ""},
    ]
    assert tally.result()["errors"] == ["no program"]


@given(st.lists(st.sampled_from(["queued", "generated", "reused", "failed", "resumed"]), max_size=60))
def test_the_counts_always_add_up(names):
    events = {"queued": queued("x"), "generated": ended("x"), "reused": ended("x", "reused"), "failed": DEAD,
              "resumed": {"event": "queue_resumed", "count": 1}}  # fmt: skip
    counts = counted(*(events[name] for name in names)).counts()
    assert counts["tasks_received"] + counts["tasks_resumed"] == (
        counts["workflows_generated"] + counts["workflows_reused"] + counts["tasks_failed"] + counts["tasks_pending"]
    )


def test_tasks_are_left_out_past_a_thousand():
    assert len(counted(*(ended(str(number)) for number in range(MOST_TASKS))).result()["tasks"]) == MOST_TASKS
    assert "tasks" not in counted(*(ended(str(number)) for number in range(MOST_TASKS + 1))).result()


def test_the_task_in_work_and_its_step_are_known():
    tally = counted({"event": "processing_task", "task_id": "a", "task_type": "summarize", "name": "Summarize a"},
                    {"event": "llm_requested", "purpose": "plan", "tier": "general"})  # fmt: skip
    assert (tally.current, tally.current_name, tally.step) == ("a", "Summarize a", "asking the model")
    tally.add(ended("a"))
    assert (tally.current, tally.step) == ("", "")


def test_unknown_events_are_harmless():
    assert counted({"event": "something_new", "queue_size": 3}, {}) == Tally()
