"""The gate's checks before anything is parsed: size, encoding, characters, bracket depth, cookies."""

import re
import unicodedata

from code_evolver.core.findings import Finding

MOST_BYTES = 64 * 1024
MOST_BRACKETS = 40
MOST_LINE = 2000
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_UTF8 = frozenset({b"utf-8", b"utf8", b"utf-8-unix"})
_STRAY = re.compile(r"[^\n\r\t\x20-\x7e\x80-\U0010ffff]|\r(?!\n)")
_ODD = frozenset({"Cf", "Cc", "Co", "Cs", "Cn", "Zl", "Zp"})
_BRACKETS = re.compile(r"[^()\[\]{}]+")
_PIECES = re.compile(
    r"#[^\n]*|'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|[()\[\]{}]",
    re.DOTALL,
)


def read_text(code: bytes) -> str | Finding:
    """Give the program's text with plain line ends, or what keeps it from being read."""
    if len(code) > MOST_BYTES:
        return Finding("too-large", 0, f"The program has {len(code)} bytes; {MOST_BYTES} are allowed.", "Write less.")
    if code.startswith(b"\xef\xbb\xbf"):
        return Finding("byte-order-mark", 1, "The program begins with a byte-order mark.", "Write plain UTF-8.")
    for number, line in enumerate(code.split(b"\n", 2)[:2], 1):
        cookie = _COOKIE.match(line)
        if cookie and cookie[1].lower() not in _UTF8:
            return Finding("encoding", number, "The program declares another encoding than UTF-8.", "Leave it out.")
    try:
        text = code.decode("utf-8")
    except UnicodeDecodeError as error:
        broken = code.count(b"\n", 0, error.start) + 1
        return Finding("encoding", broken, f"Byte {error.start} is not UTF-8.", "Write plain UTF-8.")
    return _odd_character(text) or _too_deep(text) or text.replace("\r\n", "\n")


def _odd_character(text: str) -> Finding | None:
    stray = _STRAY.search(text)
    where = stray.start() if stray else -1
    if where < 0 and not text.isascii():
        odd = {char for char in set(text) if not char.isascii() and unicodedata.category(char) in _ODD}
        where = min((text.index(char) for char in odd), default=-1)
    if where < 0:
        return None
    line = text.count("\n", 0, where) + 1
    return Finding(
        "odd-character",
        line,
        f"The character U+{ord(text[where]):04X} cannot be seen.",
        "Write it as an escape in a string.",
    )


def _too_deep(text: str) -> Finding | None:
    line_length = max(map(len, text.split("\n")), default=0)
    if line_length > MOST_LINE:
        return Finding(
            "line-too-long", 0, f"A line has {line_length} characters; {MOST_LINE} are allowed.", "Break it up."
        )
    depth, longest = 0, 0
    brackets = _BRACKETS.sub("", text)
    for char in brackets:
        depth += 1 if char in "([{" else -1
        longest = max(longest, depth)
    if longest <= MOST_BRACKETS:
        return None  # also counts brackets in strings; the parser's own limit of 200 stands behind it
    depth = 0
    for piece in _PIECES.finditer(text):
        char = piece.group()
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        if depth > MOST_BRACKETS:
            line = text.count("\n", 0, piece.start()) + 1
            return Finding("too-deep", line, f"Brackets nest deeper than {MOST_BRACKETS}.", "Use variables.")
    return None
