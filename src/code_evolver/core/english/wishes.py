"""Whether a request wants workflows: asked for, denied, or left open by its grammar."""

from collections.abc import Sequence
from dataclasses import dataclass

from code_evolver.core.english.mentions import Mention
from code_evolver.core.english.problems import Unsure
from code_evolver.core.english.words import words

_ABOUT_OTHERS = words(
    "that which who they can could may might would will should it hub server service tasks messages task does i we people team"
)
"""Right before "create workflows" these make it a statement about the hub, not a wish."""
_BEFORE_ING = words(
    ", ( ) : - = and by while whilst for with start begin then also do auto automatically please are in"
) | {""}
_BEFORE_NOUN = words("the a an this that these your my our its of from about in at on")
_TASKS = words("task tasks message messages job jobs item items data work")
_STATES = words(
    "running available reachable hosted located found sent pushed published live realtime is are be have has am"
)
"""Right before "for 5 minutes" these tell how long something else lasts."""
_NOT_DENIED = words("just only do no without please never instead")
_HINT = "Say it in a sentence of its own."


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says about workflows."""

    firm: tuple[tuple[bool, str], ...]
    """Wanted or not, and the words; two different ones contradict each other."""
    doubts: tuple[Unsure, ...]


def workflow_wishes(found: Sequence[Mention]) -> Wishes:
    """Weigh the phrases about workflows, training and processing."""
    doubts = {mention: _doubt(mention) for mention in found if mention.kind in {"make", "no_make", "no_make_verb"}}
    firm = [(mention.kind == "make", mention.words) for mention, doubt in doubts.items() if doubt is None]
    only = sorted(mention.words for mention in found if mention.kind == "receive_only")
    open_ = [doubt for doubt in doubts.values() if doubt]
    if only and not any(wanted for wanted, _ in firm):
        firm.append((False, only[0]))
    elif only and all(wanted for wanted, _ in firm):
        # "Just listen … and create workflows": "just" may be a filler or may mean "do nothing else".
        firm, open_ = (
            [],
            [*open_, Unsure(only[0], "Elsewhere the request asks for workflows.", "Leave out one of the two.")],
        )
    return Wishes(tuple(sorted(firm, key=lambda one: one[1])), tuple(open_))


def _doubt(mention: Mention) -> Unsure | None:
    return _doubt_of_wish(mention) if mention.kind == "make" else _doubt_of_denial(mention)


def _doubt_of_wish(mention: Mention) -> Unsure | None:
    before = mention.before[-1] if mention.before else ""
    said = mention.words.lower().split()
    first, is_noun = said[0], said[-1] in {"session", "run"}
    statement = first.endswith("ing") and not is_noun and before not in _BEFORE_ING
    noun = first.startswith(("train", "process")) and before in _BEFORE_NOUN
    after_file = before == "for" and mention.before[-2:-1] == ("<f>",)
    if not (after_file or statement or noun or before in _ABOUT_OTHERS):
        return None
    return Unsure(f"{before} {mention.words}", "It is not certain that this asks for workflows.", _HINT)


def doubt_of_output(mention: Mention) -> Unsure | None:
    """Say where "… tasks to x.json" may tell what somebody else does."""
    if not mention.before or mention.before[-1] not in _ABOUT_OTHERS:
        return None
    words = f"{mention.before[-1]} {mention.words}"
    return Unsure(words, "It is not certain who is to write this file.", _HINT)


def doubt_of_duration(mention: Mention) -> Unsure | None:
    """Say where a length of time may be the tasks' or the hub's own ("tasks with a duration of 5 minutes")."""
    before = mention.before
    own = any(word in _TASKS for word in before) and not mention.words.lower().startswith(("for", "stop", "after"))
    if not own and (not before or before[-1] not in _STATES or before[-2:-1] == ("keep",)):
        return None
    words = " ".join([*before[-2:], mention.words])
    return Unsure(words, "It is not certain that this time is how long to listen.", "Write 'listen for 5 minutes'.")


def _doubt_of_denial(mention: Mention) -> Unsure | None:
    # "Do not create workflows and save …": does "not" reach that far?
    if mention.after[:1] not in {("and",), ("or",), ("nor",)}:
        return None
    follower = mention.after[1] if len(mention.after) > 1 else ""
    reaches = mention.kind == "no_make_verb" or follower.endswith("ing")
    if not reaches or follower in _NOT_DENIED:
        return None
    said = f"{mention.words} {mention.after[0]} {follower}".strip()
    return Unsure(said, "It is not certain whether what follows is denied as well.", _HINT)
