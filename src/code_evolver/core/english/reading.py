"""A request in plain English, read by rules: settings that the words say for sure, notes, and what is not certain."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from code_evolver.core.english import durations, urls
from code_evolver.core.english.mentions import Mention, Mentions, find
from code_evolver.core.english.problems import EXAMPLE_REQUEST, NotUnderstood, SecretInWords, Unsure
from code_evolver.core.english.wishes import doubt_of_duration, doubt_of_output, workflow_wishes
from code_evolver.core.strict_json import show

MAX_CHARACTERS = 20_000
DEFAULTS: Mapping[str, object] = {
    "hub_name": "TaskHub",
    "duration_seconds": None,
    "auto_generate_workflows": False,
    "output_file": None,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request says."""

    settings: Mapping[str, object]
    """Connector settings: hub_url, hub_name, duration_seconds, auto_generate_workflows, output_file always; others where said."""
    notes: tuple[str, ...]
    """What a person may want to know of how it was read."""
    unsure: tuple[Unsure, ...]
    """Words not understood for sure. With any of these the settings must not be used without asking."""
    said: frozenset[str] = frozenset()
    """The settings that the words name; the rest are defaults."""


@dataclass(slots=True)
class _Draft:
    settings: dict[str, Any]
    notes: list[str]
    unsure: list[Unsure]
    said: dict[str, str]
    """Setting → the words that say it."""

    def say(self, key: str, value: object, words: str) -> None:
        """Set a value; a second, different value is a contradiction."""
        if key in self.said and self.settings[key] != value:
            raise NotUnderstood(f"{show(self.said[key])} and {show(words)} contradict each other ({key}).",
                                "Say it once.")  # fmt: skip
        self.settings[key] = value
        self.said.setdefault(key, words)


def read(request: str) -> Reading:
    """Read a request.

    Raises InputError (mostly NotUnderstood) for what is plainly wrong, quoting the words; a secret is never quoted.
    """
    text = _checked(request)
    mentions = find(text)
    if mentions.secret:
        raise SecretInWords(mentions.secret)
    draft = _Draft(dict(DEFAULTS), [], list(mentions.unsure), {})
    _read_hub_url(text, mentions, draft)
    # In the order of their words, not of their places: the order of sentences must not matter.
    for mention in sorted(mentions.found, key=lambda one: (one.kind, one.words)):
        reader = _READERS.get(mention.kind)
        if reader:
            reader(draft, mention)
    _read_workflows(mentions.found, draft)
    return Reading(
        draft.settings, tuple(dict.fromkeys(draft.notes)), tuple(dict.fromkeys(draft.unsure)), frozenset(draft.said)
    )


def _checked(request: str) -> str:
    if not request.strip():
        raise NotUnderstood("The request is empty.", EXAMPLE_REQUEST)
    if len(request) > MAX_CHARACTERS:
        raise NotUnderstood(f"The request has {len(request)} characters, more than {MAX_CHARACTERS}.",
                            "Say it in a few sentences.")  # fmt: skip
    text = request.strip()
    for first, last in ('""', "''", "``", "“”", "«»"):
        inside = text[1:-1]
        if (
            len(text) > 2
            and text[0] == first
            and text[-1] == last
            and " " in inside
            and first not in inside
            and last not in inside
        ):
            return inside
    return text


def _read_hub_url(text: str, mentions: Mentions, draft: _Draft) -> None:
    found: dict[str, str] = {}
    for token in mentions.urls:
        url = urls.read_hub_url(urls.with_scheme(token.text), quoted=token.quoted)
        found.setdefault(url, token.text)
    if not found:
        raise NotUnderstood(f"No URL of a hub in {show(text, 200)}.", EXAMPLE_REQUEST)
    if len(found) > 1:
        first, second = sorted(found.values())[:2]
        raise NotUnderstood(
            f"It is not certain which is the hub: {show(first)} or {show(second)}.",
            "Name one hub; leave other URLs out, or write 'see' before them.",
        )
    url, written = found.popitem()
    draft.say("hub_url", url, written)
    if not urls.SCHEME.search(written):
        draft.notes.append(f"{show(written)} has no scheme; read as {url}.")


def _refuse_time(_: _Draft, mention: Mention) -> None:
    raise NotUnderstood(f"{show(mention.words, 200)} names no fixed length of time.",
                        "Write a length such as 'for 5 minutes', or 'until stopped'.")  # fmt: skip


def _refuse_negative(_: _Draft, mention: Mention) -> None:
    raise NotUnderstood(f"The duration {show(mention.words, 200)} is negative.", durations.HINT)


def _read_duration(draft: _Draft, mention: Mention) -> None:
    seconds = next((item.seconds for item in mention.items if item.seconds is not None), None)
    if seconds is None:
        # "duration_seconds = 300", or "for the next hour".
        last = mention.items[-1]
        seconds = float(last.first.text) if last.first.kind == "number" else durations.UNITS[last.canon]
    durations.in_range(seconds, mention.words)
    doubt = doubt_of_duration(mention)
    if doubt:
        draft.unsure.append(doubt)
    else:
        draft.say("duration_seconds", seconds, mention.words)


def _read_forever(draft: _Draft, mention: Mention) -> None:
    draft.say("duration_seconds", None, mention.words)


def _read_output(draft: _Draft, mention: Mention) -> None:
    name = mention.token("file").text
    if not name.lower().endswith((".json", ".jsonl")):
        draft.unsure.append(Unsure(mention.words, "Tasks are written as JSON, and this name has another ending.",
                                   "Name a file that ends in .json or .jsonl."))  # fmt: skip
        return
    doubt = doubt_of_output(mention)
    if doubt:
        draft.unsure.append(doubt)
        return
    draft.say("output_file", name, mention.words)
    if "result" in mention.words.lower() or "output" in mention.words.lower():
        draft.notes.append(f"{show(name)} gets the tasks as received; workflows are saved under nodes/.")


def _read_no_output(draft: _Draft, mention: Mention) -> None:
    draft.say("output_file", None, mention.words)


def _read_hub_name(draft: _Draft, mention: Mention) -> None:
    draft.say("hub_name", mention.name, mention.words)
    if "subscri" in mention.words.lower():
        draft.notes.append(
            "No hub method is called to subscribe; add 'call SubscribeToContext with NAME' where the hub wants it."
        )


def _read_listen(draft: _Draft, mention: Mention) -> None:
    draft.settings["listen"] = sorted({*draft.settings.get("listen", []), mention.name})
    draft.said.setdefault("listen", mention.words)


def _read_subscribe(draft: _Draft, mention: Mention) -> None:
    arguments = [mention.name] if mention.name else []
    draft.say("subscribe", [{"method": mention.method, "arguments": arguments}], mention.words)


def _read_choice(key: str, value: str | None = None) -> Callable[[_Draft, Mention], None]:
    def reader(draft: _Draft, mention: Mention) -> None:
        draft.say(key, value or (mention.name if key == "access_token_file" else mention.name.lower()), mention.words)

    return reader


_READERS: Mapping[str, Callable[[_Draft, Mention], None]] = {
    "duration": _read_duration, "bare_duration": _read_duration, "forever": _read_forever,
    "refused_time": _refuse_time, "negative_time": _refuse_negative,
    "output": _read_output, "no_output": _read_no_output,
    "hub_name": _read_hub_name, "hub_named": _read_hub_name, "hub_quoted": _read_hub_name, "hub_suffix": _read_hub_name,
    "listen": _read_listen, "subscribe": _read_subscribe,
    "llm_off": _read_choice("llm", "off"), "llm_required": _read_choice("llm", "required"),
    "client": _read_choice("client"), "token_file": _read_choice("access_token_file"),
    "reference": lambda draft, mention: draft.notes.append(f"{show(mention.token('url').text)} is not taken for the hub."),
    "contact": lambda draft, mention: draft.notes.append(f"{show(mention.token('email').text)} is not used."),
}  # fmt: skip


def _read_workflows(found: Sequence[Mention], draft: _Draft) -> None:
    wishes = workflow_wishes(found)
    draft.unsure.extend(wishes.doubts)
    for wanted, words in wishes.firm:
        draft.say("auto_generate_workflows", wanted, words)
