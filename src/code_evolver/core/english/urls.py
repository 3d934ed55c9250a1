"""Addresses in plain English: what looks like one, where it ends, and whether it can be a hub's."""

import re
from urllib.parse import unquote, urlsplit

from code_evolver.core.english.problems import Problem, Secret
from code_evolver.core.strict_json import show

SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,15}://", re.IGNORECASE)
_NO_SCHEME = re.compile(
    r"(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9_.-]{0,252}))(?::(?P<port>[0-9]{1,9}))?(?P<path>[/?][^\s]*)?",
    re.IGNORECASE,
)
_HOST = re.compile(r"[^\W](?:[\w-]{0,62}[^\W])?(?:\.[^\W](?:[\w-]{0,62}[^\W])?){0,30}\.?")
_FIGURES_HOST = re.compile(r"[0-9.]+")
_SIX = re.compile(r"[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:[0-9.]{7,15})?", re.IGNORECASE)
_UNCLEAR = frozenset(",;'\"`(){}<>|\\^[]")
_SENTENCE_GOES_ON = re.compile(r"\.[A-Z][a-z]+$|(?:^|/)\.+$")
_ODD_END = "-_~$@+%"
# What stands before a colon and a number without being a host.
_NOT_HOSTS = frozenset({"port", "duration", "timeout", "time", "hub", "output", "seconds", "minutes", "hours", "for", "task",
                        "tasks", "note", "id", "priority", "retries", "attempts", "workers", "step", "asp.net"})  # fmt: skip
_NOT_DOMAINS = frozenset({"json", "jsonl", "ndjson", "txt", "csv", "log", "xml", "yaml", "yml", "md", "py", "js", "ts", "cs",
                          "html", "net", "exe", "db", "zip", "sh", "ps1"})  # fmt: skip
_SECRET_KEYS = frozenset({"access_token", "token", "api_key", "apikey", "key", "code", "sig", "signature", "password", "pwd",
                          "secret", "auth", "authorization", "bearer", "jwt", "client_secret"})  # fmt: skip
EXAMPLE = "http://localhost:5000/taskhub"


def without_scheme(text: str) -> bool:
    """Say whether `text` is a host with a port or a path but no scheme ("localhost:5000/taskhub")."""
    found = _NO_SCHEME.fullmatch(text)
    if found is None:
        return False
    host, port, path = found["host"].lower(), found["port"], found["path"]
    if host in _NOT_HOSTS or (len(host) == 1 and not path):
        return False
    if port is not None:
        return host[0] == "[" or not _FIGURES_HOST.fullmatch(host) or host.count(".") == 3
    return bool(path) and (host == "localhost" or _is_ipv4(host) or _has_domain(host, path))


def _has_domain(host: str, path: str) -> bool:
    last = host.rpartition(".")[2]
    ends_as_file = path.rpartition(".")[2].lower() in {"json", "jsonl", "txt", "csv", "log"}
    return "." in host and last.isalpha() and len(last) > 1 and last not in _NOT_DOMAINS and not ends_as_file


def _is_ipv4(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and all(part.isdigit() and len(part) <= 3 and int(part) <= 255 for part in parts)


def with_scheme(text: str) -> str:
    """Give an address as written, with http:// before it where it has no scheme."""
    return text if SCHEME.search(text) else "http://" + text


def read_hub_url(url: str, *, quoted: bool) -> str:
    """Give `url` (with a scheme) as the settings take it: scheme and host in lower case, the rest as written.

    Raises InputError: another scheme, a bad host or port, an unclear end. Secrets are looked for before (`secret_of`).
    """
    _refuse_unclear(url, quoted=quoted)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Problem(f"The URL {show(url)} has a bad host or port.", f"Write it like {EXAMPLE}.") from None
    if parts.scheme.lower() not in {"http", "https", "ws", "wss"}:
        raise Problem(f"The URL {show(url)} has the scheme {show(parts.scheme)}, which no hub speaks.",
                      "Use http, https, ws or wss.")  # fmt: skip
    if port == 0 or parts.netloc.endswith(":"):
        raise Problem(f"The URL {show(url)} has no usable port.", "Use a port from 1 to 65535.")
    if not _good_host(host):
        raise Problem(f"The URL {show(url)} has no usable host name.", f"Write it like {EXAMPLE}.")
    if "#" in url:
        raise Problem(f"The URL {show(url)} has a fragment ('#'), which no hub sees.", "Leave out the part from '#'.")
    head = f"{parts.scheme.lower()}://{parts.netloc.lower()}"
    return head + url[len(head) :]


def _good_host(host: str) -> bool:
    if ":" in host:
        return bool(_SIX.fullmatch(host))
    if _FIGURES_HOST.fullmatch(host):
        return _is_ipv4(host)
    return len(host) <= 253 and bool(_HOST.fullmatch(host))


def _refuse_unclear(url: str, *, quoted: bool) -> None:
    if not url.isprintable() or " " in url:
        raise Problem(
            f"The URL {show(url)} has a space or a character that cannot be seen.", f"Write it like {EXAMPLE}."
        )
    if quoted:
        return
    body = url.partition("://")[2]
    path = SCHEME.sub("", url).partition("/")[2].partition("?")[0]
    authority_six = re.match(r"\[[0-9a-fA-F:.]+\]", body)
    rest = body[authority_six.end() :] if authority_six else body
    if (
        not url.isascii()
        or "://" in rest
        or _UNCLEAR.intersection(rest)
        or url[-1] in _ODD_END
        or _SENTENCE_GOES_ON.search(path)
    ):
        raise Problem(f"It is not certain where the URL in {show(url)} ends.",
                      "Put a space after it, or put it in quotes.")  # fmt: skip


def secret_of(url: str) -> Secret | None:
    """Say where `url` carries a user, a password or a token; None where it carries none."""
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        return Secret.USER
    keys = (pair.partition("=")[0].lower() for pair in re.split(r"[?&#;]", url)[1:])
    return Secret.QUERY if any(unquote(key) in _SECRET_KEYS for key in keys) else None
