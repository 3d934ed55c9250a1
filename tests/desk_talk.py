"""Talk to the generators of the model part without a network: a list of answers in, the steps they took and their end out."""

from code_evolver.core.dialects import ollama, openai
from code_evolver.core.dialects.wire import Answer, Failure
from code_evolver.core.llm_config import read_config
from code_evolver.core.model_desk import Desk, Got, Pause, Send, Step, Tell
from code_evolver.core.question import Ask, Usage

DIALECTS = {"openai": openai, "ollama": ollama}
ASK = Ask("code", "general", "Be brief.", "Write a program.", max_tokens=100)
MODELS = b'{"data": [{"id": "m"}, {"id": "n"}]}'
DOWN = Failure("connect", "refused")


class Clock:
    """Time that passes by pauses and by what answers take."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Listless:
    """openai's dialect for a server that neither lists models nor tells details."""

    def __getattr__(self, name):
        return (lambda *_: None) if name in ("list_request", "detail_request") else getattr(openai, name)


def desk(tiers=None, kind="openai", backends=1, looked_up=True, dialects=DIALECTS, **llm):
    """A desk with backends b0, b1, … and model m, of which the server has told already."""
    rows = {f"b{n}": {"type": kind, "base_url": f"http://h{n}:1"} for n in range(backends)}
    for row in rows.values():
        row.update(llm.pop("backend", {}))
    config = read_config({"backends": rows, "tiers": tiers or {"general": [f"{name}/m" for name in rows]}, **llm})
    made = Desk(config, dialects.__getitem__, Clock(), lambda: 0.5)
    if looked_up:
        made.looked_up.update(ref for refs in config.tiers.values() for ref in refs)
    return made


def said(text, finish="stop", tokens_in=10, tokens_out=5, **more):
    return Answer(text, finish, Usage(tokens_in, tokens_out), **more)


def talk(steps, made, *answers, seconds=0.25):
    """Answer each Send in turn; give (steps, end). The end is what was returned or the error that was raised."""
    left, taken = list(answers), list[Step]()
    got = None
    while True:
        try:
            step = steps.send(got)
        except StopIteration as stop:
            assert not left, f"answers nobody asked for: {left}"
            return taken, stop.value
        except Exception as error:  # noqa: BLE001 - what was raised is the outcome that a test looks at
            assert not left, f"answers nobody asked for: {left}"
            return taken, error
        taken.append(step)
        got = None
        if isinstance(step, Pause):
            made.now.now += step.seconds
        elif isinstance(step, Send):
            made.now.now += seconds
            got = Got(left.pop(0), seconds)


def sent(steps):
    return [step.request for step in steps if isinstance(step, Send)]


def told(steps, name):
    return [step.fields for step in steps if isinstance(step, Tell) and step.event == name]
