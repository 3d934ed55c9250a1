"""A request cut into tokens: words, figures, URLs, files, quoted names, e-mail addresses, marks, ends of sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from code_evolver.core.english import urls
from code_evolver.core.english.durations import UNITS

Kind = Literal["word", "number", "url", "file", "path", "quoted", "email", "mark", "stop"]
MAX_QUOTED = 400


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the request: `request[start:end]`."""

    kind: Kind
    text: str
    """What it says, as written, without quotes and trailing punctuation."""
    start: int
    end: int
    quoted: bool = False


# One character each, so that places in the text stay the same.
_SAME = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02", '"'),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00a0\u2007\u202f\u2009\u200a\u3000", " "),
        **dict(zip("\u2026\u2022\u3002\uff0c\uff1a\uff1b\uff01\uff1f", ".*.,:;!?", strict=True)),
    }
)
_KEY = re.compile(
    r"(?:--)?(hub[_-]?url|url|hub[_-]?name|hub|duration[_-]seconds|duration|output[_-]file|output|auto[_-]generate[_-]workflows|llm|client)"
    r"(=|[ \t]*[=:](?=[ \t\"']))",
    re.IGNORECASE,
)
_FLAG = re.compile(r"--(hub-url|hub-name|duration-seconds|duration|output-file|output)(?=[ \t])", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_BULLET = re.compile(r"(?:[-*+]|[0-9]{1,2}[.)])[ \t]+(?=\S)")
_CHUNK = re.compile(r"[^\s\"`]+")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_THOUSANDS = re.compile(r"[0-9]{1,3}\.[0-9]{3}")
_EMAIL = re.compile(r"(?:mailto:)?[^\s@/:]{1,64}@[^\s@/:]{1,200}\.[^\s@/:.]{2,30}", re.IGNORECASE)
_FILE_END = re.compile(r"[^.\\/:]\.(?:jsonl?|ndjson|txt|csv|tsv|log|xml|ya?ml|md|html?|pdf|xlsx?|db|sqlite|parquet|py|toml|ini)$", re.IGNORECASE)  # fmt: skip
_PATH = re.compile(r"(?:[a-z]:[\\/]|~|\.{1,2}[\\/]|[\\/]{1,2}[^\\/\s]).*", re.IGNORECASE | re.DOTALL)
_LEADING = "([{<'*_"
_TRAILING = ".,;:!?)]}>'*_"
_COMPOUND = re.compile(r"[0-9]+(?:\.[0-9]+)?[a-zA-Z]+")


def tokenize(request: str) -> list[Token]:
    """Cut `request` into tokens, in order. Takes time in proportion to its length."""
    return list(_tokens(plain(request), request))


def plain(text: str) -> str:
    """Give `text` with typographic quotes, dashes and spaces made plain, each character in its place."""
    return text.translate(_SAME)


def _tokens(text: str, raw: str) -> Iterator[Token]:
    at, fresh_line = 0, True
    while at < len(text):
        space = _SPACE.match(text, at)
        if space:
            fresh_line = fresh_line or "\n" in space.group()
            if space.group().count("\n") > 1:
                yield Token("stop", "\n", at, space.end())
            at = space.end()
            continue
        bullet = _BULLET.match(text, at) if fresh_line else None
        fresh_line = False
        if bullet:
            yield Token("stop", "\n", at, bullet.end())
            at = bullet.end()
            continue
        found, at = _next(text, raw, at)
        yield from found


def _next(text: str, raw: str, at: int) -> tuple[list[Token], int]:
    quoted = _quoted(text, raw, at)
    if quoted is not None:
        return [quoted], quoted.end
    key = _KEY.match(text, at) or _FLAG.match(text, at)
    if key and (at == 0 or not text[at - 1].isalnum()):
        word = Token("word", key.group(1), at, key.end(1))
        return [word, Token("mark", "=", key.end(1), key.end())], key.end()
    if text[at] in '"`':
        return [Token("mark", text[at], at, at + 1)], at + 1
    chunk = _CHUNK.match(text, at)
    assert chunk is not None  # noqa: S101 — neither space nor quote stands at `at`
    return _chunk(chunk.group(), raw, at), chunk.end()


def _quoted(text: str, raw: str, at: int) -> Token | None:
    mark = text[at]
    if mark not in "\"'`" or (mark == "'" and at and text[at - 1].isalnum()):
        return None
    end = text.find(mark, at + 1, at + MAX_QUOTED + 2)
    while mark == "'" and end > 0 and end + 1 < len(text) and text[end + 1].isalnum():
        end = text.find(mark, end + 1, at + MAX_QUOTED + 2)
    inside = raw[at + 1 : end].strip() if end > 0 else ""
    if not inside:
        return None
    return Token(_kind_of_quoted(inside), inside, at, end + 1, quoted=True)


def _kind_of_quoted(inside: str) -> Kind:
    if urls.SCHEME.match(inside):
        return "url"
    if _EMAIL.fullmatch(inside):
        return "email"
    if _FILE_END.search(inside):
        return "file"
    return "url" if urls.without_scheme(inside) else "quoted"


def _chunk(chunk: str, raw: str, at: int) -> list[Token]:
    scheme = urls.SCHEME.search(chunk)
    if scheme:
        return _around_url(chunk, raw, at, scheme.start())
    start, end = 0, len(chunk)
    while start < end and chunk[start] in _LEADING and not chunk.startswith("[", start):
        start += 1
    while end > start and chunk[end - 1] in _TRAILING and not (chunk[end - 1] == "]" and "[" in chunk[start:end]):
        end -= 1
    tokens = [Token("mark", chunk[place], at + place, at + place + 1) for place in range(min(start, 20))]
    tokens += _core(chunk[start:end], raw, at + start)
    return tokens + _ends(chunk, at, end)


def _around_url(chunk: str, raw: str, at: int, where: int) -> list[Token]:
    before = chunk[:where]
    end = len(chunk)
    # A "/", "=", "&" or the like at the end belongs to the URL; a "]" may close an IPv6 host.
    while end > where and not chunk[end - 1].isalnum() and chunk[end - 1] not in "/=&%+~_#$@-]":
        end -= 1
    while end > where and chunk[end - 1] == "]" and "[" not in chunk[where:end]:
        end -= 1
    # "http://host/…" leaves something out: keep the dots, for its check to see.
    while (
        chunk[end - 1] in "/."
        and end < len(chunk)
        and (chunk[end : end + 2] == ".." or raw[at + end] == "\u2026" or chunk[end - 1] + chunk[end] == "..")
    ):
        end += 1
    tokens: list[Token] = []
    if before.strip("([<{'*_") != "":
        word = before.rstrip(":=(<['*_")
        if word == before:
            where = 0  # Letters stick to the scheme: where the URL begins is not certain, and its check will say so.
        else:
            tokens += [*_core(word, raw, at), Token("mark", "=", at + len(word), at + where)]
    text = raw[at + where : at + end]
    return [*tokens, Token("url", text, at + where, at + end), *_ends(chunk, at, end)]


def _ends(chunk: str, at: int, end: int) -> list[Token]:
    """Give the marks after a chunk's core; a full stop, "!", "?" or ";" ends the sentence."""
    after = chunk[end:]
    if not after:
        return []
    if any(mark in ".!?;" for mark in after):
        return [Token("stop", after[0], at + end, at + len(chunk))]
    return [Token("mark", after[0], at + end, at + len(chunk))]


def _core(core: str, raw: str, at: int) -> list[Token]:
    if not core:
        return []
    text = raw[at : at + len(core)]
    whole: Kind | None = _kind_of_core(core)
    if whole:
        return [Token(whole, text, at, at + len(core))]
    pieces = list(re.finditer(r"[^,;()]+|[,;()]", core))
    if len(pieces) == 1:
        return [Token("word", text, at, at + len(core))]
    return [token for piece in pieces for token in _piece(piece.group(), raw, at + piece.start())]


def _piece(piece: str, raw: str, at: int) -> list[Token]:
    end = at + len(piece)
    if piece in {",", "(", ")"}:
        return [Token("mark", piece, at, end)]
    if piece == ";":
        return [Token("stop", piece, at, end)]
    return [Token(_kind_of_core(piece) or "word", raw[at:end], at, end)]


def _kind_of_core(core: str) -> Kind | None:
    if _NUMBER.fullmatch(core) and not unclear_figure(core):
        return "number"
    if core in {"-", "--", "=", ":", "&", "->", "=>", "*"}:
        return "mark"
    if unclear_figure(core):
        return "word"
    return _kind_of_thing(core)


def _kind_of_thing(core: str) -> Kind | None:
    if _EMAIL.fullmatch(core):
        return "email"
    if urls.without_scheme(core):
        return "url"
    if _FILE_END.search(core) and not re.search(r"[,;()]", core):
        return "file"
    return "path" if _PATH.fullmatch(core) and len(core) > 1 else None


def unclear_figure(word: str) -> bool:
    """Say whether `word` is a figure that two countries read differently ("1.500", "1,5")."""
    return bool(_THOUSANDS.fullmatch(word)) or bool(re.fullmatch(r"[0-9]{1,20}(?:,[0-9]{1,20}){1,20}", word))


def duration_words(word: str) -> list[str] | None:
    """Give the figures and units of "1h30m" or "5-minute"; None where `word` is neither."""
    if len(word) > 60:
        return None
    pieces = re.findall(r"[0-9]+(?:\.[0-9]+)?|[a-z]+|.", word.replace("-", " ").replace(" ", ""))
    joined = _COMPOUND.match(word) and all(piece in UNITS or _NUMBER.fullmatch(piece) for piece in pieces)
    hyphenated = re.fullmatch(r"[0-9]+(?:\.[0-9]+)?-[a-z]+", word) and word.partition("-")[2] in UNITS
    return pieces if joined or hyphenated else None
