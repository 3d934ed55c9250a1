"""Stub tools: answers by which the judge recognises the call that an output text came from."""

import hashlib

from code_evolver.core.strict_json import canonical
from code_evolver.core.trials import Answer, Call


def stub_text(call: Call) -> str:
    """Give the text that the stub of `call.tool` answers: "«summarizer 3f2a09bb61c7d4e8»", equal for equal calls only."""
    whole = canonical([call.tool, call.prompt, dict(call.arguments)])
    return f"«{call.tool} {hashlib.sha256(whole.encode('ascii')).hexdigest()[:16]}»"


def stub_answer(call: Call, failing: str = "") -> Answer:
    """Answer as a stub tool does; the tool named `failing` (Case.failing) fails with code "tool_failed"."""
    if failing and call.tool == failing:
        return Answer(error=f"The stub tool {call.tool} fails in this case.", code="tool_failed")
    return Answer(text=stub_text(call))
