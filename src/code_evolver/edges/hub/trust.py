"""Which certificates count: the system's, and those of `ca_file`. Built only for addresses that use TLS."""

import ssl
from pathlib import Path
from typing import NamedTuple

from code_evolver.core.errors import ConfigurationError, HubUnreachable
from code_evolver.core.strict_json import show

_HINT = "Give a file with certificates in PEM form."


class _Made(NamedTuple):
    version: tuple[int, ...]
    context: ssl.SSLContext


_latest: dict[str | None, _Made] = {}


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Give a verifying client context; a `ca_file` that has changed is read again.

    Raises ConfigurationError for one that cannot be used; HubUnreachable where it could before: it may be changing.
    """
    made = _latest.get(ca_file)
    try:
        version = _version(ca_file)
        if made is None or made.version != version:
            made = _latest[ca_file] = _Made(version, _context(ca_file))
    except OSError as error:
        reason = error.strerror if not isinstance(error, ssl.SSLError) else ""
        what = f"The ca_file {show(ca_file)} cannot be used: {reason or 'it holds no certificate in PEM form'}."
        raise (HubUnreachable(what, _HINT) if made else ConfigurationError(what, _HINT)) from error
    return made.context


def _version(ca_file: str | None) -> tuple[int, ...]:
    if ca_file is None:
        return ()
    found = Path(ca_file).stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def tls_problem(error: BaseException) -> ssl.SSLError | None:
    """Find the TLS error among an exception and its causes."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None or isinstance(seen, ssl.SSLError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def refusal(problem: ssl.SSLError) -> tuple[str, str]:
    """Say what went wrong in the TLS handshake, and what to do."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        reason = problem.verify_message or "it cannot be verified"
        return f"has a certificate that is not trusted: {reason}", "Name the issuer's certificate (PEM) in ca_file."
    return (f"does not speak TLS as expected: {problem.reason or 'the handshake failed'}",
            "Check whether hub_url should begin with http:// instead of https://.")  # fmt: skip
