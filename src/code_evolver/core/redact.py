"""Take secrets out of texts: the exact ones that are known, in every form they travel in, and what looks like one."""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

HIDDEN = "***"
SHORTEST = 4
"""Shorter values would blot out innocent text; nobody's secret is that short."""
_SECRET_KEYS = r"access[_-]?token|api[_-]?key|auth[_-]?token|id_token|client_secret|password|passwd|secret|token|sig"  # noqa: S105 - names of secrets, not one
_NAMES = ("token", "key", "passw", "secret", "sig", "authorization")
_PATTERNS = (
    (("bearer", "basic"), re.compile(r"(?i)\b(bearer|basic)(\s+|%20|\+)[A-Za-z0-9._~+/=-]{4,}"), r"\1\2" + HIDDEN),
    (("=", "%3d"), re.compile(r"(?i)([?&;\s\"']|^)((?:" + _SECRET_KEYS + r")(?:=|%3D))[^&;\s\"'<>#]+"), r"\1\2" + HIDDEN),
    (_NAMES, re.compile(r"(?i)([\"'](?:" + _SECRET_KEYS + r"|authorization|x-api-key)[\"']\s*:\s*)([\"'])(?:(?!\2)[^\\]|\\.)*\2"),
     r"\1\2" + HIDDEN + r"\2"),
    (("authorization", "api-key"),
     re.compile(r"(?i)\b(authorization|api-key|x-api-key)(\s*[:=]\s*)(?!bearer\b|basic\b)[^\s,;\"']{4,}"), r"\1\2" + HIDDEN),
    (("@",), re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^/\s?#@\"'<>]{1,500}@"), r"\1" + HIDDEN + "@"),
    (("sk-",), re.compile(r"sk-(?<!\wsk-)[A-Za-z0-9_-]{8,}"), "sk-" + HIDDEN),
    (("eyj",), re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"), HIDDEN),
)  # fmt: skip
"""(words without one of which it cannot match, pattern, replacement): a look for words costs a fiftieth of the patterns,
and every event line passes here. The words hold for ASCII: in other texts a dotless i is an i to a pattern, too."""


def _base64_cores(secret: str) -> set[str]:
    """Give what of the secret's base64 shows at each of the three places where it may begin within a longer text."""
    found = set()
    for shift in range(3):
        padded = b"\0" * shift + secret.encode("utf-8", "surrogatepass")
        start, whole = -(-shift * 8 // 6), len(padded) * 8 // 6
        for code in (base64.b64encode(padded), base64.urlsafe_b64encode(padded)):
            found.add(code.decode("ascii")[start:whole])
    return {core for core in found if len(core) >= 6}


def forms(secret: str) -> set[str]:
    """Give the texts in which a secret may appear: plain, JSON- and URL-escaped, base64."""
    inner = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    plain = {
        secret,
        quote(secret, safe="", errors="replace"),
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
    } | inner
    return plain | _base64_cores(secret)


def _longest_first(texts: Iterable[str]) -> list[str]:
    """Order texts so that one that holds another is replaced whole."""
    return sorted(set(texts), key=len, reverse=True)


class Redactor:
    """Cleans texts of the secrets it was given and of what looks like one."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        """Take the secret values; empty ones and those under four characters are not looked for."""
        known = {one.strip() for one in secrets if one and len(one.strip()) >= SHORTEST}
        self._texts = _longest_first(form for one in known for form in forms(one))

    def knowing(self, texts: Iterable[str]) -> "Redactor":
        """Give a redactor that hides these very texts too (see `forms`)."""
        other = Redactor()
        other._texts = _longest_first([*self._texts, *texts])
        return other

    def clean(self, text: str) -> str:
        """Give the text with *** in place of every secret."""
        for one in self._texts:  # no pattern of them all: it takes a hundred times their memory
            text = text.replace(one, HIDDEN)
        plain = text.lower() if text.isascii() else ""
        for words, pattern, instead in _PATTERNS:
            for word in words:  # a loop, for any() costs three times as much
                if word in plain or not plain:
                    text = pattern.sub(instead, text)
                    break
        return text


def clean_url(url: str) -> str:
    """Give an address that can be shown: no user and password, query values of secret names hidden."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return Redactor().clean(url)
    if not re.search(rf"(?i)(?:^|[&;])(?:{_SECRET_KEYS})=", parts.query):
        return urlunsplit((parts.scheme, host, parts.path, parts.query, parts.fragment))
    secret = re.compile(f"(?i)(?:{_SECRET_KEYS})$")
    shown = urlencode([(key, HIDDEN if secret.match(key) else value) for key, value in query], safe="*")
    return urlunsplit((parts.scheme, host, parts.path, shown, parts.fragment))
