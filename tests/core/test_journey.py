"""One task's way, decided without doing anything: lists of answers in, steps and an end out."""

import pytest

from code_evolver.core.compose import compose
from code_evolver.core.findings import Finding
from code_evolver.core.journey import (
    AskCode,
    AskPlan,
    Deferred,
    Generated,
    Program,
    Proof,
    Refused,
    Rejected,
    Said,
    Situation,
    Step,
    Trouble,
    Try,
    journey,
)
from code_evolver.core.message import read_message
from code_evolver.core.task_types import SUMMARIZE

GOOD = compose(SUMMARIZE, translations=False, fields=("content",))
FENCED = f"Here it is:\n```python\n{GOOD.decode()}```\n"
PLAN = Said('{"title": "Sums up", "description": "Sums up a text.", "tools": ["summarizer"]}', "local", "tiny")
CODE = Said(FENCED, "local", "tiny")
NONSENSE = Said("I cannot do that.", "local", "tiny")
PROVEN = Proof((), {"covers": {}}, {"level": "isolated", "detail": ""})
FAILED = Proof((Finding("one-document", 0, "It prints twice.", "Print once."),))
DOWN = Trouble("unavailable", "connection refused", "llm_unavailable")


def task(kind="summarize"):
    return read_message([{"id": "t", "taskName": "Summarize text", "llmTaskType": kind, "content": "Words."}]).tasks[0]


def situation(**more):
    return Situation(**{"task": task(), "row": SUMMARIZE, **more})


def walk(where, *answers):
    """Answer each step in turn (Refused needs none); give (steps, end)."""
    steps: list[Step] = []
    left = list(answers)
    way = journey(where)
    answer = None
    while True:
        try:
            step = way.send(answer)
        except StopIteration as stop:
            assert not left, f"answers nobody asked for: {left}"
            return steps, stop.value
        steps.append(step)
        answer = None if isinstance(step, Refused) else left.pop(0)


def kinds(steps):
    return [type(step).__name__ for step in steps]


def test_without_a_model_a_known_type_is_composed():
    steps, end = walk(situation(), PROVEN)
    assert kinds(steps) == ["Try"]
    assert isinstance(end, Generated)
    assert end.generator["kind"] == "composer"
    assert end.code == GOOD


def test_without_a_model_an_unknown_type_is_rejected_with_the_reason():
    steps, end = walk(situation(task=task("classify"), row=None))
    assert steps == []
    assert isinstance(end, Rejected)
    assert end.code == "llm_unavailable"
    assert "classify" in end.reason


def test_a_models_program_is_not_copied_where_it_may_not_run():
    _, end = walk(situation(program=Program("summarize_a", GOOD), model_code_may_run=False), PROVEN)
    assert end.generator["kind"] == "composer"
    composed = Program("summarize_a", GOOD, "composer")
    _, end = walk(situation(program=composed, model_code_may_run=False), PROVEN)
    assert end.generator == {"kind": "copy", "of": "summarize_a", "origin": "composer"}


def test_a_known_program_is_copied_without_asking_anybody():
    steps, end = walk(situation(program=Program("summarize_a", GOOD), tiers=("general",)), PROVEN)
    assert kinds(steps) == ["Try"]
    assert end.generator == {"kind": "copy", "of": "summarize_a", "origin": "model"}


def test_a_copy_that_fails_its_proof_makes_a_new_program():
    steps, end = walk(situation(program=Program("summarize_a", b"pass\n")), FAILED, PROVEN)
    assert kinds(steps) == ["Try", "Refused", "Try"]
    assert end.generator["kind"] == "composer"


def test_a_model_writes_the_program():
    steps, end = walk(situation(tiers=("general",), configured=True), PLAN, CODE, PROVEN)
    assert kinds(steps) == ["AskPlan", "AskCode", "Try"]
    assert end.generator == {"kind": "model", "backend": "local", "model": "tiny", "attempts": 1}
    assert end.title == "Sums up"


def test_findings_go_back_to_the_model_twice_then_to_the_stronger_tier():
    where = situation(tiers=("general", "strong"), configured=True)
    steps, end = walk(where, PLAN, NONSENSE, CODE, FAILED, CODE, FAILED, PLAN, CODE, PROVEN)
    asked = [step for step in steps if isinstance(step, AskCode)]
    assert [step.tier for step in asked] == ["general", "general", "general", "strong"]
    assert asked[0].findings == ()
    assert asked[1].findings
    assert asked[2].findings == FAILED.findings
    assert asked[2].draft == GOOD
    assert asked[3].findings == ()
    assert end.generator["attempts"] == 4
    assert len(end.drafts) == 3


def test_when_no_model_is_good_enough_the_composer_is_asked():
    answers = [PLAN, NONSENSE, NONSENSE, NONSENSE, PROVEN]
    steps, end = walk(situation(tiers=("general",), configured=True), *answers)
    assert kinds(steps)[-1] == "Try"
    assert end.generator["kind"] == "composer"
    assert len(end.drafts) == 3


def test_an_unknown_type_that_no_model_can_do_keeps_every_draft():
    where = situation(task=task("classify"), row=None, tiers=("general",), configured=True)
    _, end = walk(where, PLAN, NONSENSE, CODE, FAILED, NONSENSE)
    assert isinstance(end, Rejected)
    assert end.code == "not_proven"
    assert [draft.answer for draft in end.drafts] == [NONSENSE.text, FENCED, NONSENSE.text]


def test_code_with_a_finding_of_the_gate_is_never_tried():
    bad = Said("```python\nimport os\nos.system('x')\n```", "local", "tiny")
    steps, _ = walk(situation(tiers=("general",), configured=True), PLAN, bad, bad, bad, PROVEN)
    assert [step.generator for step in steps if isinstance(step, Try)] == ["composer"]


@pytest.mark.parametrize(
    ("down", "row", "kind"),
    [(None, SUMMARIZE, Deferred), (59.0, SUMMARIZE, Deferred), (60.0, SUMMARIZE, Generated), (600.0, None, Deferred)],
)
def test_a_down_backend_is_waited_for_and_costs_no_attempt(down, row, kind):
    where = situation(
        task=task("summarize" if row else "classify"), row=row, tiers=("general",), configured=True, down_seconds=down
    )
    answers = [DOWN, *([PROVEN] if kind is Generated else [])]
    _, end = walk(where, *answers)
    assert isinstance(end, kind)
    if isinstance(end, Deferred):
        assert not end.failure


def test_a_spent_budget_stops_asking():
    spent = Trouble("budget", "the run's tokens are used up", "llm_budget")
    steps, end = walk(situation(tiers=("general", "strong"), configured=True), spent, PROVEN)
    assert kinds(steps) == ["AskPlan", "Try"]
    assert end.generator["kind"] == "composer"
    _, end = walk(situation(task=task("classify"), row=None, tiers=("general",), configured=True), spent)
    assert end.code == "llm_budget"


def test_a_trial_that_could_not_be_held_is_no_judgement():
    _, end = walk(situation(), Proof((), broken="killed by the system"))
    assert end == Deferred(5.0, "killed by the system", failure=True)


def test_a_models_program_is_not_run_where_the_wall_is_missing():
    where = situation(tiers=("general",), configured=True, model_code_may_run=False)
    steps, _ = walk(where, PROVEN)
    assert kinds(steps) == ["Try"]
    _, end = walk(
        situation(task=task("classify"), row=None, tiers=("general",), configured=True, model_code_may_run=False)
    )
    assert end.code == "isolation_required"


def test_a_plan_that_cannot_be_read_is_no_obstacle():
    steps, end = walk(situation(tiers=("general",), configured=True), NONSENSE, CODE, PROVEN)
    assert isinstance(steps[0], AskPlan)
    assert isinstance(end, Generated)


def test_without_a_plan_a_program_is_asked_for_all_the_same():
    odd = Trouble("refused", "the answer is not the JSON that was asked for", "llm_refused")
    steps, end = walk(situation(tiers=("general",), configured=True), odd, CODE, PROVEN)
    assert kinds(steps) == ["AskPlan", "AskCode", "Try"]
    assert end.generator["kind"] == "model"


def test_what_led_to_an_accepted_program_goes_along_with_it():
    asked = Said(FENCED, "local", "tiny", prompt="Write it.")
    _, end = walk(situation(tiers=("general",), configured=True), PLAN, asked, PROVEN)
    assert (end.prompt, end.answer) == ("Write it.", FENCED)


def test_the_stronger_tier_is_asked_where_the_weaker_one_is_down():
    where = situation(task=task("classify"), row=None, tiers=("general", "strong"), configured=True)
    steps, end = walk(where, DOWN, PLAN, CODE, PROVEN)
    assert [step.tier for step in steps if isinstance(step, AskPlan)] == ["general", "strong"]
    assert isinstance(end, Generated)


def test_a_tier_that_has_spent_its_rounds_is_not_asked_all_over_again_because_another_is_down():
    where = situation(task=task("classify"), row=None, tiers=("general", "strong"), configured=True)
    _, end = walk(where, PLAN, NONSENSE, NONSENSE, NONSENSE, DOWN)
    assert isinstance(end, Rejected)
    assert (end.code, len(end.drafts)) == ("llm_unavailable", 3)


def test_a_known_type_does_not_wait_for_one_tier_while_the_other_refuses():
    refused = Trouble("refused", "status 401", "llm_refused")
    where = situation(tiers=("general", "strong"), configured=True)
    _, end = walk(where, refused, refused, DOWN, PROVEN)
    assert end.generator["kind"] == "composer"
    _, end = walk(
        situation(task=task("classify"), row=None, tiers=("general", "strong"), configured=True), refused, refused, DOWN
    )
    assert isinstance(end, Deferred)


def test_a_server_that_dies_during_a_repair_is_waited_for():
    where = situation(task=task("classify"), row=None, tiers=("general",), configured=True)
    _, end = walk(where, PLAN, NONSENSE, DOWN)
    assert (end.seconds, end.reason, end.failure) == (5.0, "connection refused", False)
    assert [draft.answer for draft in end.drafts] == [NONSENSE.text]


def test_when_the_time_of_a_task_has_run_out_no_stronger_tier_is_asked():
    late = Trouble("late", "the time has run out", "llm_late")
    steps, end = walk(situation(tiers=("general", "strong"), configured=True), PLAN, NONSENSE, late, PROVEN)
    assert kinds(steps)[-1] == "Try"
    assert end.generator["kind"] == "composer"
    _, end = walk(situation(task=task("classify"), row=None, tiers=("general",), configured=True), PLAN, NONSENSE, late)
    assert (end.code, len(end.drafts)) == ("llm_late", 1)


BROKEN = Proof((), broken="killed by the system")


@pytest.mark.parametrize(
    ("where", "answers"),
    [
        (situation(program=Program("summarize_a", GOOD)), [BROKEN]),
        (situation(tiers=("general",), configured=True), [PLAN, CODE, BROKEN]),
    ],
    ids=["copy", "model"],
)
def test_a_copy_or_a_models_program_that_could_not_be_tried_is_tried_again(where, answers):
    _, end = walk(where, *answers)
    assert end == Deferred(5.0, "killed by the system", failure=True)


def test_a_composed_program_that_fails_its_proof_is_a_draft_like_any_other():
    steps, end = walk(situation(), FAILED)
    assert kinds(steps) == ["Try", "Refused"]
    assert (end.code, "one-document: It prints twice." in end.reason) == ("not_proven", True)
    (draft,) = [draft.as_dict() for draft in end.drafts]
    assert (draft["generator"], draft["code"].encode(), len(draft["findings"])) == ("composer", GOOD, 1)


def test_the_budget_or_the_time_ends_the_asking_at_the_first_tier():
    spent = Trouble("budget", "spent", "llm_budget")
    steps, _ = walk(situation(task=task("classify"), row=None, tiers=("general", "strong"), configured=True), spent)
    assert kinds(steps) == ["AskPlan"]


@pytest.mark.parametrize("origin", ["model", "hand", "somebody"])
def test_only_what_we_composed_is_copied_where_no_models_program_may_run(origin):
    steps, _ = walk(situation(program=Program("a", GOOD, origin), model_code_may_run=False), PROVEN)
    assert [step.generator for step in steps if isinstance(step, Try)] == ["composer"]
    steps, end = walk(situation(program=Program("a", GOOD, origin), model_code_may_run=True), PROVEN)
    assert end.generator == {"kind": "copy", "of": "a", "origin": origin}
