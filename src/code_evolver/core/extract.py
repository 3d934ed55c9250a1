"""A summary without a model: the sentences of a text that share most words with the rest of it, in their order.

Works for scripts with and without spaces between words, in time linear in the text but for sorting the sentences.
"""

import math
import re
from collections import Counter

LONGEST = 400
"""Characters of one sentence that are kept; text without sentence ends is one sentence."""
_MOST_SENTENCES = 20_000
# Runs are entered at their first character only: "....…" costs its length once.
_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’»)\]]*+(?=\s|$) | (?<![。！？｡])[。！？｡]++[」』”）]*+ | (?<![।؟۔])[।؟۔]++(?=\s|$) | \n""",  # noqa: RUF001 - full-width marks end sentences
    re.VERBOSE,
)
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f\uf900-\ufaff]")
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|Nr|No|vs|e\.g|i\.e|z\.B|ca|approx|Inc|Ltd)\.$")


def summarize(text: str, sentences: int = 3) -> str:
    """Give at most `sentences` sentences of `text` (at least one, "" for a text without any), each at most LONGEST long."""
    found = split(text)[:_MOST_SENTENCES]
    wanted = max(1, sentences)
    if len(found) > wanted:
        words = [_words(sentence) for sentence in found]
        scores = _scores(words)
        best = sorted(range(len(found)), key=lambda place: (-scores[place], place))[:wanted]
        found = [found[place] for place in sorted(best)]
    return _join([_cut(sentence) for sentence in found])


def split(text: str) -> list[str]:
    """Give the sentences of a text, each once, white space put right."""
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        if end.group() != "\n" and _goes_on(text, start, end.end()):
            continue
        found.append(text[start : end.end()])
        start = end.end()
    found.append(text[start:])
    clean = (" ".join(sentence.split()) for sentence in found)
    return list(dict.fromkeys(sentence for sentence in clean if _WORD.search(sentence)))


def _goes_on(text: str, start: int, end: int) -> bool:
    """Say whether what looks like an end is an abbreviation's dot, or a small letter follows."""
    following = text[end : end + 40].lstrip(" \t")[:1]
    return following.islower() or bool(_ABBREVIATION.search(text[max(start, end - 12) : end]))


def _words(sentence: str) -> list[str]:
    words: list[str] = []
    for run in _WORD.findall(sentence.lower()):
        if _UNSPACED.search(run):
            words += [run[place : place + 2] for place in range(max(1, len(run) - 1))]
        elif len(run) > 2:
            words.append(run)
    return words


def _scores(words: list[list[str]]) -> list[float]:
    """Score sentences: shared words count, those of every third sentence do not; the beginning counts a little more."""
    spread = Counter(word for sentence in words for word in set(sentence))
    everywhere = max(2.0, len(words) / 3)
    weight = {word: math.log(count) if count <= everywhere else 0.0 for word, count in spread.items()}
    return [
        sum(weight[word] for word in set(sentence)) / math.sqrt(len(sentence) + 4.0) + 0.3 / (1 + place)
        for place, sentence in enumerate(words)
    ]


def _cut(sentence: str) -> str:
    if len(sentence) <= LONGEST:
        return sentence
    head = sentence[: LONGEST - 1]
    return (head.rsplit(" ", 1)[0] if " " in head[LONGEST // 2 :] else head) + "…"


def _join(sentences: list[str]) -> str:
    joined = ""
    for sentence in sentences:
        gap = "" if not joined or joined[-1] in "。！？｡」』" else " "  # noqa: RUF001 - full-width marks
        joined += gap + sentence
    return joined
