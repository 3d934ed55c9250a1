"""What the phrases of a request mention, sentence by sentence: settings, URLs, and words that nothing accounts for."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from code_evolver.core.english import durations, names, urls
from code_evolver.core.english.problems import Secret, Unsure
from code_evolver.core.english.rules import RULES
from code_evolver.core.english.tokens import Token, duration_words, plain, tokenize, unclear_figure
from code_evolver.core.english.words import CONTRACTIONS, HARMLESS, HUB_CUES, OTHER_CUES, SECRETS

_PLACE = {"url": "<u>", "file": "<f>", "path": "<p>", "quoted": "<q>", "email": "<e>", "number": "<n>"}
_MARKS = {",": ",", "(": "(", ")": ")", ":": ":", "=": "=", "-": "-", "--": "-", "->": "-", "=>": "-", "&": "and"}
_LIKE_A_KEY = re.compile(r"(?=[^\s]{0,200}[0-9])(?=[^\s]{0,200}[A-Za-z])[A-Za-z0-9_.~+/=-]{24,}")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}")
_QUESTION = re.compile(
    r"(?:(?:hi|hello|hey|ok|okay|well|please|and|but|so|,) ){0,4}"
    r"(?P<word>what|which|is|are|am|has|have|(?:can|could|would|will)(?= (?:i|it|they|this|that|these|the|hub|tasks) ))(?= )"
)
"""A sentence that begins so asks something, or is no request."""


@dataclass(frozen=True, slots=True)
class Item:
    """One canonical word of a sentence and the tokens it stands for."""

    canon: str
    first: Token
    last: Token
    seconds: float | None = None
    """Set where it is a duration."""


@dataclass(frozen=True, slots=True)
class Mention:
    """One phrase that says something."""

    kind: str
    words: str
    """As written."""
    items: tuple[Item, ...] = ()
    before: tuple[str, ...] = ()
    """The canonical words before it in the sentence, nearest last."""
    after: tuple[str, ...] = ()
    name: str = ""
    method: str = ""

    def token(self, kind: str) -> Token:
        """Give its first token of a kind."""
        return next(item.first for item in self.items if item.first.kind == kind)


@dataclass(slots=True)
class Mentions:
    """Everything that a request mentions."""

    found: list[Mention] = field(default_factory=list)
    urls: list[Token] = field(default_factory=list)
    """May be the hub's."""
    unsure: list[Unsure] = field(default_factory=list)
    secret: Secret | None = None


def find(request: str) -> Mentions:
    """Find everything; raises nothing."""
    mentions = Mentions()
    if _JWT.search(request):
        mentions.secret = Secret.LOOK
    for sentence in _sentences(tokenize(request)):
        _read_sentence(request, _items(sentence), mentions)
    return mentions


def _sentences(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    sentence: list[Token] = []
    for token in tokens:
        if token.kind != "stop":
            sentence.append(token)
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _items(sentence: Sequence[Token]) -> list[Item]:
    words = [(word, token) for token in sentence for word in _canonical(token)]
    texts = [token.text if token.kind == "number" else word for word, token in words]
    items, at = [], 0
    while at < len(words):
        found = durations.match(texts, at)
        end = at + (found[1] if found else 1)
        # A duration takes whole tokens only: "5-minute" is two words of one token.
        if found and (end == len(words) or words[end][1] is not words[end - 1][1]):
            items.append(Item("<d>", words[at][1], words[end - 1][1], found[0]))
        else:
            end = at + 1
            items.append(Item(words[at][0], words[at][1], words[at][1]))
        at = end
    return items


def _canonical(token: Token) -> Sequence[str]:
    if token.kind in _PLACE:
        return (_PLACE[token.kind],)
    if token.kind == "mark":
        mark = _MARKS.get(token.text)
        return (mark,) if mark else ()
    word = plain(token.text).lower()
    if len(word) > 130 or "<" in word or not word.isprintable() or " " in word or unclear_figure(word):
        return ("<x>",)
    if word in CONTRACTIONS:
        return CONTRACTIONS[word].split()
    return duration_words(word) or _hyphenated(word) or (word,)


def _hyphenated(word: str) -> Sequence[str]:
    parts = word.split("-")
    if 1 < len(parts) <= 3 and all(part in durations.NUMBER_WORDS or part in durations.UNITS for part in parts):
        return parts
    if 1 < len(parts) <= 3 and "" not in parts and all(names.is_known_word(part) for part in parts):
        return parts
    return ()


def _read_sentence(request: str, items: Sequence[Item], mentions: Mentions) -> None:
    canon = " ".join(item.canon for item in items)
    starts = list(accumulate((len(item.canon) + 1 for item in items), initial=0))
    index = {start: number for number, start in enumerate(starts)}
    index_of_end = {start - 1: number for number, start in enumerate(starts)}
    claimed = [item.canon in HARMLESS or item.canon in ",():=-" for item in items]
    question = _QUESTION.match(canon)
    if question:
        claimed[index[question.start("word")]] = False
    special: dict[str, set[int]] = {kind: set() for kind in ("reference", "token_file", "no_token", "refused_time")}
    at = 0
    while at < len(items):
        best = _best(canon, starts[at], at, items)
        if best is None:
            at += 1
            continue
        kind, found = best
        end = index_of_end[found.end()]
        if kind in special:
            special[kind].update(range(at, end))
        mentions.found.append(_mention(request, kind, found, items, range(at, end), index))
        claimed[at:end] = [True] * (end - at)
        at = end
    _sort_urls(items, special["reference"], claimed, mentions)
    harmless = special["token_file"] | special["no_token"]
    _look_for_secrets([item for number, item in enumerate(items) if number not in harmless], mentions)
    odd = [item for number, item in enumerate(items) if not claimed[number] or number in special["refused_time"]]
    if any(_LIKE_A_KEY.fullmatch(item.first.text) for item in odd if item.canon not in {"<u>", "<f>", "<p>"}):
        mentions.secret = mentions.secret or Secret.LOOK
    _leftovers(request, items, claimed, mentions)


def _best(canon: str, start: int, at: int, items: Sequence[Item]) -> tuple[str, re.Match[str]] | None:
    best: tuple[str, re.Match[str]] | None = None
    for rule in RULES:
        # A time that is refused is one that no other rule knows ("until stopped").
        if best and rule.kind in {"refused_time", "negative_time"}:
            break
        found = rule.pattern.match(canon, start)
        longer = found and found.end() > (best[1].end() if best else start)
        if found and longer and _fits(rule.kind, found, canon, at, items):
            best = rule.kind, found
    return best


def _fits(kind: str, found: re.Match[str], canon: str, at: int, items: Sequence[Item]) -> bool:
    if kind == "bare_duration":
        alone_before = at == 0 or items[at - 1].canon in {"<u>", *",():=-"}
        return alone_before and bool(re.match(r"$| [,():=-](?: |$)", canon[found.end() : found.end() + 3]))
    groups = found.groupdict()
    for group in ("name", "method"):
        if groups.get(group) and kind != "client":
            token = _token_at(canon, found.start(), at, found.start(group), items)
            how = kind if group == "name" else "method"
            if not names.fits(how, token):
                return False
    return True


def _token_at(canon: str, start: int, at: int, place: int, items: Sequence[Item]) -> Token:
    """Give the token at `place`, counted from the phrase's start, so that long sentences cost no more than short ones."""
    return items[at + canon.count(" ", start, place)].first


def _mention(
    request: str, kind: str, found: re.Match[str], items: Sequence[Item], place: range, index: dict[int, int]
) -> Mention:
    groups = found.groupdict()
    named = {group: items[index[found.start(group)]].first.text for group in ("name", "method") if groups.get(group)}
    return Mention(
        kind,
        _slice(request, items[place.start], items[place.stop - 1]),
        tuple(items[place.start : place.stop]),
        tuple(item.canon for item in items[max(0, place.start - 3) : place.start]),
        tuple(item.canon for item in items[place.stop : place.stop + 3]),
        named.get("name", ""),
        named.get("method", ""),
    )


def _slice(request: str, first: Item, last: Item) -> str:
    words = " ".join(request[first.first.start : last.last.end].split())
    return words if len(words) <= 200 else words[:199] + "…"


def _sort_urls(items: Sequence[Item], referred: Iterable[int], claimed: list[bool], mentions: Mentions) -> None:
    cue = ""
    for number, item in enumerate(items):
        if item.canon in HUB_CUES:
            cue = "hub"
        elif item.canon in OTHER_CUES:
            cue = "other"
        if item.canon != "<u>":
            continue
        if number in referred:
            continue
        if cue == "other":
            claimed[number] = False
        else:
            claimed[number] = True
            mentions.urls.append(item.first)


def _leftovers(request: str, items: Sequence[Item], claimed: Sequence[bool], mentions: Mentions) -> None:
    at = 0
    while at < len(items):
        if claimed[at]:
            at += 1
            continue
        end = at + 1
        while end < len(items) and (not claimed[end] or (end + 1 < len(items) and not claimed[end + 1])):
            end += 1
        _leftover(request, items[at:end], mentions)
        at = end


def _leftover(request: str, items: Sequence[Item], mentions: Mentions) -> None:
    canon = [item.canon for item in items]
    words = _slice(request, items[0], items[-1])
    mentions.unsure.append(Unsure(words, *_why(canon)))


def _look_for_secrets(items: Sequence[Item], mentions: Mentions) -> None:
    canon = " ".join(item.canon for item in items)
    if any(_is_secret(item) for item in items) or re.search(r"\b(?:api|access|secret|private)[ _-]?key", canon):
        mentions.secret = Secret.WORD
    in_urls = (urls.secret_of(urls.with_scheme(item.first.text)) for item in items if item.canon == "<u>")
    mentions.secret = mentions.secret or next(filter(None, in_urls), None)


def _is_secret(item: Item) -> bool:
    if item.canon in {"<u>", "<f>", "<p>"}:
        return False
    text = item.first.text.lower()[:500]
    return any(word in SECRETS for word in re.split(r"[^a-z]+", text))


def _why(canon: Sequence[str]) -> tuple[str, str]:
    joined = f" {' '.join(canon)} "
    if "<d>" in canon:
        return ("It is not certain that this time is how long to listen.",
                "Write 'for 5 minutes' for how long to listen, and leave other times to the settings.")  # fmt: skip
    if "<f>" in canon or "<p>" in canon:
        return ("It is not certain that the tasks are to be written to this file.",
                "Write 'save tasks to tasks.json' (or .jsonl).")  # fmt: skip
    if "<u>" in canon:
        return "It is not certain what this URL is for.", "Leave out every URL but the hub's."
    if any(f" {word} " in joined for word in ("not", "no", "never", "without", "except", "only", "unless", "if")):
        return ("This limits or denies something, and no rule says what.",
                "Write it as a setting, or leave it out.")  # fmt: skip
    return ("No rule says what this means for the connection.",
            'Say it in other words or leave it out; put a name in quotes, as in: hub called "LLMTasks".')  # fmt: skip
