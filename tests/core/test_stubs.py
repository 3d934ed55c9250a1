"""Stub tools answer so that an answer names its call."""

from code_evolver.core.stubs import stub_answer, stub_text
from code_evolver.core.trials import Call

CALL = Call("summarizer", "A text.", {"tone": "dry", "words": 3})


def test_an_answer_names_its_tool_and_is_the_same_every_time():
    assert stub_answer(CALL).text.startswith("«summarizer ")
    assert stub_answer(CALL) == stub_answer(Call("summarizer", "A text.", {"words": 3, "tone": "dry"}))


def test_another_tool_prompt_or_argument_gives_another_answer():
    others = [
        Call("other", CALL.prompt, CALL.arguments),
        Call("summarizer", "A text. ", CALL.arguments),
        Call("summarizer", CALL.prompt, {"tone": "dry", "words": 4}),
        Call("summarizer", CALL.prompt, {}),
    ]
    assert len({stub_text(call) for call in (CALL, *others)}) == 5


def test_only_the_tool_named_as_failing_fails():
    assert stub_answer(CALL, failing="summarizer").code == "tool_failed"
    assert "summarizer" in stub_answer(CALL, failing="summarizer").error
    assert not stub_answer(CALL, failing="quick_translator").error
