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
_PATTERNS = (
    (re.compile(r"(?i)\b(bearer|basic)(\s+|%20|\+)[A-Za-z0-9._~+/=-]{4,}"), r"\1\2" + HIDDEN),
    (re.compile(r"(?i)([?&;\s\"']|^)((?:" + _SECRET_KEYS + r")(?:=|%3D))[^&;\s\"'<>#]+"), r"\1\2" + HIDDEN),
    (re.compile(r"(?i)([\"'](?:" + _SECRET_KEYS + r"|authorization|x-api-key)[\"']\s*:\s*)([\"'])(?:(?!\2)[^\\]|\\.)*\2"),
     r"\1\2" + HIDDEN + r"\2"),
    (re.compile(r"(?i)\b(authorization|api-key|x-api-key)(\s*[:=]\s*)(?!bearer\b|basic\b)[^\s,;\"']{4,}"), r"\1\2" + HIDDEN),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^/\s?#@\"'<>]{1,500}@"), r"\1" + HIDDEN + "@"),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), "sk-" + HIDDEN),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"), HIDDEN),
)  # fmt: skip


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


class Redactor:
    """Cleans texts of the secrets it was given and of what looks like one."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        """Take the secret values; empty ones and those under four characters are not looked for."""
        known = {one.strip() for one in secrets if one and len(one.strip()) >= SHORTEST}
        texts = sorted({form for one in known for form in forms(one)}, key=len, reverse=True)
        self._exact = re.compile("|".join(map(re.escape, texts))) if texts else None

    def clean(self, text: str) -> str:
        """Give the text with *** in place of every secret."""
        if self._exact is not None:
            text = self._exact.sub(HIDDEN, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
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
